// tally.ts: what many histories amount to: how many, of what, and what was wrong. Owns the sums and how they travel between
// processes: plain numbers.

import { kindOf } from '../invariants/invariants.js';
import type { History } from './simulate.js';

export type Failure = { readonly seed: number; readonly violated: readonly string[] };

export type Tally = {
  seeds: number;
  simulatedMs: number;
  tasks: number;
  starts: number;
  effects: number;
  changes: number;
  readonly sizes: Record<string, number>;
  /** That really happened to somebody. */
  readonly faults: Record<string, number>;
  readonly moves: Record<string, number>;
  readonly failures: Failure[];
};

export function newTally(): Tally {
  return {
    seeds: 0,
    simulatedMs: 0,
    tasks: 0,
    starts: 0,
    effects: 0,
    changes: 0,
    sizes: {},
    faults: {},
    moves: {},
    failures: [],
  };
}

export function count(
  tally: Tally,
  { plan, story, counts, simulatedMs }: History,
  violated: readonly string[],
): void {
  tally.seeds += 1;
  tally.simulatedMs += simulatedMs;
  tally.tasks += new Set(story.changes.map(({ id }) => id)).size;
  tally.starts += story.starts.length;
  tally.effects += story.effects.length;
  tally.changes += story.changes.length;
  add(tally.sizes, plan.size, 1);
  for (const [kind, times] of counts) add(tally.faults, kind, times);
  for (const change of story.changes) {
    const kind = kindOf(change, story);
    if (kind !== null) add(tally.moves, kind, 1);
  }
  if (violated.length > 0) tally.failures.push({ seed: plan.seed, violated });
}

export function addUp(tally: Tally, more: Tally): void {
  for (const key of ['seeds', 'simulatedMs', 'tasks', 'starts', 'effects', 'changes'] as const)
    tally[key] += more[key];
  for (const key of ['sizes', 'faults', 'moves'] as const) {
    for (const [name, times] of Object.entries(more[key])) add(tally[key], name, times);
  }
  tally.failures.push(...more.failures);
}

export function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, times) => sum + times, 0);
}

function add(counts: Record<string, number>, name: string, times: number): void {
  counts[name] = (counts[name] ?? 0) + times;
}
