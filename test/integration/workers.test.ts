// workers.test.ts: worker processes die and freeze inside a handler. What becomes of their tasks is what the state table
// and each task's policy say, no more and no less.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OnInterrupted } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { type Fleet, startFleet, type WorkerProcess } from '../support/fleet.js';

/** One task per policy, each inside its handler at the witness, which holds the answer. */
async function hang(fleet: Fleet, prefix: string, policies: readonly OnInterrupted[]): Promise<string[]> {
  const ids = policies.map((policy) => `${prefix}-${policy}`);
  for (const id of ids) fleet.witness.hold(id);
  await fleet.keeper.submitMany(
    policies.map((onInterrupted, i) => ({
      id: ids[i] ?? '',
      type: onInterrupted === 'verify' ? 'verified' : 'effect',
      payload: null,
      onInterrupted,
    })),
  );
  await eventually(() => expect(ids.map((id) => fleet.witness.of(id).length)).toEqual(ids.map(() => 1)), {
    what: 'every handler is in the middle of its effect',
  });
  return ids;
}

async function gone(fleet: Fleet, worker: WorkerProcess): Promise<void> {
  await eventually(async () => expect(await fleet.member(worker)).toBeUndefined(), {
    deadlineMs: 20_000,
    what: "the worker's session expires",
  });
}

describe('a worker process', () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await startFleet();
  });
  afterAll(() => fleet.close());

  test('killed inside a handler: park is uncertain, rerun runs once more, verify is settled by the hook', async () => {
    const victim = await fleet.startWorker();
    const ids = await hang(fleet, 'killed', ['park', 'rerun', 'verify']);
    const [park = '', rerun = '', verify = ''] = ids;
    const [notExecuted = ''] = await hang(fleet, 'killed-not-executed', ['verify']);
    fleet.witness.verdicts.set(verify, 'completed');
    fleet.witness.verdicts.set(notExecuted, 'notExecuted');
    await victim.kill();
    for (const id of [...ids, notExecuted]) fleet.witness.release(id);
    const other = await fleet.startWorker();
    await fleet.settled([rerun, verify, notExecuted]);
    await fleet.settled([park], ['uncertain']);
    expect(fleet.witness.of(park)).toHaveLength(1);
    expect(fleet.witness.of(rerun).map(({ attempt, pid }) => [attempt, pid])).toEqual([
      [1, victim.pid],
      [2, other.pid],
    ]);
    expect(fleet.witness.of(verify)).toHaveLength(1);
    expect((await fleet.keeper.get(verify))?.attempts).toMatchObject([{ n: 1, outcome: 'interrupted' }]);
    expect(fleet.witness.of(notExecuted).map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect((await fleet.keeper.get(notExecuted))?.attempts).toMatchObject([
      { n: 1, outcome: 'notExecuted' },
      { n: 2, outcome: 'succeeded' },
    ]);
    const fences = fleet.witness.of(rerun).map(({ fence }) => fence);
    expect(fences[1]).toBeGreaterThan(fences[0] ?? Number.POSITIVE_INFINITY);
    await other.kill();
  }, 60_000);

  test('killed inside a handler: an operator replays the uncertain task, and it runs once more', async () => {
    const victim = await fleet.startWorker();
    const [id = ''] = await hang(fleet, 'replayed', ['park']);
    await victim.kill();
    await fleet.settled([id], ['uncertain']);
    fleet.witness.release(id);
    const other = await fleet.startWorker();
    expect(await fleet.keeper.replay(id)).toMatchObject({ state: 'waiting', attempt: 2, replays: 1 });
    await fleet.settled([id]);
    expect(fleet.witness.of(id).map(({ attempt }) => attempt)).toEqual([1, 2]);
    await expect(fleet.keeper.replay(id)).rejects.toMatchObject({ code: 'MOVE_REFUSED' });
    await other.kill();
  }, 60_000);

  test('frozen beyond its session, thawed after its tasks were given up: late evidence settles what is uncertain, and is refused where the task was rerun', async () => {
    const victim = await fleet.startWorker();
    const [park = '', rerun = ''] = await hang(fleet, 'late', ['park', 'rerun']);
    const session = (await fleet.member(victim))?.session;
    victim.freeze();
    await gone(fleet, victim);
    await fleet.settled([park], ['uncertain']);
    for (const id of [park, rerun]) fleet.witness.release(id);
    const other = await fleet.startWorker();
    await fleet.settled([rerun]);
    const before = await fleet.keeper.get(rerun);
    victim.thaw();
    await fleet.settled([park]);
    await eventually(async () => expect(await fleet.member(victim)).toBeDefined(), {
      what: 'the worker is back',
    });
    expect((await fleet.member(victim))?.session).not.toBe(session);
    expect(await fleet.keeper.get(park)).toMatchObject({
      attempt: 1,
      result: { value: { pid: victim.pid } },
    });
    expect(fleet.witness.of(park)).toHaveLength(1);
    expect(await fleet.keeper.get(rerun)).toEqual(before);
    expect(before).toMatchObject({ attempt: 2, result: { value: { pid: other.pid } } });
    expect(fleet.witness.of(rerun).map(({ pid }) => pid)).toEqual([victim.pid, other.pid]);
    await Promise.all([victim.kill(), other.kill()]);
  }, 60_000);

  test('stopped gracefully: runs what it has begun to its end, takes nothing more, and its session ends at once', async () => {
    const worker = await fleet.startWorker(1);
    const [id = ''] = await hang(fleet, 'graceful', ['park']);
    const [waiting = ''] = ['graceful-next'];
    await fleet.keeper.submit({ id: waiting, type: 'effect' });
    const stopped = worker.stop();
    fleet.witness.release(id);
    expect(await stopped).toBe(0);
    expect(await fleet.member(worker)).toBeUndefined();
    expect((await fleet.keeper.get(id))?.state).toBe('completed');
    expect(fleet.witness.of(waiting)).toEqual([]);
    const other = await fleet.startWorker(1);
    await fleet.settled([waiting]);
    expect(fleet.witness.of(waiting)).toHaveLength(1);
    await other.kill();
  }, 60_000);
});

describe('a worker process with a patient scheduler', () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await startFleet({ graceMs: 60_000 });
  });
  afterAll(() => fleet.close());

  test('frozen beyond its session, thawed within the grace: readopts its tasks under a new claim, and nobody else runs them', async () => {
    const victim = await fleet.startWorker();
    const other = await fleet.startWorker();
    const ids = await hang(fleet, 'readopted', ['park', 'rerun', 'verify']);
    const owners = new Set(ids.flatMap((id) => fleet.witness.of(id).map(({ pid }) => pid)));
    const frozen = [victim, other].filter(({ pid }) => owners.has(pid));
    const before = new Map(
      await Promise.all(
        frozen.map(async (worker) => [worker.pid, (await fleet.member(worker))?.session] as const),
      ),
    );
    for (const worker of frozen) worker.freeze();
    for (const worker of frozen) await gone(fleet, worker);
    for (const worker of frozen) worker.thaw();
    for (const worker of frozen) {
      await eventually(
        async () => {
          const member = await fleet.member(worker);
          expect(member?.session).not.toBe(before.get(worker.pid));
          expect(member?.tasks.length).toBeGreaterThan(0);
        },
        { what: 'the worker holds its tasks again, in a new session' },
      );
    }
    // A rerun task's handler is told to stop when the lease ends, before anybody could rerun it: that attempt may fail.
    const kept = ids.filter((id) => !id.endsWith('rerun'));
    for (const id of kept) {
      expect(await fleet.keeper.get(id)).toMatchObject({ state: 'running', attempt: 1 });
    }
    for (const id of ids) fleet.witness.release(id);
    await fleet.settled(ids);
    for (const id of kept) {
      expect(fleet.witness.of(id)).toHaveLength(1);
      expect(await fleet.keeper.get(id)).toMatchObject({ attempt: 1, state: 'completed' });
    }
  }, 60_000);
});
