// pace.test.ts: how often the leader goes over the whole ledger: the larger it is, the more seldom.

import { afterEach, expect, test } from 'vitest';
import { Commits, ensureTree, Generation, MemoryEnsemble } from '../../src/coordination/index.js';
import { type EpochMs, parseSubmission } from '../../src/domain/index.js';
import { acceptAll, type LedgerContext, treePaths } from '../../src/ledger/index.js';
import { type Runtime, silentLogger, systemRandom } from '../../src/runtime/index.js';
import { Scheduler } from '../../src/scheduler/index.js';
import type { DeliveryPort } from '../../src/scheduler/reconcile.js';
import { emptyRedis } from '../support/empty-redis.js';
import { ManualClock } from '../support/manual-clock.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** When passes over a ledger of so many tasks began, in s, while time was moved by ten seconds; `loseAt`: Redis loses its data. */
async function passesOver(records: number, loseAt = Number.POSITIVE_INFINITY): Promise<number[]> {
  const clock = new ManualClock();
  const runtime: Runtime = { clock, random: systemRandom, log: silentLogger };
  const session = new MemoryEnsemble(clock).open({ timeoutMs: 60_000 }, runtime);
  const generation = new Generation(session, runtime);
  const nothing = (): void => undefined;
  const commits = new Commits(session, generation, clock);
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

  const begunAt: number[] = [];
  const from = clock.monotonic();
  const since = (): number => (clock.monotonic() - from) / 1_000;
  let marker: string | null = generation.id;
  const deliveries: DeliveryPort = {
    ...emptyRedis,
    readMarker: async () => {
      const lost = since() >= loseAt;
      if (lost) loseAt = Number.POSITIVE_INFINITY;
      return lost ? null : marker;
    },
    writeMarker: async (value) => {
      marker = value;
    },
    view: {
      ...emptyRedis.view,
      running: async () => {
        begunAt.push(Math.round(since()));
        return [];
      },
    },
  };
  const options = { graceMs: 1_000, reconcileEveryMs: 100, dedupWindowMs: 600_000, historyMs: 600_000 };
  const scheduler = new Scheduler(options, 's', ctx, generation, deliveries);
  cleanups.push(async () => {
    const stopped = Promise.all([scheduler.stop(), session.close()]);
    await clock.advance(5_000);
    await stopped;
    generation.close();
  });
  const started = scheduler.start();
  await clock.advance(10_500);
  await started;
  return begunAt;
}

test('over a small one it goes as often as is set, or as the marker is looked at', async () => {
  expect(await passesOver(100)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('over a large one it goes after a pause of a tenth of a millisecond for each record', async () => {
  expect(await passesOver(11_000)).toEqual([0, 2, 4, 6, 8, 10]);
});

test('over a large one it goes at once all the same where Redis has lost its data', async () => {
  expect((await passesOver(11_000, 1)).slice(0, 2)).toEqual([0, 1]);
});
