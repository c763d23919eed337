// rounds.ts: a case's runs: in rounds, in each of which every entry has one run, so that what changes slowly changes for all. A run
// that others disturbed is made again, and is not counted.

import type { Case, Entry } from './cases.js';
import { figuresOf } from './figures.js';
import type { CaseResult, Run } from './results.js';
import { Stage } from './stage.js';

/** Beyond this share a run counts as disturbed; what the kernel does for us in its own threads counts as others'. */
const disturbanceMax = 0.1;
const triesMax = 3;
/** Tasks of the warm-up for each that is measured: the compilers of Java and Node.js take that long. */
const warmUpShare = 6;

export async function measure(
  of: Case,
  rounds: number,
  tasks: number,
  tell: (run: Run) => void,
): Promise<CaseResult> {
  const runs: Run[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const entry of turned(of.entries, round)) {
      for (let tries = 1; tries <= triesMax; tries += 1) {
        const run = await runOnce(entry, round, Math.ceil(tasks * of.share));
        runs.push(run);
        tell(run);
        if (run.discarded === null) break;
      }
    }
  }
  const entries = of.entries.map(({ name }) => {
    const counted = runs.filter((run) => run.entry === name && run.discarded === null);
    return { name, figures: figuresOf(counted.map(({ measures }) => measures)) };
  });
  return { title: of.title, metric: of.metric, entries, runs };
}

async function runOnce(
  { name: entry, entrant, scenario }: Entry,
  round: number,
  tasks: number,
): Promise<Run> {
  const of = { entry, round };
  try {
    const stage = await Stage.open(entrant);
    try {
      const measures = await scenario(stage, { tasks, warmUp: warmUpShare * tasks });
      const { disturbance } = stage;
      const discarded = disturbance > disturbanceMax ? 'disturbed' : null;
      return { ...of, disturbance, discarded, measures };
    } finally {
      await stage.close();
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { ...of, disturbance: 0, discarded: `failed: ${why}`, measures: {} };
  }
}

/** Each round begins with another one. */
function turned<T>(items: readonly T[], round: number): T[] {
  const from = (round - 1) % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}
