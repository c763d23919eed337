// schedules.test.ts: what may be done with schedules, on the memory twin and on real ZooKeeper: made once, changed by
// compare-and-set, removed with all that is theirs, whatever becomes of a reply.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ScheduleInput, Submission, TaskId } from '../../src/domain/index.js';
import { limits } from '../../src/domain/index.js';
import { accept, readHeld, schedulePath, schedulesPath } from '../../src/ledger/index.js';
import { Schedules } from '../../src/schedules.js';
import { join, type Party, withMethods } from '../support/crew.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const until = { deadlineMs: 10_000 };
type Desk = { readonly party: Party; readonly schedules: Schedules<TaskId> };

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('schedules on %s', (_name, makeWorld) => {
  let world: World;
  let desk: Desk;
  let other: Desk;
  let serial = 0;

  beforeAll(async () => {
    world = await makeWorld();
    [desk, other] = [deskOf(await join(world, () => undefined)), deskOf(await join(world, () => undefined))];
  });
  afterAll(() => world.close());

  function deskOf(party: Party): Desk {
    const submit = async (task: Submission): Promise<TaskId> => {
      const outcome = await accept(party.ctx, task, until);
      if (outcome.kind === 'unavailable') throw new Error('no answer');
      return outcome.record.id;
    };
    return { party, schedules: new Schedules(party.ctx, until, submit) };
  }

  function input(more: Partial<ScheduleInput> = {}): ScheduleInput {
    serial += 1;
    return { id: `s${serial}`, cron: '0 0 1 1 *', task: { type: 'job', payload: { n: 1 } }, ...more };
  }

  /** As the desk reads it now, also when another made it. */
  async function get(id: string) {
    await desk.party.ctx.session.sync();
    return desk.schedules.get(id);
  }

  function left(id: string): Promise<string[] | null> {
    return desk.party.ctx.session.children(schedulePath(id as never));
  }

  test('one that was made is there as it was meant', async () => {
    const asked = input({
      timeZone: 'Europe/Berlin',
      jitterMs: 5,
      overlap: 'skip',
      misfire: { policy: 'all' },
    });
    const { created, schedule } = await desk.schedules.create(asked);
    expect(created).toBe(true);
    expect(await desk.schedules.get(asked.id)).toEqual(schedule);
    expect(schedule).toMatchObject({
      id: asked.id,
      cron: '0 0 1 1 *',
      timeZone: 'Europe/Berlin',
      task: { type: 'job', queue: 'default', payload: { n: 1 }, priority: 0 },
      misfire: { policy: 'all', afterMs: 60_000 },
      jitterMs: 5,
      overlap: 'skip',
      paused: false,
      last: null,
      skipped: null,
    });
    expect(schedule.next).toBe((await desk.schedules.next(asked.id, { count: 1 }))[0]);
    expect(Object.keys(schedule)).not.toContain('key');
  });

  test('the same again is the same, paused or not; another content is refused', async () => {
    const asked = input();
    await desk.schedules.create(asked);
    await desk.schedules.pause(asked.id);
    expect(await other.schedules.create(asked)).toMatchObject({
      created: false,
      schedule: { paused: true },
    });
    await expect(other.schedules.create({ ...asked, cron: '0 0 2 1 *' })).rejects.toMatchObject({
      code: 'SCHEDULE_CONFLICT',
      field: 'id',
    });
  });

  test('of two that make the same at once, one made it', async () => {
    const asked = input();
    const made = await Promise.all([desk, other].map(({ schedules }) => schedules.create(asked)));
    expect(made.map(({ created }) => created).sort()).toEqual([false, true]);
    expect(made[0]?.schedule.revision).toBe(made[1]?.schedule.revision);
  });

  test.each(['requestLost', 'replyLost', 'notSent'] as const)(
    'what meets the fault %s is done once, and said to be done',
    async (fault) => {
      const asked = input();
      const { commits } = desk.party;
      commits.failNext(fault, () => true);
      expect(await desk.schedules.create(asked)).toMatchObject({ created: true });
      commits.failNext(fault, () => true);
      const paused = await desk.schedules.pause(asked.id);
      expect(paused.paused).toBe(true);
      expect(paused.revision).toMatch(/\.1$/);
      commits.failNext(fault, () => true);
      await desk.schedules.remove(asked.id);
      expect(await get(asked.id)).toBeNull();
    },
  );

  test('a change holds only for the revision that was read', async () => {
    const asked = input();
    const { revision } = (await desk.schedules.create(asked)).schedule;
    const changed = await other.schedules.update({ ...asked, jitterMs: 7 }, { revision });
    expect(changed).toMatchObject({ jitterMs: 7 });
    const stale = { code: 'SCHEDULE_CHANGED', field: 'revision' };
    await expect(desk.schedules.update({ ...asked, jitterMs: 8 }, { revision })).rejects.toMatchObject(stale);
    await expect(desk.schedules.remove(asked.id, { revision })).rejects.toMatchObject(stale);
    expect(await get(asked.id)).toMatchObject({ jitterMs: 7, revision: changed.revision });
    await desk.schedules.remove(asked.id, { revision: changed.revision });
  });

  test('of two changes of the same revision, one is made', async () => {
    const asked = input();
    const { revision } = (await desk.schedules.create(asked)).schedule;
    const changes = await Promise.allSettled(
      [desk, other].map(({ schedules }, i) => schedules.update({ ...asked, jitterMs: i + 1 }, { revision })),
    );
    expect(changes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('changes without a revision are all made', async () => {
    const asked = input();
    await desk.schedules.create(asked);
    await Promise.all([desk.schedules.pause(asked.id), other.schedules.update({ ...asked, jitterMs: 9 })]);
    expect(await get(asked.id)).toMatchObject({ paused: true, jitterMs: 9 });
  });

  test('a change to what it is already writes nothing; an update leaves a pause as it is, or ends it', async () => {
    const asked = input();
    await desk.schedules.create(asked);
    const { revision, since } = await desk.schedules.pause(asked.id);
    expect((await desk.schedules.pause(asked.id)).revision).toBe(revision);
    expect((await desk.schedules.update(asked)).revision).toBe(revision);
    const resumed = await desk.schedules.update({ ...asked, paused: false });
    expect(resumed.paused).toBe(false);
    expect(resumed.since).toBeGreaterThanOrEqual(since);
    expect((await desk.schedules.resume(asked.id)).revision).toBe(resumed.revision);
  });

  test('one that was removed leaves nothing, and the one made anew is another', async () => {
    const asked = input();
    const { revision } = (await desk.schedules.create(asked)).schedule;
    expect(await left(asked.id)).toHaveLength(1);
    await desk.schedules.remove(asked.id);
    expect(await left(asked.id)).toBeNull();
    await expect(desk.schedules.remove(asked.id)).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
    const again = (await desk.schedules.create(asked)).schedule;
    expect(again.revision).not.toBe(revision);
    await expect(desk.schedules.remove(asked.id, { revision })).rejects.toMatchObject({
      code: 'SCHEDULE_CHANGED',
    });
  });

  test('what is not there is said to be so', async () => {
    const missing = { code: 'SCHEDULE_NOT_FOUND' };
    expect(await desk.schedules.get('none')).toBeNull();
    await expect(desk.schedules.pause('none')).rejects.toMatchObject(missing);
    await expect(desk.schedules.resume('none')).rejects.toMatchObject(missing);
    await expect(desk.schedules.update(input({ id: 'none' }))).rejects.toMatchObject(missing);
    await expect(desk.schedules.runNow('none')).rejects.toMatchObject(missing);
    await expect(desk.schedules.next('none')).rejects.toMatchObject(missing);
    for (const id of ['a/b', '', '.']) {
      await expect(desk.schedules.get(id)).rejects.toMatchObject({ code: 'SCHEDULE_INVALID', field: 'id' });
    }
  });

  test('a run is a task of its own, made once per key, paused or not', async () => {
    const asked = input();
    await desk.schedules.create({ ...asked, paused: true });
    const ids = [
      await desk.schedules.runNow(asked.id, { key: 'k' }),
      await desk.schedules.runNow(asked.id, { key: 'k' }),
      await desk.schedules.runNow(asked.id),
    ];
    expect(ids[0]).toBe(`${asked.id}@run-k`);
    expect(new Set(ids).size).toBe(2);
    expect((await readHeld(desk.party.ctx, ids[0] as TaskId))?.record).toMatchObject({
      type: 'job',
      payload: { n: 1 },
    });
    expect(await desk.schedules.get(asked.id)).toMatchObject({ last: null });
    await expect(desk.schedules.runNow(asked.id, { key: 'a b' })).rejects.toMatchObject({ field: 'key' });
  });

  test('ticks to come are told, of what is stored and of what is not', async () => {
    const asked = input({ cron: '0 12 * * *' });
    await desk.schedules.create(asked);
    const from = Date.UTC(2026, 0, 1, 12);
    const days = [2, 3, 4].map((day) => Date.UTC(2026, 0, day, 12));
    expect(await desk.schedules.next(asked.id, { from, count: 3 })).toEqual(days);
    expect(desk.schedules.preview(asked, { from, count: 3 })).toEqual(days);
    expect(await desk.schedules.next(asked.id)).toHaveLength(5);
    for (const count of [0, 1.5, limits.ticksMax + 1]) {
      await expect(desk.schedules.next(asked.id, { count })).rejects.toMatchObject({ field: 'count' });
    }
  });

  test('all are listed, past one that cannot be read', async () => {
    const ids = [];
    for (let n = 0; n < 3; n += 1) {
      const asked = input();
      ids.push(asked.id);
      await desk.schedules.create(asked);
    }
    const path = schedulePath(ids[1] as never);
    await desk.party.ctx.session.write([{ kind: 'set', path, data: Buffer.from('{}'), version: null }]);
    const listed = (await desk.schedules.list()).map(({ id }) => id);
    expect(listed).toEqual(expect.arrayContaining([ids[0], ids[2]]));
    expect(listed).not.toContain(ids[1]);
    expect(listed).toEqual([...listed].sort());
    await expect(desk.schedules.get(ids[1] ?? '')).rejects.toMatchObject({ code: 'SCHEDULE_UNREADABLE' });
  });

  test('a list for some queues goes through all once, and learns no more of those that it does not show', async () => {
    const task = { type: 'job', queue: 'only-these' };
    const [first, foreign, second] = [input({ task }), input(), input({ task })];
    for (const asked of [first, foreign, second]) await desk.schedules.create(asked);
    const { ctx } = desk.party;
    const read: string[] = [];
    let lists = 0;
    const session = withMethods(ctx.session, {
      children: (path, watcher) => {
        if (path === schedulesPath) lists += 1;
        return ctx.session.children(path, watcher);
      },
      read: (path, watcher) => {
        if (path.includes('/cursor-')) read.push(path.split('/')[2] ?? '');
        return ctx.session.read(path, watcher);
      },
    });
    const some = new Schedules({ ...ctx, session }, until, async () => '' as TaskId);
    const idsOf = async (limit?: number): Promise<string[]> => {
      const page = { queues: ['only-*'], ...(limit === undefined ? {} : { limit }) };
      return (await some.list(page)).map(({ id }) => id);
    };
    const own = [first.id, second.id].sort();
    expect([await idsOf(1), lists, read]).toEqual([own.slice(0, 1), 1, own.slice(0, 1)]);
    expect([await idsOf(), lists, read.slice(1).sort()]).toEqual([own, 2, own]);
  });

  test('there may be so many and no more; those that are there can be made again', async () => {
    const there = input();
    await desk.schedules.create(there);
    const { ctx } = desk.party;
    const session = withMethods(ctx.session, {
      read: async (path, watcher) => {
        const node = await ctx.session.read(path, watcher);
        if (node === null || path !== schedulesPath) return node;
        return { ...node, stat: { ...node.stat, numChildren: limits.schedulesMax } };
      },
    });
    const full = new Schedules({ ...ctx, session }, until, async () => '' as TaskId);
    await expect(full.create(input())).rejects.toMatchObject({ code: 'SCHEDULE_LIMIT' });
    expect(await full.create(there)).toMatchObject({ created: false });
  });
});
