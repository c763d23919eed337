// delivery.test.ts: what workers and scheduler rely on of deliveries, against a real Redis: in which order they come, that
// an outage neither throws nor hangs, and that whatever is lost or doubled is lost or doubled visibly.

import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../infra/servers.js';
import { Deliveries, type Envelope, Intake } from '../../src/delivery/index.js';
import { type EpochMs, type Hint, limits, type Name, type TaskId } from '../../src/domain/index.js';
import {
  type Clock,
  type Runtime,
  silentLogger,
  systemClock,
  systemRandom,
} from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { startProxy } from '../support/proxy.js';
import { redisUrl, uniquePrefix } from '../support/servers.js';

const queue = 'mail' as Name;
const takeMsMax = 10_000;

type Fleet = {
  readonly url: string;
  readonly prefix: string;
  readonly runtime: Runtime;
  readonly deliveries: Deliveries;
  worker(options?: {
    queue?: Name;
    lockDurationMs?: number;
    stalledIntervalMs?: number;
    clock?: Clock;
  }): Promise<Intake>;
};

async function fleet(url = redisUrl(), log = silentLogger): Promise<Fleet> {
  const prefix = uniquePrefix();
  const runtime: Runtime = { clock: systemClock, random: systemRandom, log };
  const deliveries = new Deliveries({ redisUrl: url, prefix }, runtime);
  await deliveries.start();
  onTestFinished(() => deliveries.stop());
  return {
    url,
    prefix,
    runtime,
    deliveries,
    async worker({ clock = systemClock, ...options } = {}) {
      const intake = new Intake({ redisUrl: url, prefix, queue, ...options }, { ...runtime, clock });
      await intake.start();
      onTestFinished(() => intake.stop());
      return intake;
    },
  };
}

async function ownRedis() {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  return redis;
}

function hint(id: string, more: Partial<Hint> = {}): Hint {
  return { id: id as TaskId, queue, priority: 0, notBefore: null, ...more };
}

function hints(count: number, more: Partial<Hint> = {}): Hint[] {
  return Array.from({ length: count }, (_, i) => hint(`task-${i}`, more));
}

function inMs(delayMs: number): EpochMs {
  return (Date.now() + delayMs) as EpochMs;
}

async function take(intake: Intake): Promise<Envelope> {
  const envelope = await intake.take(AbortSignal.timeout(takeMsMax));
  if (envelope === null) throw new Error(`no delivery within ${takeMsMax} ms`);
  onTestFinished(() => envelope.done()); // The intake's stop would wait for it.
  return envelope;
}

/** Takes and ends deliveries until all of `ids` have come; resolves with the envelopes' ids in their order. */
async function takeAll(intake: Intake, ids: Iterable<string>): Promise<string[][]> {
  const missing = new Set(ids);
  const taken: string[][] = [];
  while (missing.size > 0) {
    const envelope = await take(intake);
    taken.push([...envelope.ids]);
    for (const id of envelope.ids) missing.delete(id);
    await envelope.done();
  }
  return taken;
}

async function keysOf({ url, prefix }: Fleet): Promise<string[]> {
  const redis = new Redis(url);
  try {
    return await redis.keys(`${prefix}:*`);
  } finally {
    redis.disconnect();
  }
}

describe('sending', () => {
  test('hints of one turn share envelopes of at most a hundred ids', async () => {
    const { deliveries, worker } = await fleet();
    for (const one of hints(220)) deliveries.deliver([one]);
    const envelopes = await takeAll(
      await worker(),
      hints(220).map(({ id }) => id),
    );
    expect(envelopes.map((ids) => ids.length)).toEqual([100, 100, 20]);
    expect(envelopes.flat()).toEqual(hints(220).map(({ id }) => id));
  });

  test('an id that is handed over twice in one turn travels once', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('a'), hint('b'), hint('a')]);
    await deliveries.flush();
    expect((await take(await worker())).ids).toEqual(['a', 'b']);
  });

  test('what is to be in front comes before what was waiting', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('first')]);
    await deliveries.flush();
    deliveries.deliver([hint('second', { inFront: true })]);
    await deliveries.flush();
    expect(await takeAll(await worker(), ['first', 'second'])).toEqual([['second'], ['first']]);
  });

  test('the more urgent priority comes first, whatever was sent first', async () => {
    const { deliveries, worker } = await fleet();
    for (const priority of [7, 0, 1_000, 3]) {
      deliveries.deliver([hint(`p${priority}`, { priority })]);
      await deliveries.flush();
    }
    const order = await takeAll(await worker(), ['p0', 'p3', 'p7', 'p1000']);
    expect(order).toEqual([['p0'], ['p3'], ['p7'], ['p1000']]);
  });

  test('a task that is due later does not come before its time, and the others do not wait for it', async () => {
    const { deliveries, worker } = await fleet();
    const due = inMs(600);
    deliveries.deliver([
      hint('later', { notBefore: due }),
      hint('now'),
      hint('past', { notBefore: inMs(-5_000) }),
    ]);
    const intake = await worker();
    expect((await take(intake)).ids).toEqual(['now', 'past']);
    expect((await take(intake)).ids).toEqual(['later']);
    expect(Date.now()).toBeGreaterThanOrEqual(due);
  });

  test('a due time beyond what Redis can order is a delivery that comes too early, not an error', async () => {
    const { deliveries } = await fleet();
    deliveries.deliver([hint('far', { notBefore: 8.64e15 as EpochMs })]);
    await deliveries.flush();
    expect(await deliveries.pending(queue)).toEqual(new Set(['far']));
    expect(deliveries.dropped).toBe(0);
  });

  test.each([
    'a:b',
    'a:b:c',
    ':',
    '0',
    '12345',
    '0:1',
    'wait',
    `x~${'y'.repeat(126)}`,
    '%3A'.replace('%', '@'),
  ])('carries the task id %s', async (id) => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint(id)]);
    const envelope = await take(await worker());
    expect(envelope.ids).toEqual([id]);
    expect(envelope.redelivered).toBe(false);
    await envelope.done();
  });

  test('queues are apart', async () => {
    const { deliveries, worker } = await fleet();
    const other = 'marker' as Name;
    deliveries.deliver([hint('mine'), hint('theirs', { queue: other })]);
    await deliveries.flush();
    expect(await deliveries.pending(queue)).toEqual(new Set(['mine']));
    expect((await take(await worker({ queue: other }))).ids).toEqual(['theirs']);
  });

  test('ten thousand hints are with Redis within two seconds and all arrive, once each', async () => {
    const { deliveries, worker } = await fleet();
    const all = hints(10_000);
    const begun = performance.now();
    deliveries.deliver(all);
    await deliveries.flush();
    expect(performance.now() - begun).toBeLessThan(2_000);
    const taken = await takeAll(
      await worker(),
      all.map(({ id }) => id),
    );
    expect(taken).toHaveLength(10_000 / limits.envelopeTasksMax);
    expect(await deliveries.pending(queue)).toEqual(new Set());
  });

  test('pending lists what is waiting, prioritized, delayed and taken, over several pages', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('taken')]);
    const intake = await worker();
    const envelope = await take(intake);
    const many = Array.from({ length: 2_500 }, (_, i) => hint(`d${i}`, { notBefore: inMs(60_000 + i) }));
    deliveries.deliver([hint('waits'), hint('ranks', { priority: 9 }), ...many]);
    await deliveries.flush();
    const ids = await deliveries.pending(queue);
    expect(ids).toEqual(new Set(['taken', 'waits', 'ranks', ...many.map(({ id }) => id)]));
    await envelope.done();
    expect(await deliveries.pending(queue)).not.toContain('taken');
  });
});

describe('taking', () => {
  test('a delivery that is done leaves nothing of itself in Redis', async () => {
    const here = await fleet();
    here.deliveries.deliver([hint('a')]);
    const envelope = await take(await here.worker());
    await envelope.done();
    await envelope.done();
    expect((await keysOf(here)).filter((key) => key.includes('a~'))).toEqual([]);
  });

  test('waits for a delivery that is sent later', async () => {
    const { deliveries, worker } = await fleet();
    const waiting = take(await worker());
    deliveries.deliver([hint('a')]);
    expect((await waiting).ids).toEqual(['a']);
  });

  test('an aborted take resolves with null at once, and its delivery goes to the next one who asks', async () => {
    const { deliveries, worker } = await fleet();
    const intake = await worker();
    const leaving = new AbortController();
    const left = intake.take(leaving.signal);
    leaving.abort();
    expect(await left).toBeNull();
    expect(await intake.take(AbortSignal.abort())).toBeNull();
    deliveries.deliver([hint('a')]);
    expect((await take(intake)).ids).toEqual(['a']);
  });

  test('a delivery that arrives for a taker who has left is given to another worker', async () => {
    const { deliveries, worker } = await fleet();
    const intake = await worker();
    const leaving = new AbortController();
    const left = intake.take(leaving.signal);
    leaving.abort();
    await left;
    const other = take(await worker());
    deliveries.deliver([hint('a')]);
    const envelope = await other;
    expect(envelope.ids).toEqual(['a']);
    expect(envelope.redelivered).toBe(false);
  });

  test('a stopped intake resolves its take with null', async () => {
    const { worker } = await fleet();
    const intake = await worker();
    const waiting = intake.take();
    await intake.stop();
    expect(await waiting).toBeNull();
    expect(await intake.take()).toBeNull();
  });

  test('what is out when it stops can still be ended, and what is given back comes to another at once', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('a'), hint('b')]);
    const intake = await worker();
    const envelope = await take(intake);
    const stopped = intake.stop();
    await envelope.giveBack(['b'] as TaskId[], 0);
    await stopped;
    const next = await take(await worker());
    expect(next.ids).toEqual(['b']);
    expect(next.redelivered).toBe(false);
  });

  test('two workers never have the same delivery', async () => {
    const { deliveries, worker } = await fleet();
    const [one, two] = [await worker(), await worker()];
    for (let i = 0; i < 40; i += 1) deliveries.deliver([hint(`t${i}`, { priority: i })]);
    await deliveries.flush();
    const taken: string[] = [];
    const drain = async (intake: Intake): Promise<void> => {
      while (taken.length < 40) {
        const envelope = await intake.take(AbortSignal.timeout(500));
        if (envelope === null) continue;
        taken.push(...envelope.ids);
        await envelope.done();
      }
    };
    await Promise.all([drain(one), drain(two)]);
    expect(new Set(taken).size).toBe(40);
    expect(taken).toHaveLength(40);
  });

  test('a delivery that names no task is removed and not handed out', async () => {
    const here = await fleet();
    here.deliveries.deliver([hint('bad')]);
    await here.deliveries.flush();
    const redis = new Redis(here.url);
    onTestFinished(() => redis.disconnect());
    const key = (await keysOf(here)).find((name) => name.includes('bad~')) ?? '';
    await redis.hset(key, 'data', JSON.stringify({ ids: ['../etc', 7], priority: 'x' }));
    const intake = await here.worker();
    const waiting = take(intake);
    await eventually(async () => expect(await redis.exists(key)).toBe(0), { what: 'it is removed' });
    here.deliveries.deliver([hint('good')]);
    expect((await waiting).ids).toEqual(['good']);
  });
});

describe('giving back', () => {
  test('what is given back at once comes before what was waiting', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('a'), hint('b'), hint('c')]);
    const intake = await worker();
    const envelope = await take(intake);
    deliveries.deliver([hint('later')]);
    await deliveries.flush();
    await envelope.giveBack(['b', 'c'] as TaskId[], 0);
    const next = await take(intake);
    expect(next.ids).toEqual(['b', 'c']);
    expect(next.redelivered).toBe(false);
    expect((await take(intake)).ids).toEqual(['later']);
  });

  test('it keeps its priority', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('low', { priority: 9 })]);
    const intake = await worker();
    const envelope = await take(intake);
    deliveries.deliver([hint('high', { priority: 1 })]);
    await deliveries.flush();
    await envelope.giveBack(envelope.ids, 0);
    expect((await take(intake)).ids).toEqual(['high']);
    expect((await take(intake)).ids).toEqual(['low']);
  });

  test('with a delay it comes when that has passed', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('a')]);
    const intake = await worker();
    const begun = Date.now();
    await (await take(intake)).giveBack(['a'] as TaskId[], 400);
    expect((await take(intake)).ids).toEqual(['a']);
    expect(Date.now() - begun).toBeGreaterThanOrEqual(400);
  });

  test('only the first end of an envelope counts', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('a')]);
    const envelope = await take(await worker());
    await envelope.giveBack(envelope.ids, 60_000);
    await envelope.giveBack(envelope.ids, 0);
    await envelope.done();
    expect(await deliveries.pending(queue)).toEqual(new Set(['a']));
  });
});

describe('a taker that goes silent', () => {
  const impatient = { lockDurationMs: 300, stalledIntervalMs: 200 };

  /** Its renewals never come about, as if its process stood still. */
  const standingStill: Clock = {
    ...systemClock,
    after: (delayMs, fn, options) =>
      delayMs === impatient.lockDurationMs / 2
        ? { cancel: () => undefined }
        : systemClock.after(delayMs, fn, options),
  };

  test('its delivery comes to another, marked as redelivered, as often as it takes', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('a')]);
    for (let times = 0; times < 3; times += 1) {
      const envelope = await take(await worker({ ...impatient, clock: standingStill }));
      expect(envelope.ids).toEqual(['a']);
      expect(envelope.redelivered).toBe(times > 0);
    }
  });

  test('whoever is alive keeps the delivery for longer than its lock', async () => {
    const { deliveries, worker } = await fleet();
    deliveries.deliver([hint('a')]);
    const envelope = await take(await worker(impatient));
    const other = await worker(impatient);
    expect(await other.take(AbortSignal.timeout(1_500))).toBeNull();
    await envelope.done();
    expect(await deliveries.pending(queue)).toEqual(new Set());
  });
});

describe('marker and history', () => {
  test('the marker is what was written last, and null before', async () => {
    const { deliveries } = await fleet();
    expect(await deliveries.readMarker()).toBeNull();
    await deliveries.writeMarker('one');
    await deliveries.writeMarker('two');
    expect(await deliveries.readMarker()).toBe('two');
  });

  test('a history entry is found by its id until its time is over', async () => {
    const { deliveries } = await fleet();
    const entries = Array.from({ length: 1_500 }, (_, i) => ({ id: `h:${i}` as TaskId, json: `{"n":${i}}` }));
    await deliveries.putHistory(entries, 60_000);
    expect(await deliveries.getHistory('h:1499' as TaskId)).toBe('{"n":1499}');
    expect(await deliveries.getHistory('unknown' as TaskId)).toBeNull();
    await deliveries.putHistory([{ id: 'h:0' as TaskId, json: '{}' }], 1);
    await eventually(async () => expect(await deliveries.getHistory('h:0' as TaskId)).toBeNull(), {
      what: 'it expires',
    });
  });
});

test('a word of progress is shown of the attempt that said it, and of no other', async () => {
  const { deliveries } = await fleet();
  const id = 'a:1' as TaskId;
  deliveries.noteProgress({ id, attempt: 1, json: '"half"' });
  await eventually(async () => expect(await deliveries.readProgress(id, 1)).toBe('"half"'), {
    what: 'the word is there',
  });
  expect(await deliveries.readProgress(id, 2)).toBeNull();
  deliveries.noteProgress({ id, attempt: 2, json: '"begun"' });
  await eventually(async () => expect(await deliveries.readProgress(id, 2)).toBe('"begun"'), {
    what: 'the next word is there',
  });
});

describe('Redis that goes away', () => {
  test('killed and restarted empty: both sides come back, and what was handed over meanwhile and just before is delivered', async () => {
    const redis = await ownRedis();
    const { deliveries, worker } = await fleet(redis.url);
    await deliveries.writeMarker('g1');
    const intake = await worker();
    deliveries.deliver([hint('before')]);
    const held = await take(intake);
    const waiting = take(intake);
    await redis.kill();
    await eventually(() => expect(deliveries.available).toBe(false), { what: 'the loss is noticed' });
    deliveries.deliver(hints(120));
    await expect(deliveries.readMarker()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await expect(deliveries.pending(queue)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await redis.restart();
    await deliveries.flush();
    expect(await deliveries.readMarker()).toBeNull();
    const first = await waiting;
    const all = ['before', ...hints(120).map(({ id }) => id)];
    const missing = all.filter((id) => !first.ids.includes(id as TaskId));
    const rest = await takeAll(intake, missing);
    expect(new Set([...first.ids, ...rest.flat()])).toEqual(new Set(all));
    await held.done();
    expect(deliveries.dropped).toBe(0);
  });

  test('away from the start: start, deliver and stop neither fail nor hang', async () => {
    const redis = await ownRedis();
    await redis.kill();
    const { deliveries, worker } = await fleet(redis.url);
    deliveries.deliver([hint('a')]);
    const intake = await worker();
    const waiting = intake.take();
    const begun = performance.now();
    await Promise.all([intake.stop(), deliveries.stop()]);
    expect(await waiting).toBeNull();
    expect(performance.now() - begun).toBeLessThan(6_000);
    expect(deliveries.dropped).toBe(1);
  });

  test('there only after the start: the take that waited gets what was handed over before', async () => {
    const redis = await ownRedis();
    await redis.kill();
    const { deliveries, worker } = await fleet(redis.url);
    deliveries.deliver([hint('a')]);
    const waiting = take(await worker());
    await redis.restart();
    expect((await waiting).ids).toEqual(['a']);
  });

  test('an envelope whose Redis is gone can be ended all the same', async () => {
    const redis = await ownRedis();
    const { deliveries, worker } = await fleet(redis.url);
    deliveries.deliver([hint('a')]);
    const intake = await worker();
    const envelope = await take(intake);
    await redis.kill();
    const ended = envelope.done();
    await intake.stop();
    await ended;
  });

  test('emptied under both sides: what it took lately comes again, the lost one is done without an error', async () => {
    const redis = await ownRedis();
    const { deliveries, worker } = await fleet(redis.url);
    await deliveries.writeMarker('g1');
    deliveries.deliver([hint('lost')]);
    const intake = await worker();
    const envelope = await take(intake);
    const waiting = take(intake);
    const admin = new Redis(redis.url);
    await admin.flushall();
    admin.disconnect();
    expect(await deliveries.readMarker()).toBeNull();
    expect((await waiting).ids).toEqual(['lost']);
    await envelope.done();
    deliveries.deliver([hint('b')]);
    expect(await takeAll(intake, ['b'])).toContainEqual(['b']);
  });

  test('behind a replica that lagged: once connected to it, what the other took lately is sent again, once', async () => {
    const [primary, replica] = [await ownRedis(), await ownRedis()];
    const network = await startProxy(primary.port);
    onTestFinished(() => network.stop());
    const { deliveries, worker } = await fleet(`redis://${network.url}`);
    deliveries.deliver(hints(120));
    await deliveries.flush();
    network.retarget(replica.port);
    network.cut();
    await eventually(() => deliveries.pending(queue).then((ids) => expect(ids.size).toBe(120)), {
      what: 'the replica has them',
    });
    await network.refuse(true);
    network.cut();
    await eventually(() => expect(deliveries.available).toBe(false), { what: 'the loss is noticed' });
    await network.refuse(false);
    await eventually(() => expect(deliveries.available).toBe(true), { what: 'it is connected again' });
    await deliveries.flush();
    const envelopes = await takeAll(
      await worker(),
      hints(120).map(({ id }) => id),
    );
    expect(envelopes.flat()).toHaveLength(120);
  });

  test('silent: a question fails within its deadline, and hints are not refused but kept until it answers', async () => {
    const redis = await ownRedis();
    const network = await startProxy(redis.port);
    onTestFinished(() => network.stop());
    const warnings: string[] = [];
    const log = { ...silentLogger, warn: (_: object, message: string) => void warnings.push(message) };
    const { deliveries, worker } = await fleet(`redis://${network.url}`, log);
    const intake = await worker();
    const waiting = take(intake);
    network.blackhole(true);
    deliveries.deliver([hint('a')]);
    await expect(deliveries.readMarker()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await eventually(() => expect(deliveries.available).toBe(false), { what: 'the silence is noticed' });
    deliveries.deliver([hint('b')]);
    network.blackhole(false);
    const first = await waiting;
    await first.done();
    const rest = await takeAll(
      intake,
      ['a', 'b'].filter((id) => !first.ids.includes(id as TaskId)),
    );
    expect(new Set([...first.ids, ...rest.flat()])).toEqual(new Set(['a', 'b']));
    expect(deliveries.dropped).toBe(0);
    expect(warnings.filter((message) => message.includes('refused'))).toEqual([]);
  });

  test('frozen: hints are delivered after the thaw', async () => {
    const redis = await ownRedis();
    const { deliveries, worker } = await fleet(redis.url);
    const waiting = take(await worker());
    redis.freeze();
    try {
      deliveries.deliver([hint('a')]);
      await eventually(() => expect(deliveries.available).toBe(false), { what: 'the silence is noticed' });
    } finally {
      redis.thaw();
    }
    expect((await waiting).ids).toEqual(['a']);
  });

  test('the buffer of an outage is bounded: the oldest are dropped, counted and logged once', async () => {
    const redis = await ownRedis();
    const warnings: string[] = [];
    const log = { ...silentLogger, warn: (_: object, message: string) => void warnings.push(message) };
    const { deliveries } = await fleet(redis.url, log);
    await redis.kill();
    await eventually(() => expect(deliveries.available).toBe(false), { what: 'the loss is noticed' });
    for (let i = 0; i < 3; i += 1) deliveries.deliver(hints(limits.deliveryBufferMax));
    expect(deliveries.dropped).toBeGreaterThanOrEqual(2 * limits.deliveryBufferMax);
    expect(warnings.filter((message) => message.includes('dropped'))).toHaveLength(1);
    await deliveries.stop();
    expect(deliveries.dropped).toBe(3 * limits.deliveryBufferMax);
  });

  test('what Redis refuses is given up after a few tries and does not block the rest', async () => {
    const redis = await ownRedis();
    const { deliveries } = await fleet(redis.url);
    const admin = new Redis(redis.url);
    onTestFinished(() => admin.disconnect());
    await admin.config('SET', 'maxmemory', '1');
    deliveries.deliver([hint('a')]);
    await deliveries.flush();
    expect(deliveries.dropped).toBe(1);
    await admin.config('SET', 'maxmemory', '0');
    deliveries.deliver([hint('b')]);
    await deliveries.flush();
    expect(await deliveries.pending(queue)).toEqual(new Set(['b']));
  });
});
