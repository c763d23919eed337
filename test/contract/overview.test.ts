// overview.test.ts: lists, queues and events of a whole installation over HTTP: on real ZooKeeper, with a Redis of its own that is
// emptied, and taken away.

import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../infra/servers.js';
import { createApi } from '../../src/http/index.js';
import { connect, defineTask, NonRetryable } from '../../src/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { signalled } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { openToAll } from '../support/open-to-all.js';
import { uniqueChroot, zookeeperUrl } from '../support/servers.js';

type Listed = { tasks: { id: string; state: string; errorCode: string | null }[]; rebuilding: boolean };

async function installation() {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const keeper = await connect({
    zookeeper: zookeeperUrl(),
    redis: redis.url,
    chroot: uniqueChroot(),
    reconcileEveryMs: 600_000,
    log: silentLogger,
  });
  onTestFinished(() => keeper.close());
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const api = createApi({ ...openToAll, tasks: keeper, runtime });
  onTestFinished(() => api.close());
  const url = await api.listen({ host: '127.0.0.1', port: 0 });
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}`);
    return { status: response.status, body: await response.json() };
  };
  return { redis, keeper, get };
}

test('what is submitted, runs and fails is listed, counted and told, and the view says when it is not whole', async () => {
  const { redis, keeper, get } = await installation();
  const list = async (query = ''): Promise<Listed> => (await get(`/v1/tasks${query}`)).body as Listed;
  expect(await list()).toMatchObject({ tasks: [], rebuilding: true }); // No scheduler has looked yet.

  const go = signalled();
  const type = defineTask('job', {
    handler: async (_payload, { task }) => {
      await go.promise;
      if (task.id === 'bad') throw new NonRetryable('no');
    },
  });
  await keeper.scheduler().start();
  await keeper.worker({ types: [type] }).start();
  await eventually(async () => expect((await list()).rebuilding).toBe(false), { what: 'the view is whole' });

  const end = new AbortController();
  const seen: string[] = [];
  const feed = await keeper.events({}, end.signal);
  const following = (async () => {
    for await (const item of feed) {
      if (item.kind === 'event') seen.push(`${item.task.id} ${item.from} ${item.task.state}`);
    }
  })();
  await keeper.submitMany(['good', 'bad'].map((id) => ({ id, type: 'job' })));
  await eventually(
    async () =>
      expect((await list('?state=running')).tasks.map(({ id }) => id).sort()).toEqual(['bad', 'good']),
    { what: 'both are shown to run' },
  );
  go.resolve();
  await eventually(
    async () =>
      expect((await list('?state=failed&errorCode=HANDLER_REFUSED')).tasks).toMatchObject([
        { id: 'bad', errorCode: 'HANDLER_REFUSED' },
      ]),
    { what: 'the failed one is listed' },
  );
  await eventually(
    async () =>
      expect([...seen].sort()).toEqual([
        'bad null waiting',
        'bad running failed',
        'bad waiting running',
        'good null waiting',
        'good running completed',
        'good waiting running',
      ]),
    { what: 'every change was told' },
  );
  end.abort();
  await following;
  const counts = { waiting: 0, running: 0, completed: 1, failed: 1, cancelled: 0, uncertain: 0 };
  expect((await get('/v1/queues')).body).toEqual({
    queues: [{ queue: 'default', counts, oldestDueMs: null, paused: false, pausedSince: null }],
    rebuilding: false,
  });

  const client = new Redis(redis.url);
  await client.flushall();
  client.disconnect();
  expect(await list()).toMatchObject({ tasks: [], rebuilding: true });
  await eventually(
    async () => {
      const { tasks, rebuilding } = await list();
      expect([tasks.length, rebuilding]).toEqual([2, false]);
    },
    { what: 'the view is whole again' },
  );
});

test('while Redis is away lists say so, and tasks are accepted and found all the same', async () => {
  const { redis, keeper, get } = await installation();
  await redis.kill();
  await eventually(
    async () => {
      for (const path of ['/v1/tasks', '/v1/queues', '/v1/events']) {
        expect(await get(path)).toMatchObject({ status: 503, body: { code: 'REDIS_UNAVAILABLE' } });
      }
    },
    { what: 'Redis is away' },
  );
  await keeper.submit({ id: 'a', type: 'job' });
  expect(await get('/v1/tasks/a')).toMatchObject({ status: 200, body: { state: 'waiting' } });
  await redis.restart();
  await eventually(
    async () => expect((await get('/v1/tasks')).body).toMatchObject({ tasks: [{ id: 'a' }] }),
    {
      what: 'it is shown once Redis is back',
    },
  );
});
