// simulation.test.ts: some hundred histories of a fleet in trouble, each held against the invariants; `npm run simulate` runs
// tens of thousands. And what makes them worth something: broken protocols are found, for the right reason, and a history
// that shows one is made small.

import { beforeAll, describe, expect, test } from 'vitest';
import { table } from '../../src/domain/index.js';
import { judge } from './judge.js';
import { type Mutant, mutants } from './mutations.js';
import { type Keep, kept, planOf } from './plan.js';
import { regressions } from './regressions.js';
import { nameOf, shrink } from './shrink.js';
import { simulate } from './simulate.js';
import { count, newTally } from './tally.js';

const seeds = 300;
/** Of the seeds, run twice. */
const repeatedMax = 12;
/** Histories within which a broken protocol must have shown itself. */
const mutantHistoriesMax = 150;

describe('a fleet in trouble', () => {
  const tally = newTally();

  beforeAll(async () => {
    const all = Array.from({ length: seeds }, (_, i) => i + 1);
    for (const seed of [...all, ...regressions.map(([known]) => known)]) {
      const history = await simulate(seed);
      count(tally, history, judge(history));
    }
  }, 120_000);

  test('keeps its promises, whatever the seed', () => {
    const [first] = tally.failures;
    if (first === undefined) return;
    expect.fail([...first.violated, `again: npm run simulate -- --seed ${first.seed}`].join('\n'));
  });

  test('has histories of every size', () => {
    expect(Object.keys(tally.sizes).sort()).toEqual(['large', 'restored', 'scheduled', 'small']);
  });

  test('meets every move of the table', () => {
    for (const [, kind] of table) expect(Object.keys(tally.moves)).toContain(kind);
  });

  test('meets every kind of trouble, and as much of it as there are seeds', () => {
    expect(Object.keys(tally.faults).sort()).toEqual(
      [
        'Redis away',
        'Redis failed over',
        'Redis flushed',
        'ZooKeeper restored',
        'ZooKeeper wiped',
        'clock jump',
        'delivery doubled',
        'delivery endLost',
        'delivery first',
        'delivery late',
        'delivery lost',
        'expiry',
        'freeze',
        'killed',
        'no quorum',
        'partition',
        'reply lost',
        'request lost',
        'silent partition',
        'slow reply',
      ].sort(),
    );
    const faults = Object.values(tally.faults).reduce((sum, times) => sum + times, 0);
    expect(faults).toBeGreaterThan(20 * tally.seeds);
  });

  test('has the same history again from the same seed', async () => {
    for (let seed = 1; seed <= repeatedMax; seed += 1) {
      const [once, again] = [
        await simulate(seed, { transcript: true }),
        await simulate(seed, { transcript: true }),
      ];
      expect(again.story.transcript).toEqual(once.story.transcript);
      expect((await simulate(seed)).story.changes).toEqual(once.story.changes);
    }
  });
});

async function firstSeedThatShows({ mutation, breaks, size = 'small' }: Mutant): Promise<number> {
  let histories = 0;
  for (let seed = 1; histories < mutantHistoriesMax; seed += 1) {
    const plan = planOf(seed);
    if (plan.size !== size) continue;
    histories += 1;
    const violated = judge(await simulate(plan, { mutation }));
    if (violated.some((line) => nameOf(line) === breaks)) return seed;
  }
  return expect.fail(`no violation of "${breaks}" in ${mutantHistoriesMax} histories`);
}

test.each(mutants)(
  'a broken protocol is found: $rule',
  async (mutant) => {
    expect(await firstSeedThatShows(mutant)).toBeGreaterThan(0);
  },
  60_000,
);

test('what breaks an invariant is made so small that nothing can be left out any more, and still breaks it', async () => {
  const mutant = mutants.find(({ rule }) => rule === 'P8: the term is not checked');
  if (mutant === undefined) throw new Error('no such mutant');
  const { mutation, breaks } = mutant;
  const seed = await firstSeedThatShows(mutant);
  const whole = planOf(seed);
  const { keep, plan } = await shrink(seed, { mutation }, breaks);
  const brokenBy = async (keeping: Keep): Promise<string[]> =>
    judge(await simulate(kept(planOf(seed), keeping), { mutation })).map(nameOf);
  expect(await brokenBy(keep)).toContain(breaks);
  for (const part of ['faults', 'acts', 'tasks'] as const) {
    for (const n of keep[part]) {
      const without = { ...keep, [part]: keep[part].filter((other) => other !== n) };
      expect(await brokenBy(without), `without ${n} of the ${part}`).not.toContain(breaks);
    }
  }
  expect(plan.faults.length).toBeLessThan(whole.faults.length);
  expect(plan.tasks.length).toBeLessThan(whole.tasks.length);
}, 60_000);
