// outages.test.ts: the servers fail under a fleet at work. The witness counts: nothing is lost, nothing runs twice.

import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import { type Fleet, sessionTimeoutMs, startFleet } from '../support/fleet.js';

async function submitAll(fleet: Fleet, prefix: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
  const outcomes = await fleet.keeper.submitMany(ids.map((id) => ({ id, type: 'effect', payload: id })));
  expect(outcomes.filter(({ kind }) => kind !== 'created')).toEqual([]);
  return ids;
}

function progressed(fleet: Fleet, effects: number): Promise<void> {
  return eventually(() => expect(fleet.witness.effects.length).toBeGreaterThanOrEqual(effects), {
    deadlineMs: 60_000,
    what: `${effects} effects have been seen`,
  });
}

function expectEachOnce(fleet: Fleet, ids: readonly string[]): void {
  const seen = new Set(fleet.witness.effects.map(({ task }) => task));
  expect(ids.filter((id) => !seen.has(id))).toEqual([]);
  expect(fleet.witness.doubled()).toEqual([]);
}

describe('a fleet whose servers fail', () => {
  let fleet: Fleet;

  beforeAll(async () => {
    fleet = await startFleet();
    await Promise.all([fleet.startWorker(20), fleet.startWorker(20)]);
  });
  afterAll(() => fleet.close());

  test('loses nothing and runs nothing twice when Redis forgets everything in the middle of 2 000 tasks', async () => {
    const before = fleet.witness.effects.length;
    const ids = await submitAll(fleet, 'flush', 2_000);
    await progressed(fleet, before + 400);
    const redis = new Redis(fleet.redis.url);
    await redis.flushall();
    expect(fleet.witness.effects.length).toBeLessThan(before + 2_000);
    await redis.quit();
    await fleet.settled(ids);
    expectEachOnce(fleet, ids);
  }, 120_000);

  test('goes on when Redis is killed and comes back empty', async () => {
    const before = fleet.witness.effects.length;
    const ids = await submitAll(fleet, 'redis', 1_000);
    await progressed(fleet, before + 200);
    await fleet.redis.kill();
    const during = await submitAll(fleet, 'redis-away', 20);
    await fleet.redis.restart();
    await fleet.settled([...ids, ...during]);
    expectEachOnce(fleet, [...ids, ...during]);
  }, 120_000);

  test('goes on when ZooKeeper is killed under load and is back within the session timeout', async () => {
    const before = fleet.witness.effects.length;
    const ids = await submitAll(fleet, 'blink', 1_000);
    await progressed(fleet, before + 200);
    await fleet.zookeeper.kill();
    await fleet.zookeeper.restart();
    await fleet.settled(ids);
    expectEachOnce(fleet, ids);
  }, 120_000);

  test('goes on when ZooKeeper is killed under load for longer than the session timeout', async () => {
    const before = fleet.witness.effects.length;
    const sessions = (await fleet.keeper.fleet()).map(({ session }) => session);
    const ids = await submitAll(fleet, 'outage', 1_000);
    await progressed(fleet, before + 200);
    await fleet.zookeeper.kill();
    const killedAt = performance.now();
    await eventually(() => expect(performance.now() - killedAt).toBeGreaterThan(2 * sessionTimeoutMs), {
      what: 'every session is over by its own clock',
    });
    await fleet.zookeeper.restart();
    await fleet.settled(ids);
    expectEachOnce(fleet, ids);
    const now = (await fleet.keeper.fleet()).map(({ session }) => session);
    expect(now).toHaveLength(2);
    expect(now.filter((session) => sessions.includes(session))).toEqual([]);
  }, 120_000);
});
