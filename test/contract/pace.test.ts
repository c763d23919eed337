// pace.test.ts: when the leader goes over the whole ledger, and how fast.

import { afterEach, expect, test } from 'vitest';
import { Commits, ensureTree, Generation, MemoryEnsemble } from '../../src/coordination/index.js';
import { type EpochMs, type Hint, parseSubmission } from '../../src/domain/index.js';
import { acceptAll, type LedgerContext, treePaths } from '../../src/ledger/index.js';
import { delay, type Runtime, silentLogger, systemRandom } from '../../src/runtime/index.js';
import { Scheduler } from '../../src/scheduler/index.js';
import type { DeliveryPort } from '../../src/scheduler/reconcile.js';
import { emptyRedis } from '../support/empty-redis.js';
import { ManualClock } from '../support/manual-clock.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

type Circumstances = {
  /** Redis loses its data once. */
  readonly loseAt?: number;
  /** One of its lists cannot be read once. */
  readonly failAt?: number;
  /** It is slow to say whether it has lost its data. */
  readonly slowFrom?: number;
  /** The tasks have deliveries. */
  readonly delivered?: boolean;
};

/** What a leader does for `forS` seconds over a ledger of so many tasks; times in s. */
async function lead(records: number, forS: number, circumstances: Circumstances = {}) {
  const {
    loseAt = Number.POSITIVE_INFINITY,
    failAt = Number.POSITIVE_INFINITY,
    slowFrom = Number.POSITIVE_INFINITY,
    delivered = true,
  } = circumstances;
  const clock = new ManualClock();
  const runtime: Runtime = { clock, random: systemRandom, log: silentLogger };
  const session = new MemoryEnsemble(clock).open({ timeoutMs: 60_000 }, runtime);
  const generation = new Generation(session, runtime);
  const nothing = (): void => undefined;
  const commits = new Commits(session, generation, clock);
  const told: number[] = [];
  let from = 0;
  const since = (): number => (clock.monotonic() - from) / 1_000;
  const deliver = (hints: readonly Hint[]): void => {
    for (const _ of hints) told.push(since());
  };
  const ctx: LedgerContext = { session, commits, deliver: nothing, note: nothing, runtime };
  const tasks = Array.from({ length: records }, (_, i) =>
    parseSubmission({ id: `t${i}`, type: 'note' }, 0 as EpochMs),
  );
  const made = ensureTree(session, treePaths)
    .then(() => generation.prove())
    .then(() => acceptAll(ctx, tasks, { deadlineMs: 60_000, likelyThere: false }, nothing));
  let isMade = false;
  void made.finally(() => {
    isMade = true;
  });
  await clock.advance(60_000, () => isMade);
  await made;
  await clock.advance(10_000); // They have waited for longer than a delivery may be on its way.

  from = clock.monotonic();
  const passes: { readonly from: number; to: number }[] = [];
  let [hasLost, hasFailed] = [false, false];
  let marker: string | null = generation.id;
  const ids = new Set(delivered ? tasks.map(({ id }) => id) : []);
  const deliveries: DeliveryPort = {
    ...emptyRedis,
    pending: async () => ids,
    readMarker: async () => {
      if (since() >= slowFrom) await delay(clock, 3_000);
      if (!hasLost && since() >= loseAt) [hasLost, marker] = [true, null];
      return marker;
    },
    writeMarker: async (value) => {
      marker = value;
    },
    view: {
      ...emptyRedis.view,
      running: async () => {
        passes.push({ from: since(), to: Number.POSITIVE_INFINITY });
        return [];
      },
      idsIn: async () => {
        if (!hasFailed && since() >= failAt) {
          hasFailed = true;
          throw new Error('Redis does not answer');
        }
        const last = passes.at(-1);
        if (last !== undefined) last.to = since();
        return [];
      },
    },
  };
  const options = { graceMs: 1_000, reconcileEveryMs: 100, dedupWindowMs: 600_000, historyMs: 600_000 };
  const scheduler = new Scheduler(options, 's', { ...ctx, deliver }, generation, deliveries);
  const stop = async (): Promise<void> => {
    const stopped = scheduler.stop();
    await clock.advance(5_000);
    await stopped;
  };
  cleanups.push(async () => {
    const closed = session.close();
    await clock.advance(5_000);
    await closed;
    generation.close();
  }, stop);
  const started = scheduler.start();
  await clock.advance(forS * 1_000);
  await started;
  return { told, passes, stop, begunAt: passes.map((pass) => Math.round(pass.from)) };
}

test('over a small ledger it goes as often as is set, or as the marker is looked at', async () => {
  const { begunAt } = await lead(100, 10.5);
  expect(begunAt).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('over a large one the first pass is as fast as it can, and each other takes a fifth of a millisecond for each record', async () => {
  const { begunAt, passes } = await lead(11_000, 10.5);
  expect(begunAt).toEqual([0, 1, 4, 7]);
  expect(passes[0]?.to).toBeLessThan(0.5);
  for (const { from, to } of passes.slice(1)) expect(to - from).toBeCloseTo(2.2, 1);
});

test('a routine pass hands a delivery that is missing over when it finds it, and not at its end', async () => {
  const { passes, told } = await lead(11_000, 4, { delivered: false });
  const { from, to } = passes[1] ?? { from: 0, to: 0 };
  const half = told.filter((at) => at > from && at < (from + to) / 2).length / 11_000;
  expect(half).toBeGreaterThan(0.4);
  expect(half).toBeLessThan(0.6);
});

test('where Redis has lost its data, a routine pass ends and all is gone over as fast as it can', async () => {
  const { begunAt, passes } = await lead(11_000, 6, { loseAt: 1.5 });
  expect(begunAt).toEqual([0, 1, 2, 3]);
  const [, cutShort, rebuild, routine] = passes.map(({ from, to }) => to - from);
  expect(cutShort).toBeLessThan(1);
  expect(rebuild).toBeLessThan(0.1);
  expect(routine).toBeCloseTo(2.2, 1);
});

test('after a pass that failed comes one that is as fast as it can', async () => {
  const { passes } = await lead(11_000, 6.3, { failAt: 1.5 });
  const [first, , thorough, routine] = passes.map(({ from, to }) => to - from);
  expect(first).toBeLessThan(0.1);
  expect(thorough).toBeLessThan(0.1);
  expect(routine).toBeCloseTo(2.2, 1);
  expect(passes).toHaveLength(4);
});

test('a leader that stops while Redis is asked begins no pass', async () => {
  const { passes, stop } = await lead(11_000, 1.5, { slowFrom: 0.5 });
  expect(passes).toHaveLength(1);
  await stop();
  expect(passes).toHaveLength(1);
});
