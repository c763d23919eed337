// read-model.test.ts: what lists and counts rely on, against a real Redis: that an older word never replaces a newer one, that
// pages hold together while tasks come and go, and that what was lost, missed or left over is repaired from the ledger.

import fc from 'fast-check';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../infra/servers.js';
import { EventLog } from '../../src/delivery/event-log.js';
import { Deliveries, type FeedItem, type ReadModel, type TaskPage } from '../../src/delivery/index.js';
import { lineOf } from '../../src/delivery/line.js';
import { readModelScript } from '../../src/delivery/read-model-script.js';
import { sheetsOf } from '../../src/delivery/sheet.js';
import {
  bucketOf,
  type EpochMs,
  type Held,
  type Json,
  type ListInput,
  limits,
  type Name,
  type Nonce,
  parseFollowing,
  parseListing,
  parseSubmission,
  type RecordEvent,
  recordFormat,
  resolvePolicy,
  type State,
  states,
  type TaskId,
  type TaskRecord,
  transition,
  type WorkerId,
} from '../../src/domain/index.js';
import { accept, cancel, type LedgerContext, recordPath, replay, walk } from '../../src/ledger/index.js';
import { type Runtime, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { type DeliveryPort, reconcile } from '../../src/scheduler/reconcile.js';
import { Scheduler } from '../../src/scheduler/scheduler.js';
import type { ViewPort } from '../../src/scheduler/view-repair.js';
import { join, type Party, submit } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { ManualClock } from '../support/manual-clock.js';
import { SeededRandom } from '../support/seeded-random.js';
import { redisUrl, uniquePrefix } from '../support/servers.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const runtime: Runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
const noEnd = new AbortController().signal;
const t0 = Date.UTC(2026, 0, 1) as EpochMs;

async function start(url = redisUrl(), prefix = uniquePrefix()): Promise<Deliveries> {
  const deliveries = new Deliveries({ redisUrl: url, prefix }, runtime);
  await deliveries.start();
  onTestFinished(() => deliveries.stop());
  return deliveries;
}

async function view(): Promise<ReadModel> {
  return (await start()).view;
}

function record(id: string, more: Partial<TaskRecord> = {}): TaskRecord {
  return {
    v: recordFormat,
    id: id as TaskId,
    type: 'mail' as Name,
    queue: 'default' as Name,
    payload: null,
    hash: 'hash',
    priority: 0,
    state: 'waiting',
    attempt: 1,
    nonce: 'nonce' as Nonce,
    acceptedAt: t0,
    ...more,
  };
}

function held(id: string, version: number, more: Partial<TaskRecord> = {}): Held {
  return { record: record(id, more), version };
}

async function told(model: ReadModel, ...words: readonly (Held & { readonly gone?: true })[]): Promise<void> {
  model.note(words);
  await model.news.flush();
}

function list(model: ReadModel, input: ListInput = {}): Promise<TaskPage> {
  return model.list(parseListing(input));
}

async function idsOf(model: ReadModel, input: ListInput = {}): Promise<string[]> {
  return (await list(model, input)).tasks.map(({ id }) => id);
}

/** Every task, page by page; `between` pages something may happen. */
async function pageThrough(
  model: ReadModel,
  input: ListInput,
  between: () => Promise<void> = async () => undefined,
): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page: TaskPage = await list(model, { ...input, ...(cursor === null ? {} : { cursor }) });
    ids.push(...page.tasks.map(({ id }) => id));
    cursor = page.cursor;
    await between();
  } while (cursor !== null);
  return ids;
}

async function countsOf(model: ReadModel, queue = 'default'): Promise<Partial<Record<State, number>>> {
  const found = (await model.queues(systemClock.now())).find((each) => each.queue === queue);
  return Object.fromEntries(Object.entries(found?.counts ?? {}).filter(([, count]) => count > 0));
}

/** Every index of a view, with its members, as Redis has them. */
async function indexesOf(prefix: string): Promise<Map<string, string[]>> {
  const redis = new Redis(redisUrl());
  try {
    const keys = (await redis.keys(`${prefix}:@*`)).filter((key) =>
      /@(in:|type:|error:|due:|queues|types)/.test(key),
    );
    const found = new Map<string, string[]>();
    for (const key of keys.sort()) {
      const members = /@(queues|types)$/.test(key)
        ? (await redis.smembers(key)).sort()
        : await redis.zrange(key, 0, -1, 'WITHSCORES');
      found.set(key.slice(prefix.length), members);
    }
    return found;
  } finally {
    redis.disconnect();
  }
}

describe('words', () => {
  test('a task is shown as its record is', async () => {
    const model = await view();
    const claim = { worker: 'w-1' as WorkerId, nonce: 'n' as Nonce };
    const ended = { n: 1, nonce: 'n' as Nonce, worker: claim.worker, startedAt: t0, endedAt: t0 };
    const error = { code: 'HANDLER_FAILED', message: 'no' };
    await told(
      model,
      held('a', 4, {
        state: 'running',
        attempt: 2,
        claim,
        startedAt: (t0 + 5) as EpochMs,
        replays: 3,
        attempts: [{ ...ended, outcome: 'failed', error }],
      }),
    );
    expect((await list(model)).tasks).toEqual([
      {
        id: 'a',
        type: 'mail',
        queue: 'default',
        state: 'running',
        attempt: 2,
        acceptedAt: t0,
        startedAt: t0 + 5,
        finishedAt: null,
        errorCode: 'HANDLER_FAILED',
        replays: 3,
        worker: 'w-1',
      },
    ]);
  });

  test('an older word that comes after a newer one changes nothing', async () => {
    const model = await view();
    await told(model, held('a', 3, { state: 'completed' }));
    await told(model, held('a', 1, { state: 'running' }), held('a', 0));
    expect((await list(model)).tasks).toMatchObject([{ state: 'completed' }]);
    expect(await countsOf(model)).toEqual({ completed: 1 });
    await told(model, held('a', 2, { state: 'running' }), held('a', 10, { state: 'failed' }), held('a', 9));
    expect((await list(model)).tasks).toMatchObject([{ state: 'failed' }]);
    expect(await countsOf(model)).toEqual({ failed: 1 });
  });

  test('a task made anew under an id that has left the ledger is newer than all of the one before', async () => {
    const model = await view();
    const later = (t0 + 1) as EpochMs;
    await told(model, held('a', 7, { state: 'completed', type: 'old' as Name, queue: 'old' as Name }));
    await told(model, held('a', 0, { acceptedAt: later }));
    await told(model, held('a', 8, { state: 'failed', type: 'old' as Name, queue: 'old' as Name }));
    await told(model, { ...held('a', 8, { state: 'failed' }), gone: true });
    expect((await list(model)).tasks).toMatchObject([{ state: 'waiting', queue: 'default' }]);
    expect(await idsOf(model, { type: 'old' })).toEqual([]);
    expect((await model.queues(systemClock.now())).map(({ queue }) => queue)).toEqual(['default']);
  });

  test('what is found, goes, and is found anew in one batch is shown as it stands in the end', async () => {
    const model = await view();
    const later = (t0 + 1) as EpochMs;
    await model.show([held('a', 2, { state: 'failed' }), held('a', 3, { state: 'completed' }), held('a', 1)]);
    expect(await countsOf(model)).toEqual({ completed: 1 });
    await told(
      model,
      { ...held('a', 3, { state: 'completed' }), gone: true },
      held('a', 0, { acceptedAt: later }),
      { ...held('a', 3, { state: 'completed' }), gone: true },
    );
    expect((await list(model)).tasks).toMatchObject([{ state: 'waiting', acceptedAt: later }]);
    expect(await countsOf(model)).toEqual({ waiting: 1 });
    expect(await model.show([held('a', 5, { state: 'failed' })])).toMatchObject([{ id: 'a' }]);
    expect(await model.show([held('a', 0, { acceptedAt: later })])).toEqual([]);
  });

  test('what has left the ledger is in no list, count or index any more', async () => {
    const deliveries = await start();
    const model = deliveries.view;
    const error = { code: 'HANDLER_FAILED', message: 'no' };
    const attempt = { n: 1, nonce: 'n' as Nonce, worker: 'w' as WorkerId, startedAt: t0, endedAt: t0 };
    const failed = held('a', 2, { state: 'failed', attempts: [{ ...attempt, outcome: 'failed', error }] });
    await told(model, held('a', 0), failed);
    expect(await idsOf(model, { errorCode: 'HANDLER_FAILED' })).toEqual(['a']);
    await told(model, { ...failed, gone: true });
    expect(await list(model)).toEqual({ tasks: [], cursor: null });
    expect(await model.queues(systemClock.now())).toEqual([]);
    expect((await model.stampsOf(['a' as TaskId]))[0]).toBeNull();
  });

  test('what is told while Redis is away is shown when it is back', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const deliveries = await start(redis.url);
    await redis.kill();
    await eventually(async () => expect(deliveries.available).toBe(false), { what: 'Redis is away' });
    deliveries.view.note([held('a', 0)]);
    await expect(list(deliveries.view)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await redis.restart();
    await deliveries.view.news.flush();
    expect(await idsOf(deliveries.view)).toEqual(['a']);
  });

  test('beyond its bound the oldest words are dropped, counted, and nobody waits', async () => {
    const deliveries = new Deliveries({ redisUrl: 'redis://127.0.0.1:1', prefix: uniquePrefix() }, runtime);
    onTestFinished(() => deliveries.stop());
    const many = Array.from({ length: limits.viewBufferMax + 1 }, (_, i) => held(`t${i}`, 0));
    deliveries.view.note(many);
    expect(deliveries.view.news.dropped).toBe(limits.viewBufferMax / 10 + 1);
  });
});

describe('lists', () => {
  test('newest first, those of one moment by id, and by every filter', async () => {
    const model = await view();
    const at = (ms: number): EpochMs => (t0 + ms) as EpochMs;
    await told(
      model,
      held('b', 0, { acceptedAt: at(1) }),
      held('a', 0, { acceptedAt: at(1), type: 'sms' as Name }),
      held('c', 0, { acceptedAt: at(2), queue: 'slow' as Name }),
      held('d', 1, { acceptedAt: at(3), state: 'failed', queue: 'slow' as Name, type: 'sms' as Name }),
    );
    expect(await idsOf(model)).toEqual(['d', 'c', 'b', 'a']);
    expect(await idsOf(model, { queue: 'slow' })).toEqual(['d', 'c']);
    expect(await idsOf(model, { state: 'waiting' })).toEqual(['c', 'b', 'a']);
    expect(await idsOf(model, { state: 'waiting', queue: 'slow' })).toEqual(['c']);
    expect(await idsOf(model, { type: 'sms' })).toEqual(['d', 'a']);
    expect(await idsOf(model, { type: 'sms', state: 'waiting' })).toEqual(['a']);
    expect(await idsOf(model, { queue: 'none' })).toEqual([]);
    expect(await idsOf(model, { acceptedAfter: at(2) })).toEqual(['d', 'c']);
    expect(await idsOf(model, { acceptedBefore: at(2) })).toEqual(['b', 'a']);
    expect(await idsOf(model, { acceptedAfter: new Date(at(1)), acceptedBefore: at(3), limit: 2 })).toEqual([
      'c',
      'b',
    ]);
  });

  test('one that waits is in the list of those, whether it was due when it was accepted or is later', async () => {
    const model = await view();
    await told(
      model,
      held('a', 0),
      held('b', 0, { notBefore: (t0 + 60_000) as EpochMs }),
      held('c', 0, { notBefore: (t0 - 1) as EpochMs }),
    );
    expect(await idsOf(model, { state: 'waiting' })).toEqual(['c', 'b', 'a']);
    await told(model, held('b', 1, { state: 'running' }), held('c', 1, { state: 'running' }));
    await told(model, held('c', 2, { attempt: 2, notBefore: (t0 + 5_000) as EpochMs }));
    expect(await idsOf(model, { state: 'waiting' })).toEqual(['c', 'a']);
    expect(await idsOf(model, { state: 'running' })).toEqual(['b']);
    expect(await countsOf(model)).toEqual({ waiting: 2, running: 1 });
  });

  test('pages hold every task once, whatever is accepted and moved meanwhile', async () => {
    const model = await view();
    // Many of one moment, as a bulk submit makes them.
    const ids = Array.from({ length: 1_200 }, (_, i) => `t${String(i).padStart(4, '0')}`);
    const acceptedAt = (i: number): EpochMs => (t0 + Math.floor(i / 400)) as EpochMs;
    await told(model, ...ids.map((id, i) => held(id, 0, { acceptedAt: acceptedAt(i) })));
    let serial = 0;
    const meanwhile = async (): Promise<void> => {
      serial += 1;
      const at = Math.floor(systemRandom.roll() * ids.length);
      await told(
        model,
        held(`new${serial}`, 0, { acceptedAt: (t0 + 10 + serial) as EpochMs }),
        held(ids[at] as string, serial, { acceptedAt: acceptedAt(at), state: 'running' }),
      );
    };
    const seen = await pageThrough(model, { limit: 47 }, meanwhile);
    expect(serial).toBeGreaterThan(20);
    expect(seen).toEqual([...ids].reverse());
    const byQueue = await pageThrough(model, { queue: 'default', limit: 500 });
    expect(byQueue).toHaveLength(ids.length + serial);
    expect(new Set(byQueue).size).toBe(byQueue.length);
  });

  test('what takes several looks to find is found once', async () => {
    const model = await view();
    const queueOf = (i: number): Name => (i % 3 === 0 ? 'rare' : 'default') as Name;
    const at = (i: number): EpochMs => (t0 - i) as EpochMs;
    const some = Array.from({ length: 400 }, (_, i) =>
      held(`s${i}`, 0, { acceptedAt: at(i), type: 'sms' as Name, queue: queueOf(i) }),
    );
    const others = Array.from({ length: 500 }, (_, i) =>
      held(`o${i}`, 0, { acceptedAt: at(i), queue: 'rare' as Name }),
    );
    await told(model, ...some, ...others);
    const expected = some.filter((_, i) => i % 3 === 0).map(({ record: { id } }) => id);
    expect(await pageThrough(model, { type: 'sms', queue: 'rare', limit: 60 })).toEqual(expected);
  });

  test('of many types, pages hold every task once in order, however the types are spread', async () => {
    const model = await view();
    const random = new SeededRandom(7);
    // Runs of one type, and others in between.
    const tasks = Array.from({ length: 1_500 }, (_, i) => {
      const type = i % 500 < 200 ? 'often' : `type${Math.floor(random.roll() * 60)}`;
      return held(`t${i}`, 0, { acceptedAt: (t0 - i) as EpochMs, type: type as Name });
    });
    await told(model, ...tasks);
    const expected = tasks.map(({ record: { id } }) => id);
    for (const limit of [1, 47, 500]) {
      const upTo = limit === 1 ? 30 : expected.length;
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const page: TaskPage = await list(model, { limit, ...(cursor === null ? {} : { cursor }) });
        seen.push(...page.tasks.map(({ id }) => id));
        cursor = page.cursor;
      } while (cursor !== null && seen.length < upTo);
      expect(seen.slice(0, upTo)).toEqual(expected.slice(0, upTo));
    }
  });

  test('a page that would need too many looks is short, and has a next one', async () => {
    const model = await view();
    const rare = held('rare', 0, { acceptedAt: t0, type: 'rare' as Name });
    const many = Array.from({ length: limits.listScanMax + 500 }, (_, i) =>
      held(`m${i}`, 0, { acceptedAt: (t0 + 1 + i) as EpochMs, type: 'rare' as Name, queue: 'other' as Name }),
    );
    const others = Array.from({ length: limits.listScanMax + 600 }, (_, i) =>
      held(`o${i}`, 0, { acceptedAt: (t0 + 1 + i) as EpochMs }),
    );
    await told(model, rare, ...many, ...others);
    const first = await list(model, { type: 'rare', queue: 'default' });
    expect(first).toMatchObject({ tasks: [], cursor: expect.any(String) });
    expect(await pageThrough(model, { type: 'rare', queue: 'default' })).toEqual(['rare']);
  });

  test.each([
    ['cursor', { cursor: 'nonsense' }],
    ['cursor', { cursor: Buffer.from('12:.bad').toString('base64url') }],
    ['limit', { limit: 0 }],
    ['limit', { limit: limits.listTasksMax + 1 }],
    ['state', { state: 'done' }],
    ['acceptedAfter', { acceptedAfter: 'yesterday' }],
    ['sate', { sate: 'failed' }],
  ])('%s is refused by name: %j', (field, input) => {
    expect(() => parseListing(input)).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID', status: 400, field }) as Error,
    );
  });
});

describe('what runs', () => {
  test('is named, whatever its queue', async () => {
    const model = await view();
    await told(
      model,
      held('a', 1, { state: 'running' }),
      held('b', 1, { state: 'running', queue: 'mail' as Name }),
      held('c', 0),
      held('d', 2, { state: 'completed' }),
    );
    expect((await model.running()).sort()).toEqual(['a', 'b']);
  });
});

describe('queues', () => {
  test('counts per state, and since when the oldest that is due has been', async () => {
    const model = await view();
    const now = systemClock.now();
    const ago = (ms: number): EpochMs => (now - ms) as EpochMs;
    await told(
      model,
      held('a', 0, { acceptedAt: ago(9_000), notBefore: (now + 60_000) as EpochMs }),
      held('b', 0, { acceptedAt: ago(8_000), notBefore: ago(3_000) }),
      held('c', 0, { acceptedAt: ago(5_000) }),
      held('d', 1, { acceptedAt: ago(20_000), state: 'running' }),
      held('e', 0, { acceptedAt: ago(1), queue: 'later' as Name, notBefore: (now + 60_000) as EpochMs }),
    );
    expect(await model.queues(now)).toMatchObject([
      { queue: 'default', counts: { waiting: 3, running: 1, failed: 0 }, oldestDueSince: now - 5_000 },
      { queue: 'later', counts: { waiting: 1 }, oldestDueSince: null },
    ]);
    await told(model, held('c', 1, { acceptedAt: ago(5_000), state: 'running' }));
    expect(await model.queues(now)).toMatchObject([{ oldestDueSince: now - 3_000 }, {}]);
  });

  test('after any moves, told in any order, indexes and counts are those of the records as they stand', async () => {
    const move = fc.record({ task: fc.nat(5), event: fc.nat(20) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(move, { minLength: 20, maxLength: 80 }),
        fc.integer(),
        async (moves, seed) => {
          const prefix = uniquePrefix();
          const deliveries = new Deliveries({ redisUrl: redisUrl(), prefix }, runtime);
          const fresh = uniquePrefix();
          const rebuilt = new Deliveries({ redisUrl: redisUrl(), prefix: fresh }, runtime);
          await Promise.all([deliveries.start(), rebuilt.start()]);
          try {
            const { standing, words } = storyOf(moves);
            const random = new SeededRandom(seed, 'order');
            const order = [...words].sort(() => random.roll() - 0.5);
            for (let from = 0; from < order.length; from += 10)
              await told(deliveries.view, ...order.slice(from, from + 10));
            await rebuilt.view.show(standing);
            expect(await indexesOf(prefix)).toEqual(await indexesOf(fresh));
            for (const state of states) {
              const expected = standing.filter(({ record: { state: now } }) => now === state).length;
              const counted = (await deliveries.view.queues(systemClock.now())).reduce(
                (sum, { counts }) => sum + counts[state],
                0,
              );
              expect(counted).toBe(expected);
            }
          } finally {
            await Promise.all([deliveries.stop(), rebuilt.stop()]);
          }
        },
      ),
      { numRuns: 15 },
    );
  });
});

/** Tasks that go through moves of the state table: every word that was to be told, and what stands in the end. */
function storyOf(moves: readonly { readonly task: number; readonly event: number }[]): {
  readonly standing: readonly Held[];
  readonly words: readonly Held[];
} {
  const now = new Map<number, Held>();
  const words: Held[] = [];
  const say = (task: number, each: Held): void => {
    now.set(task, each);
    words.push(each);
  };
  for (const { task, event } of moves) {
    const before = now.get(task);
    if (before === undefined) {
      const queue = `q${task % 2}` as Name;
      say(task, held(`t${task}`, 0, { queue, acceptedAt: (t0 + task) as EpochMs }));
      continue;
    }
    const nexts = eventsOf(before.record).flatMap((each) => {
      const next = transition(before.record, each);
      return next.kind === 'moved' ? [next.record] : [];
    });
    const record = nexts[event % nexts.length];
    if (record !== undefined) say(task, { record, version: before.version + 1 });
  }
  return { standing: [...now.values()], words };
}

function eventsOf({ nonce, claim }: TaskRecord): RecordEvent[] {
  const at = (t0 + 1_000) as EpochMs;
  const ref = claim ?? { worker: 'w' as WorkerId, nonce: 'n' as Nonce };
  const error = { code: 'HANDLER_FAILED', message: 'no' };
  return [
    { kind: 'claimed', at, nonce: ref.nonce, claim: ref, policy: resolvePolicy(null, null) },
    { kind: 'succeeded', at, nonce, result: { value: null as Json } },
    { kind: 'attemptFailed', at, nonce, error, retryAt: at },
    { kind: 'attemptFailed', at, nonce, error, retryAt: null },
    { kind: 'interrupted', at, claim: ref },
    { kind: 'replayed', nonce },
    { kind: 'cancelled', at },
  ];
}

describe('events', () => {
  async function take(model: ReadModel, count: number, after = '0', more = {}): Promise<unknown[]> {
    const items: unknown[] = [];
    const end = new AbortController();
    const feed = await model.events.follow(parseFollowing({ after, ...more }), end.signal);
    expect((await feed.next()).value).toMatchObject({ kind: 'quiet' }); // Its place comes first.
    for await (const item of feed) {
      items.push(item);
      if (items.length === count) end.abort();
    }
    return items;
  }

  test('every change of state is an event, also what was written over at once; nothing else is', async () => {
    const model = await view();
    await told(
      model,
      held('a', 0),
      held('a', 1, { state: 'running' }),
      held('a', 2, { state: 'running', cancelRequested: true }),
      held('a', 3, { state: 'completed' }),
      held('b', 0),
    );
    expect(await take(model, 4)).toMatchObject([
      { kind: 'event', from: null, task: { id: 'a', state: 'waiting' } },
      { kind: 'event', from: 'waiting', task: { id: 'a', state: 'running' } },
      { kind: 'event', from: 'running', task: { id: 'a', state: 'completed' } },
      { kind: 'event', from: null, task: { id: 'b', state: 'waiting' } },
    ]);
    expect(await take(model, 1, '0', { state: 'completed' })).toMatchObject([
      { task: { state: 'completed' } },
    ]);
  });

  test('who comes back goes on after what it has seen; where that is no longer kept, it is told', async () => {
    const model = await view();
    await told(model, held('a', 0), held('b', 0));
    const [first] = (await take(model, 1)) as { id: string }[];
    expect(await take(model, 1, first?.id)).toMatchObject([{ kind: 'event', task: { id: 'b' } }]);
    expect(await take(model, 3, '1-1')).toMatchObject([
      { kind: 'gap', after: '1-1' },
      { kind: 'event', task: { id: 'a' } },
      { kind: 'event', task: { id: 'b' } },
    ]);
  });

  test('who was cut off amid changes that were told together goes on there', async () => {
    const model = await view();
    const tasks = Array.from({ length: 70 }, (_, n) => held(`t${n}`, 0));
    const lives = tasks.flatMap((task) => [
      task,
      { ...task, version: 1, record: { ...task.record, state: 'running' as const } },
      { ...task, version: 2, record: { ...task.record, state: 'completed' as const } },
    ]);
    await told(model, ...lives);
    const all = (await take(model, 210)) as { id: string }[];
    expect(new Set(all.map(({ id }) => id)).size).toBe(210);
    for (const seen of [1, 2, 3, 50, 51, 52, 149, 150, 209]) {
      expect(await take(model, 210 - seen, all[seen - 1]?.id)).toEqual(all.slice(seen));
    }
    const [ms, serial] = (all[0]?.id ?? '').split('-').map(Number) as [number, number];
    for (const unknown of [`${ms}-${serial - 1}`, `${ms - 1}-${serial}`]) {
      expect(await take(model, 2, unknown)).toEqual([{ kind: 'gap', after: unknown }, all[0]]);
    }
  });

  test('of one task they come in the order of its life, in whichever it was told', async () => {
    const model = await view();
    await told(
      model,
      held('a', 3, { state: 'completed' }),
      held('a', 0),
      held('a', 1, { state: 'running' }),
      held('a', 0),
    );
    await told(model, held('a', 2, { state: 'running', attempt: 2 }));
    expect(await take(model, 3)).toMatchObject([
      { from: null, task: { state: 'waiting' } },
      { from: 'waiting', task: { state: 'running' } },
      { from: 'running', task: { state: 'completed' } },
    ]);
  });

  test('what was found in a pass, and what goes, is none; what was told of it before it went is', async () => {
    const model = await view();
    await model.show([held('found', 0)]);
    await told(model, held('a', 1, { state: 'running' }), held('a', 2, { state: 'completed' }), {
      ...held('a', 2, { state: 'completed' }),
      gone: true,
    });
    await told(model, held('found', 1, { state: 'cancelled' }));
    expect(await idsOf(model)).toEqual(['found']);
    expect(await take(model, 3)).toMatchObject([
      { from: null, task: { id: 'a', state: 'running' } },
      { from: 'running', task: { id: 'a', state: 'completed' } },
      { from: 'waiting', task: { id: 'found', state: 'cancelled' } },
    ]);
  });

  test('as many as are promised are kept, and few more, whether they come alone or together', async () => {
    const redis = new Redis(redisUrl());
    onTestFinished(() => redis.disconnect());
    const prefix = `${uniquePrefix()}:@`;
    let tasks = 0;
    const tell = (count: number): Promise<unknown> => {
      const words = Array.from({ length: count }, () => {
        tasks += 1;
        const { record } = held(`t${tasks}`, 0);
        return { how: 'told' as const, id: record.id, line: lineOf({ record, version: 0 }) };
      });
      return redis.eval(readModelScript, 1, prefix, 100, '', ...sheetsOf(words));
    };
    const kept = async (): Promise<number> => {
      const [oldest] = await redis.xrange(`${prefix}events`, '-', '+', 'COUNT', 1);
      const [, froms = ''] = oldest?.[1] ?? [];
      return tasks - Number(oldest?.[0].split('-')[1]) + froms.split(' ').length;
    };
    for (const count of [1, 200, 1, 1, 30, ...Array.from({ length: 130 }, () => 1), 170, 3]) {
      await tell(count);
      const found = await kept();
      expect(found).toBeGreaterThanOrEqual(Math.min(tasks, 100));
      expect(found).toBeLessThanOrEqual(100 + 50);
    }
    expect(await redis.xlen(`${prefix}events`)).toBeLessThan(10);
  });

  test('where Redis refuses an event, lines and indexes agree all the same', async () => {
    const prefix = uniquePrefix();
    const { view } = await start(redisUrl(), prefix);
    const redis = new Redis(redisUrl());
    onTestFinished(() => redis.disconnect());
    const events = `${prefix}:@events`;
    // Redis remembers the largest id of a stream, also once its entry is gone.
    const ahead = `${systemClock.now() + 3_600_000}-2`;
    await redis.xadd(events, '1-1', 'from', '-', 'sheet', '');
    await redis.xadd(events, ahead, 'from', '-', 'sheet', '');
    await redis.xdel(events, ahead);
    const { record } = held('t1', 0);
    const sheets = sheetsOf([{ how: 'told', id: record.id, line: lineOf({ record, version: 0 }) }]);
    const tell = redis.eval(readModelScript, 1, `${prefix}:@`, 100, '', ...sheets);
    await expect(tell).rejects.toThrow('ID specified in XADD');
    expect(await idsOf(view)).toEqual(['t1']);
    expect(await countsOf(view)).toEqual({ waiting: 1 });
  });

  test('a stream that somebody has emptied goes on, also where it was ahead of the clock', async () => {
    const prefix = uniquePrefix();
    const redis = new Redis(redisUrl());
    const deliveries = new Deliveries({ redisUrl: redisUrl(), prefix }, runtime);
    onTestFinished(() => {
      redis.disconnect();
      return deliveries.stop();
    });
    await deliveries.start();
    const model = deliveries.view;
    const ahead = systemClock.now() + 3_600_000;
    await redis.xadd(`${prefix}:@events`, `${ahead}-7`, 'from', '-', 'sheet', '');
    await redis.xtrim(`${prefix}:@events`, 'MAXLEN', 0);
    await told(model, held('a', 0));
    expect(await idsOf(model)).toEqual(['a']);
    expect(await countsOf(model)).toEqual({ waiting: 1 });
    expect(await take(model, 1)).toMatchObject([{ kind: 'event', id: `${ahead}-8`, task: { id: 'a' } }]);
  });

  test('without a place it is from now on; an id that is ahead of all is a gap, and then from now on', async () => {
    const model = await view();
    await told(model, held('a', 0));
    const end = new AbortController();
    const ahead = `${systemClock.now() + 3_600_000}-0`;
    const feeds = [
      await model.events.follow(parseFollowing({}), end.signal),
      await model.events.follow(parseFollowing({ after: ahead }), end.signal),
    ] as const;
    expect((await feeds[0].next()).value).toMatchObject({ kind: 'quiet' });
    expect((await feeds[1].next()).value).toEqual({ kind: 'quiet', id: ahead });
    expect((await feeds[1].next()).value).toEqual({ kind: 'gap', after: ahead });
    const next = feeds.map((feed) => feed.next());
    let answered = 0;
    for (const item of next) void item.then(() => (answered += 1));
    await eventually(
      async () => {
        await told(model, held(`b${systemRandom.nonce()}`, 0));
        expect(answered).toBe(2);
      },
      { what: 'both feeds go on' },
    );
    for (const item of await Promise.all(next)) {
      expect(item.value).toMatchObject({ kind: 'event', task: { id: expect.stringMatching(/^b/) } });
    }
    end.abort();
    await Promise.all(feeds.map((feed) => feed.return()));
  });

  test('who breaks off before anything has come goes on from where it began, and misses nothing', async () => {
    const model = await view();
    await told(model, held('before', 0));
    const feed = await model.events.follow(parseFollowing({}), noEnd);
    const { value: place } = await feed.next();
    await feed.return();
    await told(model, held('meanwhile', 0));
    expect(place).toMatchObject({ kind: 'quiet' });
    const { id } = place as { id: string };
    expect(await take(model, 1, id)).toMatchObject([{ kind: 'event', task: { id: 'meanwhile' } }]);
  });

  test('those of other queues do not keep back the word that nothing has happened in these', async () => {
    const prefix = uniquePrefix();
    const deliveries = new Deliveries({ redisUrl: redisUrl(), prefix }, runtime);
    const redis = new Redis(redisUrl());
    onTestFinished(() => {
      redis.disconnect();
      return deliveries.stop();
    });
    await deliveries.start();
    const clock = new ManualClock();
    const access = {
      redis,
      prefix,
      available: () => true,
      ask: <T>(question: () => Promise<T>) => question(),
    };
    const log = new EventLog(access, `${prefix}:@events`, clock);
    const end = new AbortController();
    const feed = await log.follow(parseFollowing({ queues: ['mail-*', 'post'] }), end.signal);
    expect((await feed.next()).value).toEqual({ kind: 'quiet', id: '0-0' });
    const seen: FeedItem[] = [];
    void (async () => {
      for await (const item of feed) seen.push(item);
    })();
    let n = 0;
    const busy = async (): Promise<void> => {
      n += 1;
      await told(deliveries.view, held(`bank-${n}`, 0, { queue: 'bank' as Name }));
      await clock.advance(1_000);
      expect(seen).toHaveLength(1);
    };
    await eventually(busy, { what: 'it is said that nothing has come' });
    expect(seen).toEqual([{ kind: 'quiet', id: expect.stringMatching(/^[1-9]/) }]);
    await told(deliveries.view, held('m', 0, { queue: 'mail-eu' as Name }));
    const shown = async (): Promise<void> => {
      await clock.advance(200);
      expect(seen.slice(1)).toMatchObject([{ kind: 'event', task: { id: 'm' } }]);
    };
    await eventually(shown, { what: 'what these have is shown' });
    end.abort();
  });
});

describe('a view of a ledger on ZooKeeper', () => {
  type Here = { readonly party: Party; readonly deliveries: Deliveries };
  const options = { dedupWindowMs: 3_600_000, historyMs: 60_000, graceMs: 1_000, reconcileEveryMs: 600_000 };

  /** Words reach the view only while `telling` says so. */
  async function here(telling: () => boolean = () => true, url = redisUrl()): Promise<Here> {
    const deliveries = await start(url);
    const own = await zookeeperWorld();
    onTestFinished(() => own.close());
    const note: LedgerContext['note'] = (news) => {
      if (telling()) deliveries.view.note(news);
    };
    const party = await join(own, deliveries.deliver.bind(deliveries), undefined, note);
    return { party, deliveries };
  }

  async function pass(
    { party, deliveries }: Here,
    port: DeliveryPort = deliveries,
    more = {},
  ): Promise<void> {
    await reconcile(party.ctx, port, {
      ...options,
      ...more,
      kind: 'thorough',
      guard: () => ({ kind: 'check', path: '/leader/term', version: null }),
      signal: noEnd,
      onOrphan: () => undefined,
    });
    await deliveries.view.news.flush();
  }

  async function ledgerOf({ ctx }: Party): Promise<Record<string, State>> {
    const found: Record<string, State> = {};
    await walk(ctx, noEnd, (helds) => {
      for (const { record: each } of helds) found[each.id] = each.state;
    });
    return found;
  }

  async function viewOf({ deliveries }: Here): Promise<Record<string, State>> {
    const all: Record<string, State> = {};
    for (const id of await pageThrough(deliveries.view, { limit: 500 })) all[id] = 'waiting';
    for (const state of states) {
      for (const id of await pageThrough(deliveries.view, { limit: 500, state })) all[id] = state;
    }
    return all;
  }

  test('what is accepted, cancelled and replayed is shown without a pass', async () => {
    const place = await here();
    const id = await submit(place.party, 'mail');
    await place.deliveries.view.news.flush();
    expect(await viewOf(place)).toEqual({ [id]: 'waiting' });
    await cancel(place.party.ctx, id, { deadlineMs: 10_000 });
    await place.deliveries.view.news.flush();
    expect(await viewOf(place)).toEqual({ [id]: 'cancelled' });
    await replay(place.party.ctx, id, { deadlineMs: 10_000 });
    await place.deliveries.view.news.flush();
    expect(await viewOf(place)).toEqual({ [id]: 'waiting' });
  });

  test('a pass shows what was missed and removes what is not in the ledger', async () => {
    let telling = false;
    const place = await here(() => telling);
    const ids = await Promise.all(Array.from({ length: 150 }, () => submit(place.party, 'mail')));
    for (const id of ids.slice(0, 20)) await cancel(place.party.ctx, id, { deadlineMs: 10_000 });
    telling = true;
    await told(place.deliveries.view, held('ghost', 3, { state: 'running' }), held('ghost-too', 0));
    await pass(place);
    expect(await viewOf(place)).toEqual(await ledgerOf(place.party));
    expect(Object.keys(await viewOf(place))).toHaveLength(150);
  });

  test("a word that is newer than the ledger's, as after a restore, gives way to the ledger", async () => {
    const place = await here();
    const id = await submit(place.party, 'mail');
    await told(place.deliveries.view, held(id, 99, { acceptedAt: (systemClock.now() + 1_000) as EpochMs }));
    await told(
      place.deliveries.view,
      held(id, 100, { state: 'completed', acceptedAt: (systemClock.now() + 1_000) as EpochMs }),
    );
    expect(await viewOf(place)).toEqual({ [id]: 'completed' });
    await pass(place);
    expect(await viewOf(place)).toEqual({ [id]: 'waiting' });
    expect(await countsOf(place.deliveries.view)).toEqual({ waiting: 1 });
  });

  test('a task that is made while the pass looks at its bucket is not removed', async () => {
    const place = await here();
    const view = place.deliveries.view;
    let made: TaskId | null = null;
    // Between the listing of its bucket and the look at the view.
    const idsIn = async (bucket: string): Promise<TaskId[]> => {
      if (made === null) {
        let n = 0;
        while (bucketOf(`made-${n}` as TaskId) !== bucket) n += 1;
        made = await submit(place.party, 'mail', { id: `made-${n}` });
        await view.news.flush();
      }
      return view.idsIn(bucket);
    };
    await pass(place, withView(place.deliveries, { ...portOf(view), idsIn }));
    expect(await ledgerOf(place.party)).toEqual({ [String(made)]: 'waiting' });
    expect(await viewOf(place)).toEqual({ [String(made)]: 'waiting' });
  });

  test('retention takes a task out of the view; submitted again, it is shown as the new task', async () => {
    const place = await here();
    const { ctx } = place.party;
    const task = { id: 'again' as TaskId, type: 'mail' };
    await accept(ctx, parseSubmission(task, ctx.runtime.clock.now()), { deadlineMs: 10_000 });
    await cancel(ctx, task.id, { deadlineMs: 10_000 });
    await eventually(
      async () => {
        await pass(place, place.deliveries, { dedupWindowMs: 0 });
        expect(await ctx.session.read(recordPath(task.id))).toBeNull();
      },
      { what: 'it has left the ledger' },
    );
    expect(await viewOf(place)).toEqual({});
    expect(await place.deliveries.getHistory(task.id)).toContain('cancelled');
    await accept(ctx, parseSubmission(task, ctx.runtime.clock.now()), { deadlineMs: 10_000 });
    await place.deliveries.view.news.flush();
    expect(await viewOf(place)).toEqual({ again: 'waiting' });
  });

  test('Redis loses everything: the next round of a real scheduler shows the whole ledger again', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const place = await here(() => true, redis.url);
    const { party, deliveries } = place;
    for (let n = 0; n < 300; n += 1) {
      const id = await submit(party, n % 2 ? 'mail' : 'sms', { queue: `q${n % 3}` });
      if (n % 5 === 0) await cancel(party.ctx, id, { deadlineMs: 10_000 });
    }
    const scheduler = new Scheduler(options, 's', party.ctx, party.generation, deliveries);
    await scheduler.start();
    onTestFinished(() => scheduler.stop());
    const whole = (): Promise<void> =>
      eventually(
        async () => {
          expect(await deliveries.readMarker()).toBe(party.generation.id);
          expect(await viewOf(place)).toEqual(await ledgerOf(party));
        },
        { what: 'the view is whole', deadlineMs: 20_000 },
      );
    await whole();
    const client = new Redis(redis.url);
    await client.flushall();
    client.disconnect();
    expect((await list(deliveries.view)).tasks).toEqual([]);
    await whole();
  });
});

function portOf(view: ReadModel): ViewPort {
  return {
    show: view.show.bind(view),
    replace: view.replace.bind(view),
    idsIn: view.idsIn.bind(view),
    stampsOf: view.stampsOf.bind(view),
    running: view.running.bind(view),
    drop: view.drop.bind(view),
  };
}

function withView(deliveries: Deliveries, view: ViewPort): DeliveryPort {
  return {
    pending: deliveries.pending.bind(deliveries),
    flush: deliveries.flush.bind(deliveries),
    readMarker: deliveries.readMarker.bind(deliveries),
    writeMarker: deliveries.writeMarker.bind(deliveries),
    putHistory: deliveries.putHistory.bind(deliveries),
    view,
  };
}
