// tally.ts: what a worker process has seen of each task: how often its handler began, how often it was completed, and when.

import { now } from './clock.js';

export type Counts = {
  readonly started: Uint8Array;
  readonly completed: Uint8Array;
  /** Of the last time, by the clock of clock.ts; 0: never. */
  readonly startedAt: Float64Array;
  readonly completedAt: Float64Array;
};

export class Tally {
  readonly counts: Counts;
  /** Completions in all. */
  total = 0;

  constructor(tasks: number) {
    this.counts = {
      started: new Uint8Array(tasks),
      completed: new Uint8Array(tasks),
      startedAt: new Float64Array(tasks),
      completedAt: new Float64Array(tasks),
    };
  }

  start(n: number): void {
    this.counts.started[n] = (this.counts.started[n] ?? 0) + 1;
    this.counts.startedAt[n] = now();
  }

  complete(n: number): void {
    this.counts.completed[n] = (this.counts.completed[n] ?? 0) + 1;
    this.counts.completedAt[n] = now();
    this.total += 1;
  }
}

/** Of several processes as of one. */
export function merged(all: readonly Counts[], tasks: number): Counts {
  const { counts } = new Tally(tasks);
  for (const one of all) {
    for (let n = 0; n < tasks; n += 1) {
      counts.started[n] = (counts.started[n] ?? 0) + (one.started[n] ?? 0);
      counts.completed[n] = (counts.completed[n] ?? 0) + (one.completed[n] ?? 0);
      counts.startedAt[n] = Math.max(counts.startedAt[n] ?? 0, one.startedAt[n] ?? 0);
      counts.completedAt[n] = Math.max(counts.completedAt[n] ?? 0, one.completedAt[n] ?? 0);
    }
  }
  return counts;
}

/** @throws Error when one of the first `tasks` was not started and completed just once */
export function assertOnce({ started, completed }: Counts, tasks: number): void {
  for (let n = 0; n < tasks; n += 1) {
    if (started[n] === 1 && completed[n] === 1) continue;
    throw new Error(`task ${n} was started ${started[n]} times and completed ${completed[n]} times`);
  }
}

/** @throws Error when any was started or completed more than once */
export function assertNoneTwice({ started, completed }: Counts): void {
  const twice = Math.max(
    started.findIndex((n) => n > 1),
    completed.findIndex((n) => n > 1),
  );
  if (twice >= 0) throw new Error(`task ${twice} was run more than once`);
}
