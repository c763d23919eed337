// simulation.test.ts: many histories of a fleet in trouble, each held against the invariants. SIM_SEED sets the first seed
// (default 1), SIM_SEEDS how many (default 32).

import { beforeAll, describe, expect, test } from 'vitest';
import { table } from '../../src/domain/index.js';
import { kindOf, violations } from '../invariants/invariants.js';
import type { Story } from '../invariants/story.js';
import { mutations } from './mutations.js';
import { simulate } from './simulate.js';

const firstSeed = Number(process.env.SIM_SEED ?? 1);
const seeds = Array.from({ length: Number(process.env.SIM_SEEDS ?? 32) }, (_, i) => firstSeed + i);
/** Of the seeds, run twice. */
const repeatedMax = 3;
/** Seeds within which a broken protocol must have shown itself. */
const mutantSeedsMax = 20;
const transcriptLines = 60;

function failure(story: Story, violated: readonly string[]): string {
  return [
    `seed ${story.seed}:`,
    ...violated.map((what) => `  ${what}`),
    `the last ${transcriptLines} lines of what happened:`,
    ...story.transcript.slice(-transcriptLines),
    `again: SIM_SEED=${story.seed} SIM_SEEDS=1 npx vitest run test/simulation`,
  ].join('\n');
}

describe('a fleet in trouble', () => {
  const stories: Story[] = [];

  beforeAll(async () => {
    console.log(`simulating ${seeds.length} seeds from SIM_SEED=${firstSeed}`);
    for (const seed of seeds) stories.push(await simulate(seed));
    const sum = (count: (story: Story) => number): number =>
      stories.reduce((all, one) => all + count(one), 0);
    const [tasks, effects, faults] = [
      sum(({ records }) => records.size),
      sum((story) => story.effects.length),
      sum((story) => story.faults.length),
    ];
    console.log(`${tasks} tasks, ${effects} effects, ${faults} faults`);
  }, 300_000);

  test('keeps its promises, whatever the seed', () => {
    for (const story of stories) {
      const violated = violations(story);
      if (violated.length > 0) expect.fail(failure(story, violated));
    }
  });

  test('has the same history again from the same seed', async () => {
    for (const story of stories.slice(0, repeatedMax)) {
      expect((await simulate(story.seed)).transcript).toEqual(story.transcript);
    }
  });

  test.runIf(seeds.length >= 32)('meets every move of the table', () => {
    const met = new Set(stories.flatMap((story) => story.changes.map((change) => kindOf(change, story))));
    for (const [, kind] of table) expect([...met]).toContain(kind);
  });
});

test.each(mutations)('a broken protocol is found: %s', async (_rule, mutation) => {
  for (let seed = 1; seed <= mutantSeedsMax; seed += 1) {
    if (violations(await simulate(seed, mutation)).length > 0) return;
  }
  expect.fail(`no violation in ${mutantSeedsMax} seeds`);
});
