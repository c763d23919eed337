// retries.test.ts: handlers that throw, and a downstream that is dead, in worker processes.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import { type Fleet, startFleet } from '../support/fleet.js';

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
    // Full jitter: uniform below 100 ms, then below 800 ms; of twenty, the sums tell the bounds apart.
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
    // Both workers have learned of it once nothing but probes arrives.
    let refused = -1;
    await eventually(
      async () => {
        const before = refused;
        refused = fleet.witness.refused;
        const running = [...(await fleet.states(ids)).values()].filter((state) => state === 'running');
        expect([running.length, refused]).toEqual([0, before]);
      },
      { deadlineMs: 20_000, what: 'the breaker is open in the whole fleet' },
    );
    const spent = await attempts();
    const reached = fleet.witness.refused;
    const probes = reached + 2;
    await eventually(() => expect(fleet.witness.refused).toBeGreaterThanOrEqual(probes), {
      deadlineMs: 20_000,
      what: 'two probes have found it dead',
    });
    // Every attempt that was spent since is one that reached the downstream: nothing was spent on the open breaker.
    await eventually(async () => expect((await attempts()) - spent).toBe(fleet.witness.refused - reached), {
      what: 'the attempts are those of the probes',
    });
    expect((await attempts()) - spent).toBeLessThan(ids.length / 2);
    expect(fleet.witness.effects.filter(({ task }) => task.startsWith('downstream'))).toEqual([]);
    fleet.witness.broken = false;
    await fleet.settled(ids);
    expect(ids.filter((id) => fleet.witness.of(id).length !== 1)).toEqual([]);
  }, 90_000);
});
