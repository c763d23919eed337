// pause.test.ts: a paused queue, on real ZooKeeper and Redis: nothing of it is started, nothing is lost, and it goes on.

import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { type Claimkeeper, connect, defineTask } from '../../src/index.js';
import { silentLogger } from '../../src/runtime/index.js';
import { signalled } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { markerStands, removeMarker } from '../support/marker.js';
import { redisUrl, uniqueChroot, uniquePrefix, zookeeperUrl } from '../support/servers.js';

async function keeperAt(place: { chroot: string; prefix: string }): Promise<Claimkeeper> {
  const keeper = await connect({
    zookeeper: zookeeperUrl(),
    redis: redisUrl(),
    ...place,
    reconcileEveryMs: 200,
    log: silentLogger,
  });
  onTestFinished(() => keeper.close());
  return keeper;
}

test('nothing of a paused queue is started, what runs goes on, other queues too; resumed, all of it is run once', async () => {
  const place = { chroot: uniqueChroot(), prefix: uniquePrefix() };
  const [keeper, operator] = [await keeperAt(place), await keeperAt(place)];
  const ran: string[] = [];
  const held = signalled();
  const type = defineTask('job', {
    handler: async (_payload, { task }) => {
      ran.push(task.id);
      if (task.id === 'long') await held.promise;
    },
  });
  const worker = keeper.worker({ types: [type], queues: ['mail', 'other'], concurrency: 4 });
  const ended: string[] = [];
  worker.on('ended', ({ id }) => ended.push(id));
  await keeper.scheduler().start();
  await worker.start();

  await keeper.submit({ id: 'long', type: 'job', queue: 'mail' });
  await eventually(async () => expect(ran).toEqual(['long']), { what: 'the long task runs' });
  const paused = await operator.pauseQueue('mail');
  expect(paused).toMatchObject({ paused: true, since: expect.any(Number) });
  expect(await operator.pauseQueue('mail')).toEqual(paused);
  // A session hears of changes in their order: with what the worker does after the pause, it has heard of the pause.
  await operator.submit({ id: 'probe', type: 'job', queue: 'other' });
  await eventually(async () => expect(ended).toContain('probe'), { what: 'the other queue goes on' });

  const ids = Array.from({ length: 120 }, (_, i) => `t${i}`);
  await operator.submitMany(ids.map((id) => ({ id, type: 'job', queue: 'mail' })));
  held.resolve();
  await eventually(async () => expect(ended).toContain('long'), { what: 'what ran goes on' });
  // Passes that find them waiting, and deliver all of them again, start none of them either.
  const redis = new Redis(redisUrl());
  onTestFinished(() => redis.disconnect());
  for (let n = 0; n < 2; n += 1) {
    await removeMarker(redis, place);
    await markerStands(redis, place);
    await operator.submit({ id: `other-${n}`, type: 'job', queue: 'other' });
    await eventually(async () => expect(ended).toContain(`other-${n}`), { what: 'the other queue goes on' });
  }
  expect(ran.filter((id) => ids.includes(id))).toEqual([]);
  await eventually(
    async () => {
      const { queues } = await operator.queues();
      expect(queues.find(({ queue }) => queue === 'mail')).toMatchObject({
        counts: { waiting: 120, completed: 1 },
        paused: true,
        pausedSince: paused.since,
        oldestDueMs: expect.any(Number),
      });
    },
    { what: 'the queue is shown with what waits' },
  );

  expect(await operator.resumeQueue('mail')).toMatchObject({ paused: false });
  await eventually(async () => expect(ids.filter((id) => !ended.includes(id))).toEqual([]), {
    what: 'all of it has run',
    deadlineMs: 25_000,
  });
  expect([...ran].sort()).toEqual([...new Set(ran)].sort());
  const after = await operator.queues();
  expect(after.queues.find(({ queue }) => queue === 'mail')).toMatchObject({ paused: false });
});

test('a worker that starts while its queue is paused starts nothing of it', async () => {
  const place = { chroot: uniqueChroot(), prefix: uniquePrefix() };
  const keeper = await keeperAt(place);
  const ran: string[] = [];
  const type = defineTask('job', { handler: async (_payload, { task }) => void ran.push(task.id) });
  await keeper.pauseQueue('mail');
  await keeper.submit({ id: 'a', type: 'job', queue: 'mail' });
  const worker = keeper.worker({ types: [type], queues: ['mail', 'other'] });
  await worker.start();
  await keeper.submit({ id: 'b', type: 'job', queue: 'other' });
  await eventually(async () => expect(ran).toEqual(['b']), { what: 'the other queue runs' });
  await keeper.resumeQueue('mail');
  await eventually(async () => expect(ran).toEqual(['b', 'a']), { what: 'it goes on' });
});
