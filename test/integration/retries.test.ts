// retries.test.ts: handlers that throw, and a downstream that is dead, in worker processes.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openSession } from '../../src/coordination/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { type Fleet, startFleet } from '../support/fleet.js';

/** Reads the state of a type's breaker as the fleet shares it. */
async function watchBreaker(
  fleet: Fleet,
  type: string,
): Promise<() => Promise<{ state: string; version: number }>> {
  const options = { servers: fleet.zookeeper.url, chroot: '/claimkeeper', timeoutMs: 4_000 };
  const session = openSession(options, { clock: systemClock, random: systemRandom, log: silentLogger });
  onTestFinished(() => session.close());
  await session.connected(10_000);
  return async () => {
    const node = await session.read(`/breakers/${type}`);
    if (node === null) throw new Error('no worker has opened it yet');
    return { ...(JSON.parse(node.data.toString()) as { state: string }), version: node.stat.version };
  };
}

describe('retries and the breaker', () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await startFleet();
    await Promise.all([fleet.startWorker(), fleet.startWorker()]);
  });
  afterAll(() => fleet.close());

  test('a handler that throws twice and then succeeds runs exactly three attempts, after delays below a growing bound', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `flaky-${i}`);
    await fleet.keeper.submitMany(ids.map((id) => ({ id, type: 'flaky', payload: { failures: 2 } })));
    await fleet.settled(ids);
    const delays: [number, number][] = [];
    for (const id of ids) {
      const record = await fleet.keeper.get(id);
      expect(record?.attempts?.map(({ n, outcome }) => [n, outcome])).toEqual([
        [1, 'failed'],
        [2, 'failed'],
        [3, 'succeeded'],
      ]);
      expect(record?.result).toEqual({ value: 3 });
      const seen = fleet.witness.of(id);
      expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
      const [one, two, three] = seen.map(({ atMs }) => atMs) as [number, number, number];
      delays.push([two - one, three - two]);
    }
    // Full jitter: uniform below 400 ms in place, then below 4 s by a delivery; of twenty, the sums tell the bounds apart.
    const sum = (at: 0 | 1): number => delays.reduce((total, each) => total + each[at], 0);
    expect(sum(1)).toBeGreaterThan(sum(0));
    expect(new Set(delays.map(([first]) => Math.round(first))).size).toBeGreaterThan(5);
  }, 60_000);

  test('with the downstream dead the breaker opens, spends no attempt while open, and all tasks complete once it is back', async () => {
    fleet.witness.broken = true;
    const ids = Array.from({ length: 40 }, (_, i) => `downstream-${i}`);
    await fleet.keeper.submitMany(ids.map((id) => ({ id, type: 'downstream' })));
    const attempts = async (): Promise<number> => {
      const records = await Promise.all(ids.map((id) => fleet.keeper.get(id)));
      return records.reduce((total, record) => total + (record?.attempt ?? 1) - 1, 0);
    };
    const shared = await watchBreaker(fleet, 'downstream');
    // One probe of the fleet after another raises the version by two: probing, and open again.
    const probed = (version: number): Promise<number> =>
      eventually(
        async () => {
          const now = await shared();
          expect(now).toMatchObject({ state: 'open' });
          expect(now.version).toBeGreaterThanOrEqual(version);
          return now.version;
        },
        { deadlineMs: 30_000, what: `the breaker is open, at version ${version} or later` },
      );
    const first = await probed((await probed(0)) + 2); // What was under way when it opened is over.
    const refused = fleet.witness.refused;
    const last = await probed(first + 4);
    expect(fleet.witness.refused - refused).toBeLessThanOrEqual((last - first) / 2 + 1);
    await eventually(async () => expect(await attempts()).toBe(fleet.witness.refused), {
      deadlineMs: 20_000,
      what: 'every attempt that was spent has reached the downstream',
    });
    expect(fleet.witness.effects.filter(({ task }) => task.startsWith('downstream'))).toEqual([]);
    fleet.witness.broken = false;
    await fleet.settled(ids);
    expect(ids.filter((id) => fleet.witness.of(id).length !== 1)).toEqual([]);
  }, 90_000);
});
