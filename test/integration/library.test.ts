// library.test.ts: the library as a program uses it, in one process, on real servers: submit, run, retain, hand over.

import { Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { startZooKeeper } from '../../infra/servers.js';
import { type Claimkeeper, type ConnectOptions, connect, defineTask, NonRetryable } from '../../src/index.js';
import { silentLogger } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { markerStands } from '../support/marker.js';
import { redisUrl, uniqueChroot, uniquePrefix, zookeeperUrl } from '../support/servers.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

type Place = { readonly chroot: string; readonly prefix: string };

function newPlace(): Place {
  return { chroot: uniqueChroot(), prefix: uniquePrefix() };
}

async function join(place: Place, more: Partial<ConnectOptions> = {}): Promise<Claimkeeper> {
  const keeper = await connect({
    zookeeper: zookeeperUrl(),
    redis: redisUrl(),
    sessionTimeoutMs: 2_000,
    log: silentLogger,
    ...place,
    ...more,
  });
  cleanups.push(() => keeper.close());
  return keeper;
}

/** A worker that notes the order in which tasks were run. */
async function work(keeper: Claimkeeper, concurrency = 5): Promise<string[]> {
  const ran: string[] = [];
  const note = defineTask<string>('note', {
    handler: (payload, { task }) => {
      ran.push(task.id);
      return `did ${payload}`;
    },
  });
  await keeper.worker({ types: [note], concurrency }).start();
  return ran;
}

async function completed(keeper: Claimkeeper, ids: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      const records = await Promise.all(ids.map((id) => keeper.get(id)));
      expect(records.map((record) => record?.state)).toEqual(ids.map(() => 'completed'));
    },
    { what: `${ids.length} tasks are completed` },
  );
}

async function openRedis(): Promise<Redis> {
  const redis = new Redis(redisUrl());
  cleanups.push(() => redis.quit());
  return redis;
}

function delivered(redis: Redis, { prefix }: Place): Promise<void> {
  return eventually(async () => expect(await redis.llen(`${prefix}:default:wait`)).toBe(1), {
    what: 'the delivery waits in Redis',
  });
}

test('a task is submitted, run, and read with its result; the same submit again finds it', async () => {
  const keeper = await join(newPlace());
  const ran = await work(keeper);
  const first = await keeper.submit({ id: 'a', type: 'note', payload: 'this' });
  expect(first).toMatchObject({ id: 'a', created: true, state: 'waiting' });
  await completed(keeper, ['a']);
  expect(await keeper.get('a')).toMatchObject({
    result: { value: 'did this' },
    attempts: [{ n: 1, outcome: 'succeeded' }],
  });
  const again = await keeper.submit({ id: 'a', type: 'note', payload: 'this' });
  expect(again).toMatchObject({ created: false, state: 'completed' });
  expect(again.dedupUntil).toBeGreaterThan(Date.now());
  await expect(keeper.submit({ id: 'a', type: 'note', payload: 'that' })).rejects.toMatchObject({
    code: 'TASK_CONFLICT',
  });
  expect(ran).toEqual(['a']);
});

test('one fault in many is answered for that one alone', async () => {
  const keeper = await join(newPlace());
  const outcomes = await keeper.submitMany([
    { id: 'ok', type: 'note' },
    { id: 'no/slash', type: 'note' },
    { id: 'typo', type: 'note', payload: 1, prioritty: 3 },
    { id: 'ok', type: 'note' },
  ]);
  expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['created', 'refused', 'refused', 'same']);
  expect(outcomes[1]).toMatchObject({ error: { code: 'TASK_ID_INVALID' } });
  expect(outcomes[2]).toMatchObject({ error: { code: 'SUBMISSION_INVALID', field: 'prioritty' } });
});

test('a list that is submitted again and again is found, and soon costs no transaction any more', async () => {
  const keeper = await join(newPlace());
  const list = Array.from({ length: 120 }, (_, n) => ({ id: `again-${n}`, type: 'note' }));
  const kinds = async (): Promise<string[]> => {
    const outcomes = await keeper.submitMany(list);
    expect(outcomes.map((outcome) => outcome.kind !== 'refused' && outcome.id)).toEqual(
      list.map(({ id }) => id),
    );
    return [...new Set(outcomes.map(({ kind }) => kind))];
  };
  expect(await kinds()).toEqual(['created']);
  expect(await kinds()).toEqual(['same']);
  const { multis } = keeper.stats().commits;
  expect(await kinds()).toEqual(['same']);
  expect(keeper.stats().commits.multis).toBe(multis);
});

test('a task with a delay is run when it is due, and not before', async () => {
  const keeper = await join(newPlace());
  await work(keeper);
  const due = Date.now() + 1_500;
  await keeper.submitMany([
    { id: 'delayed', type: 'note', delayMs: 1_500 },
    { id: 'at', type: 'note', runAt: new Date(due).toISOString() },
    { id: 'now', type: 'note' },
  ]);
  await completed(keeper, ['now', 'delayed', 'at']);
  const at = async (id: string): Promise<number> => (await keeper.get(id))?.startedAt ?? 0;
  expect(await at('now')).toBeLessThan(due);
  for (const id of ['delayed', 'at']) expect(await at(id)).toBeGreaterThanOrEqual(due - 5);
});

test('the more urgent of what waits is run first', async () => {
  const keeper = await join(newPlace());
  for (const [id, priority] of [
    ['low', 9],
    ['mid', 5],
    ['high', 1],
  ] as const) {
    await keeper.submit({ id, type: 'note', priority });
  }
  const ran = await work(keeper, 1);
  await completed(keeper, ['low', 'mid', 'high']);
  expect(ran).toEqual(['high', 'mid', 'low']);
});

test('a handler that throws NonRetryable fails its task at once, and a replay runs it again', async () => {
  const keeper = await join(newPlace());
  let refuse = true;
  const strict = defineTask('strict', {
    handler: () => {
      if (refuse) throw new NonRetryable('no such account');
    },
  });
  await keeper.worker({ types: [strict] }).start();
  await keeper.submit({ id: 's', type: 'strict' });
  await eventually(async () => expect((await keeper.get('s'))?.state).toBe('failed'), {
    what: 'it has failed',
  });
  expect((await keeper.get('s'))?.attempts).toMatchObject([
    { error: { code: 'HANDLER_REFUSED', message: 'no such account' } },
  ]);
  refuse = false;
  await keeper.replay('s');
  await completed(keeper, ['s']);
});

test('a finished task leaves the ledger after its dedup window, is read from the history, and its id is free again', async () => {
  const keeper = await join(newPlace(), {
    sessionTimeoutMs: 1_000,
    dedupWindowMs: 1_000,
    reconcileEveryMs: 200,
  });
  const ran = await work(keeper);
  await keeper.scheduler().start();
  await keeper.submit({ id: 'old', type: 'note', payload: 'first' });
  await completed(keeper, ['old']);
  await eventually(
    async () => {
      const again = await keeper
        .submit({ id: 'old', type: 'note', payload: 'second' })
        .catch((error) => error);
      expect(again).toMatchObject({ created: true });
    },
    { what: 'the id is free again' },
  );
  await eventually(
    async () => expect(await keeper.get('old')).toMatchObject({ result: { value: 'did second' } }),
    {
      what: 'the new task of that id has run',
    },
  );
  expect(ran).toEqual(['old', 'old']);
  await keeper.submit({ id: 'past', type: 'note', payload: 'gone' });
  await completed(keeper, ['past']);
  const record = await keeper.get('past');
  await eventually(
    async () => expect(await keeper.replay('past').catch(({ code }) => code)).toBe('TASK_NOT_FOUND'),
    { what: 'it has left the ledger' },
  );
  expect(await keeper.get('past')).toEqual(record);
});

test('a delivery that Redis lost alone, its marker still there, is made again by the slow pass', async () => {
  const place = newPlace();
  const keeper = await join(place, { reconcileEveryMs: 200 });
  await keeper.scheduler().start();
  const redis = await openRedis();
  await markerStands(redis, place);
  await keeper.submit({ id: 'forgotten', type: 'note', payload: 'x' });
  await delivered(redis, place);
  expect(await redis.del(...(await redis.keys(`${place.prefix}:default:*`)))).toBeGreaterThan(0);
  const ran = await work(keeper);
  await completed(keeper, ['forgotten']);
  expect(ran).toEqual(['forgotten']);
});

test('when the leading scheduler goes, another leads: what Redis loses then is delivered again', async () => {
  const place = newPlace();
  const [first, second] = [await join(place), await join(place)];
  await first.scheduler().start();
  const redis = await openRedis();
  await markerStands(redis, place);
  await second.scheduler().start();
  await first.close();
  await second.submit({ id: 'handed-over', type: 'note', payload: 'x' });
  await delivered(redis, place);
  expect(await redis.del(...(await redis.keys(`${place.prefix}:*`)))).toBeGreaterThan(1);
  const ran = await work(second);
  await completed(second, ['handed-over']);
  expect(ran).toEqual(['handed-over']);
});

test('the fleet lists its workers with what they run, and forgets one that was closed', async () => {
  const place = newPlace();
  const keeper = await join(place);
  const other = await join(place);
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await other.worker({ types: [defineTask('held', { handler: () => held })], concurrency: 3 }).start();
  await keeper.submit({ id: 'h', type: 'held' });
  await eventually(
    async () =>
      expect(await keeper.fleet()).toMatchObject([{ pid: process.pid, concurrency: 3, tasks: ['h'] }]),
    {
      what: 'the worker is listed with its task',
    },
  );
  release();
  await completed(keeper, ['h']);
  await other.close();
  expect(await keeper.fleet()).toEqual([]);
});

test('bad options are named, and a closed connection says so', async () => {
  const short = connect({ zookeeper: zookeeperUrl(), redis: redisUrl(), dedupWindowMs: 9_999 });
  await expect(short).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('dedupWindowMs'),
  });
  const bad = connect({ zookeeper: zookeeperUrl(), redis: redisUrl(), sessionTimeout: 5 } as never);
  await expect(bad).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('sessionTimeout'),
  });
  expect(() => defineTask('x', { handler: () => 1, retries: 3 } as never)).toThrow(/retries/);
  expect(() => defineTask('x', { handler: () => 1, onInterrupted: 'verify' })).toThrow(/verify/);
  const keeper = await join(newPlace());
  await keeper.submit({ id: 'waits', type: 'note' });
  const wait = keeper.untilEnded('waits', new AbortController().signal);
  const toldSo = expect(wait).rejects.toMatchObject({ code: 'CLOSED' });
  await keeper.close();
  await toldSo;
  await keeper.close();
  await expect(keeper.submit({ id: 'x', type: 'note' })).rejects.toMatchObject({ code: 'CLOSED' });
  await expect(
    connect({ zookeeper: '127.0.0.1:1', redis: redisUrl(), requestMsMax: 500, log: silentLogger }),
  ).rejects.toMatchObject({
    code: 'ZOOKEEPER_UNAVAILABLE',
  });
});

test('of a list that is on its way to a frozen server, each task is told in time what is known of it', async () => {
  const zookeeper = await startZooKeeper();
  cleanups.push(() => zookeeper.stop());
  // A session that is not given up meanwhile: what is sent stays on its way.
  const patient = { sessionTimeoutMs: 8_000, requestMsMax: 500 };
  const keeper = await join(newPlace(), { zookeeper: zookeeper.url, ...patient });
  zookeeper.freeze();
  let tries = 0;
  const alone = (): Promise<unknown> => keeper.submit({ id: `alone-${tries++}`, type: 'note' });
  await eventually(() => expect(alone()).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' }), {
    what: 'the server is frozen, which is not at once',
  });
  const outcomes = await keeper.submitMany([{ id: 'a', type: 'note' }, null, { id: 'b' }]);
  zookeeper.thaw();
  expect(outcomes).toMatchObject([
    { kind: 'refused', error: { code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('task a ') } },
    { kind: 'refused', error: { code: 'SUBMISSION_INVALID' } },
    { kind: 'refused', error: { code: 'SUBMISSION_INVALID', field: 'type' } },
  ]);
  await eventually(async () => expect(await keeper.get('a')).toMatchObject({ state: 'waiting' }), {
    what: 'the task is accepted after all',
  });
});
