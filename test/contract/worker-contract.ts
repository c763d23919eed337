// worker-contract.ts: what a worker promises of a delivered task, in good times and under every fault that a transaction, a
// session or a handler may bring. The titles are the contract; it holds on the memory twin and on real ZooKeeper.

import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import type { Session, Znode } from '../../src/coordination/index.js';
import { NonRetryable, RetryAfter, resolvePolicy, type TaskId } from '../../src/domain/index.js';
import {
  cancel,
  claimsOf,
  interrupt,
  readHeld,
  recordPath,
  replay,
  takeClaim,
} from '../../src/ledger/index.js';
import { delay } from '../../src/runtime/index.js';
import { Audit, type Strays } from '../../src/worker/custody.js';
import { defineTask, type TaskContext, type WorkerEvents } from '../../src/worker/index.js';
import { Run } from '../../src/worker/run.js';
import {
  claimsNothing,
  Feed,
  type Hired,
  type HireOptions,
  hire,
  join,
  moves,
  type Party,
  reaches,
  recordOf,
  signalled,
  spoil,
  submit,
  withMethods,
} from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { gone, type World } from '../support/world.js';

const until = { deadlineMs: 10_000 };
const leader = { kind: 'check', path: '/leader/term', version: null } as const;
const soon = { delayMsMin: 1, delayMsMax: 1 };

/** Resolves when the attempt's signal aborts; throws its reason. */
function obey({ signal }: TaskContext): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

export function workerContract(name: string, makeWorld: () => Promise<World>): void {
  describe(`a worker on ${name}`, () => {
    let world: World;
    /** Submits and looks; never fails. */
    let desk: Party;
    let feed: Feed;
    const hired: Hired[] = [];

    beforeAll(async () => {
      world = await makeWorld();
      desk = await join(world, (hints) => feed.deliver(hints));
    });
    beforeEach(() => {
      feed = new Feed(world.runtime);
    });
    afterEach(dismissAll);
    afterAll(() => world.close());

    async function dismissAll(): Promise<void> {
      await Promise.all(hired.splice(0).map(({ worker }) => worker.stop()));
    }

    async function work(options: HireOptions): Promise<Hired> {
      const one = await hire(world, feed, options);
      hired.push(one);
      return one;
    }

    /** A task type that counts the calls of its handler by task. */
    function counted(handler: (context: TaskContext, call: number) => unknown, options: object = {}) {
      const calls = new Map<TaskId, number>();
      const type = defineTask('job', {
        ...options,
        handler: (_payload, context) => {
          const call = (calls.get(context.task.id) ?? 0) + 1;
          calls.set(context.task.id, call);
          return handler(context, call);
        },
      });
      return { type, calls };
    }

    describe('in good times', () => {
      test('runs a delivered task once, however often and to however many workers it is delivered', async () => {
        const { type, calls } = counted(({ task }) => ({ did: task.id }));
        await Promise.all([work({ types: [type] }), work({ types: [type] })]);
        feed.following = false;
        const ids = await Promise.all(Array.from({ length: 20 }, () => submit(desk, 'job')));
        for (let n = 0; n < 8; n += 1) feed.put(ids, { redelivered: n % 2 === 1 });
        for (const id of ids) feed.put([id, id]);
        for (const id of ids)
          expect((await reaches(desk, id, 'completed')).result).toEqual({ value: { did: id } });
        for (const id of ids) feed.put([id]);
        const last = await submit(desk, 'job');
        feed.put([last]);
        await reaches(desk, last, 'completed');
        expect([...calls.values()]).toEqual(Array(21).fill(1));
      });

      test('leaves no claim behind', async () => {
        const { type } = counted(() => null);
        const { worker } = await work({ types: [type] });
        const ids = await Promise.all(Array.from({ length: 10 }, () => submit(desk, 'job')));
        for (const id of ids) await reaches(desk, id, 'completed');
        await claimsNothing(desk, worker.id);
      });

      test('runs no more at once than its concurrency', async () => {
        let running = 0;
        let most = 0;
        const { type } = counted(async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
        });
        await work({ types: [type], concurrency: 3 });
        feed.following = false;
        const ids = await Promise.all(Array.from({ length: 20 }, () => submit(desk, 'job')));
        feed.put(ids);
        for (const id of ids) await reaches(desk, id, 'completed');
        expect(most).toBe(3);
      });

      test('runs the next task while the end of the last is recorded', async () => {
        const record = signalled();
        const wrap = (session: Session): Session =>
          withMethods(session, {
            write: async (ops, options) => {
              if (calls.has(first) && ops.some(({ path }) => path === recordPath(first)))
                await record.promise;
              return session.write(ops, options);
            },
          });
        const { type, calls } = counted(() => null);
        feed.following = false;
        const first = await submit(desk, 'job');
        const second = await submit(desk, 'job');
        await work({ types: [type], concurrency: 1, wrap });
        feed.put([first]);
        feed.put([second]);
        await reaches(desk, second, 'completed');
        expect(await recordOf(desk, first)).toMatchObject({ state: 'running', attempt: 1 });
        record.resolve();
        await reaches(desk, first, 'completed');
        expect([...calls.values()]).toEqual([1, 1]);
      });

      test('has no more tasks than twice its concurrency, those included whose ends are recorded', async () => {
        const record = signalled();
        const claimed = new Set<string>();
        const wrap = (session: Session): Session =>
          withMethods(session, {
            write: async (ops, options) => {
              const records = ops.flatMap(({ kind, path }) => (kind === 'set' ? [path] : []));
              if (records.some((path) => claimed.has(path))) await record.promise;
              for (const path of records) claimed.add(path);
              most = Math.max(most, isRecorded ? 0 : claimed.size);
              return session.write(ops, options);
            },
          });
        let most = 0;
        let isRecorded = false;
        const { type, calls } = counted(() => null);
        feed.following = false;
        const ids = await Promise.all(Array.from({ length: 8 }, () => submit(desk, 'job')));
        await work({ types: [type], concurrency: 2, wrap });
        feed.put(ids);
        const areFour = async (): Promise<void> => expect(most).toBe(4);
        await eventually(areFour, { what: 'four tasks are claimed' });
        const isRefused = async (): Promise<void> => expect(feed.givenBack).not.toEqual([]);
        await eventually(isRefused, { what: 'the rest of the delivery is given back' });
        expect(most).toBe(4);
        isRecorded = true;
        record.resolve();
        for (const id of ids) await reaches(desk, id, 'completed');
        expect([...calls.values()]).toEqual(Array(8).fill(1));
      });

      test('takes the next delivery before a slot is free where handlers are quick', async () => {
        let [done, most] = [0, 0];
        const wrap = (session: Session): Session =>
          withMethods(session, {
            readAll: async (paths) => {
              const nodes = await session.readAll(paths);
              most = Math.max(most, feed.taken - done);
              return nodes;
            },
            write: async (ops, options) => {
              const outcome = await session.write(ops, options);
              most = Math.max(most, feed.taken - done);
              return outcome;
            },
          });
        const { type } = counted(() => {
          done += 1;
        });
        await work({ types: [type], concurrency: 1, wrap });
        const isAhead = async (): Promise<void> => {
          await reaches(desk, await submit(desk, 'job'), 'completed');
          await Promise.all(Array.from({ length: 5 }, () => submit(desk, 'job')));
          expect(most).toBe(2);
        };
        await eventually(isAhead, { what: 'a delivery is taken ahead' });
      });

      test('takes none before a slot is free where handlers are slow', async () => {
        let [done, most] = [0, 0];
        const { type } = counted(async () => {
          await delay(world.runtime.clock, 60); // Longer than slots that count as quick.
          most = Math.max(most, feed.taken - done);
          done += 1;
        });
        await work({ types: [type], concurrency: 1 });
        const ids = await Promise.all(Array.from({ length: 5 }, () => submit(desk, 'job')));
        for (const id of ids) await reaches(desk, id, 'completed');
        expect(most).toBe(1);
      });

      test('retries soon in place: another attempt, under the same claim', async () => {
        const claims: unknown[] = [];
        const fences: number[] = [];
        const { type, calls } = counted(
          async ({ task, fence }, call) => {
            claims.push((await recordOf(desk, task.id)).claim?.nonce);
            fences.push(fence);
            if (call < 3) throw new Error('not yet');
            return call;
          },
          { retry: { ...soon, attempts: 3 } },
        );
        await work({ types: [type] });
        const id = await submit(desk, 'job');
        const record = await reaches(desk, id, 'completed');
        expect(record).toMatchObject({ attempt: 3, result: { value: 3 } });
        expect(record.attempts?.map(({ n, outcome }) => [n, outcome])).toEqual([
          [1, 'failed'],
          [2, 'failed'],
          [3, 'succeeded'],
        ]);
        expect(new Set(claims).size).toBe(1);
        expect(fences).toEqual([...fences].sort((x, y) => x - y));
        expect(new Set(fences).size).toBe(3);
        expect(calls.get(id)).toBe(3);
      });

      test('a longer delay comes back as a hint, and the claim goes', async () => {
        const { type } = counted(() => {
          throw new RetryAfter(60_000);
        });
        const { worker } = await work({ types: [type] });
        const id = await submit(desk, 'job');
        const record = await eventually(
          async () => {
            const now = await recordOf(desk, id);
            expect(now).toMatchObject({ state: 'waiting', attempt: 2 });
            return now;
          },
          { what: 'the attempt has failed' },
        );
        expect(record.notBefore).toBeGreaterThan(world.runtime.clock.now() + 50_000);
        await claimsNothing(desk, worker.id);
        expect(feed.hints.at(-1)).toMatchObject({ id, notBefore: record.notBefore });
      });

      test('NonRetryable fails the task at once', async () => {
        const { type, calls } = counted(() => {
          throw new NonRetryable('no such account');
        });
        await work({ types: [type] });
        const id = await submit(desk, 'job');
        expect((await reaches(desk, id, 'failed')).attempts).toMatchObject([
          { n: 1, outcome: 'failed', error: { code: 'HANDLER_REFUSED', message: 'no such account' } },
        ]);
        expect(calls.get(id)).toBe(1);
      });

      test('the last attempt the policy grants fails the task; a replay runs it again', async () => {
        const { type, calls } = counted(
          (_context, call) => {
            if (call < 3) throw new Error('no');
            return 'yes';
          },
          { retry: { ...soon, attempts: 2 } },
        );
        await work({ types: [type] });
        const id = await submit(desk, 'job');
        await reaches(desk, id, 'failed');
        await replay(desk.ctx, id, until);
        expect(await reaches(desk, id, 'completed')).toMatchObject({ attempt: 3, replays: 1 });
        expect(calls.get(id)).toBe(3);
      });

      test('an attempt past its deadline whose handler obeys has failed with ATTEMPT_TIMEOUT', async () => {
        const { type } = counted(obey, { timeoutMs: 30, retry: { attempts: 1 } });
        await work({ types: [type] });
        const record = await reaches(desk, await submit(desk, 'job'), 'failed');
        expect(record.attempts).toMatchObject([{ outcome: 'failed', error: { code: 'ATTEMPT_TIMEOUT' } }]);
      });

      test('one whose handler is deaf leaves the task uncertain, until it succeeds after all', async () => {
        const end = signalled<string>();
        const { type, calls } = counted(() => end.promise, { timeoutMs: 30 });
        const { endings, worker } = await work({ types: [type], concurrency: 1 });
        const id = await submit(desk, 'job');
        const uncertain = await reaches(desk, id, 'uncertain');
        expect(uncertain.attempts).toMatchObject([
          { outcome: 'unsettled', error: { code: 'ATTEMPT_UNSETTLED' } },
        ]);
        await eventually(() => expect(endings).toEqual([{ id, ending: 'unsettled' }]), {
          what: 'the worker knows how it ended',
        });
        await claimsNothing(desk, worker.id);
        const other = await submit(desk, 'job'); // The slot is free again.
        await eventually(() => expect(calls.get(other)).toBe(1), { what: 'the next task runs' });
        end.resolve('late');
        expect(await reaches(desk, id, 'completed')).toMatchObject({ result: { value: 'late' }, attempt: 1 });
        await reaches(desk, other, 'completed');
        expect(calls.get(id)).toBe(1);
      });

      test('a cancel aborts a running handler, and the task is cancelled once it has stopped', async () => {
        const begun = signalled();
        const { type } = counted((context) => {
          begun.resolve();
          return obey(context);
        });
        await work({ types: [type] });
        const id = await submit(desk, 'job');
        await begun.promise;
        await cancel(desk.ctx, id, until);
        const record = await reaches(desk, id, 'cancelled');
        expect(record.attempts).toMatchObject([{ outcome: 'failed', error: { code: 'ATTEMPT_CANCELLED' } }]);
      });

      test('a type without a handler here is put off, not dropped', async () => {
        const { type } = counted(() => null);
        const { worker } = await work({ types: [type] });
        const reasons = new Set<string>();
        worker.on('notClaimed', (counts) => {
          for (const why of counts.keys()) reasons.add(why);
        });
        const id = await submit(desk, 'another-type');
        const before = world.runtime.clock.now();
        await eventually(() => expect(feed.hints.filter((hint) => hint.id === id)).toHaveLength(2), {
          what: 'it is hinted at again',
        });
        expect(feed.hints.at(-1)?.notBefore).toBeGreaterThan(before + 1_000);
        expect((await recordOf(desk, id)).state).toBe('waiting');
        expect([...reasons]).toEqual(['unknownType']);
      });

      test('verify, wished for a task whose type has no hook, is park', async () => {
        const { type } = counted(async ({ task }) => (await recordOf(desk, task.id)).policy?.onInterrupted);
        await work({ types: [type] });
        const id = await submit(desk, 'job', { onInterrupted: 'verify' });
        expect((await reaches(desk, id, 'completed')).result).toEqual({ value: 'park' });
      });

      test('a task that is not yet due is put off until it is', async () => {
        const { type, calls } = counted(() => null);
        await work({ types: [type] });
        feed.following = false;
        const id = await submit(desk, 'job', { delayMs: 60_000 });
        feed.put([id]);
        await eventually(() => expect(feed.hints.filter((hint) => hint.id === id)).toHaveLength(2), {
          what: 'it is hinted at again',
        });
        const { notBefore } = await recordOf(desk, id);
        expect(feed.hints.at(-1)?.notBefore).toBe(notBefore);
        expect(calls.size).toBe(0);
      });

      test.each([
        ['completed', { kind: 'completed', result: 'it was done' }, { state: 'completed', attempt: 1 }, 1],
        ['notExecuted', { kind: 'notExecuted' }, { state: 'completed', attempt: 2 }, 2],
      ] as const)(
        'the verify hook settles an uncertain task: %s',
        async (_verdict, answer, expected, runs) => {
          const first = signalled();
          const begun = signalled();
          const { type, calls } = counted(
            async (_context, call) => {
              begun.resolve();
              if (call === 1) await first.promise;
            },
            { onInterrupted: 'verify', verify: () => answer },
          );
          const one = await work({ types: [type] });
          const id = await submit(desk, 'job');
          await begun.promise;
          one.party.peer.cutOff();
          await interruptOnceGone(one, id);
          one.party.peer.rejoin();
          await work({ types: [type] });
          feed.put([id]);
          await eventually(async () => expect(await recordOf(desk, id)).toMatchObject(expected), {
            what: 'it is settled',
          });
          expect(calls.get(id)).toBe(runs);
          first.resolve();
        },
      );
    });

    /** As the leader does once a claim has vanished. */
    async function interruptOnceGone({ worker }: Hired, id: TaskId): Promise<void> {
      const { claim } = await recordOf(desk, id);
      if (claim === undefined) throw new Error(`${id} is not claimed`);
      await claimsNothing(desk, worker.id);
      expect(await interrupt(desk.ctx, id, claim, leader)).toBe('interrupted');
    }

    describe('when the session is lost', () => {
      test('what runs is readopted under a claim of the new session, and its outcome is recorded', async () => {
        const end = signalled<string>();
        const begun = signalled();
        const { type, calls } = counted(() => {
          begun.resolve();
          return end.promise;
        });
        const one = await work({ types: [type] });
        const readopted = signalled<number>();
        one.worker.on('readopted', ({ tasks }) => readopted.resolve(tasks));
        const id = await submit(desk, 'job');
        await begun.promise;
        const old = (await recordOf(desk, id)).claim?.nonce;
        one.party.peer.cutOff();
        await claimsNothing(desk, one.worker.id);
        one.party.peer.rejoin();
        expect(await readopted.promise).toBe(1);
        const now = await recordOf(desk, id);
        expect(now).toMatchObject({ state: 'running', attempt: 1 });
        expect(now.claim?.nonce).not.toBe(old);
        end.resolve('done');
        expect(await reaches(desk, id, 'completed')).toMatchObject({ result: { value: 'done' } });
        expect(calls.get(id)).toBe(1);
        await claimsNothing(desk, one.worker.id);
        await reaches(desk, await submit(desk, 'job'), 'completed');
      });

      test('large tasks are readopted all, though one transaction cannot carry them', async () => {
        const end = signalled();
        const { type, calls } = counted(() => end.promise, { onInterrupted: 'rerun' });
        const one = await work({ types: [type], concurrency: 12 });
        const ids = await Promise.all(
          Array.from({ length: 12 }, () => submit(desk, 'job', { payload: 'x'.repeat(60_000) })),
        );
        await eventually(() => expect(calls.size).toBe(12), { what: 'all run' });
        const old = await Promise.all(ids.map(async (id) => (await recordOf(desk, id)).claim?.nonce));
        one.party.peer.cutOff();
        await claimsNothing(desk, one.worker.id);
        one.party.peer.rejoin();
        await eventually(
          async () => {
            const now = await Promise.all(ids.map(async (id) => (await recordOf(desk, id)).claim?.nonce));
            expect(now.filter((nonce) => nonce !== undefined && !old.includes(nonce))).toHaveLength(12);
          },
          { what: 'all are readopted' },
        );
        end.resolve();
        for (const id of ids) await reaches(desk, id, 'completed');
      });

      test('a readoption whose request is lost is made again, and the handler is left alone', async () => {
        const end = signalled<string>();
        const begun = signalled();
        let aborted = false;
        const { type } = counted(({ signal }) => {
          signal.addEventListener('abort', () => {
            aborted = true;
          });
          begun.resolve();
          return end.promise;
        });
        const one = await work({ types: [type] });
        const id = await submit(desk, 'job');
        await begun.promise;
        one.party.commits.failNext('requestLost', (_ops, { lane }) => lane === 'claim');
        const readopted = signalled<number>();
        one.worker.on('readopted', ({ tasks }) => readopted.resolve(tasks));
        one.party.peer.cutOff();
        await claimsNothing(desk, one.worker.id);
        one.party.peer.rejoin();
        expect(await readopted.promise).toBe(1);
        expect(aborted).toBe(false);
        end.resolve('done');
        await reaches(desk, id, 'completed');
      });

      test('what others moved on is told to stop, and its outcome is dropped', async () => {
        const begun = signalled();
        const reasons: unknown[] = [];
        const { type } = counted(
          (context, call) => {
            begun.resolve();
            context.signal.addEventListener('abort', () => reasons.push(context.signal.reason));
            return call === 1 ? obey(context) : 'second';
          },
          { onInterrupted: 'park' },
        );
        const one = await work({ types: [type] });
        const id = await submit(desk, 'job');
        await begun.promise;
        one.party.peer.cutOff();
        await interruptOnceGone(one, id);
        feed.following = false;
        await replay(desk.ctx, id, until);
        one.party.peer.rejoin();
        await eventually(() => expect(one.endings).toEqual([{ id, ending: 'stale' }]), {
          what: 'it is dropped',
        });
        expect(reasons).toMatchObject([{ code: 'LEASE_LOST' }]);
        feed.put([id]);
        expect(await reaches(desk, id, 'completed')).toMatchObject({
          result: { value: 'second' },
          attempt: 2,
        });
      });

      test('what became uncertain meanwhile goes on, and is settled by its own outcome', async () => {
        const end = signalled<string>();
        const begun = signalled();
        const { type, calls } = counted(() => {
          begun.resolve();
          return end.promise;
        });
        const one = await work({ types: [type] });
        const id = await submit(desk, 'job');
        await begun.promise;
        one.party.peer.cutOff();
        await interruptOnceGone(one, id);
        expect((await recordOf(desk, id)).state).toBe('uncertain');
        one.party.peer.rejoin();
        end.resolve('late');
        expect(await reaches(desk, id, 'completed')).toMatchObject({ result: { value: 'late' } });
        expect(calls.get(id)).toBe(1);
      });

      test('a claim whose reply was lost with the session is given back, and its task runs once', async () => {
        const { type, calls } = counted(() => null);
        const one = await work({ types: [type] });
        feed.following = false;
        const id = await submit(desk, 'job');
        one.party.commits.failNext('replyLost', (_ops, { lane }) => lane === 'claim');
        one.party.commits.onOutcome = ({ lane }) => {
          if (lane === 'claim') one.party.peer.cutOff();
        };
        feed.put([id]);
        await reaches(desk, id, 'running');
        one.party.commits.onOutcome = () => undefined;
        feed.following = true;
        await gone(desk.peer.session, `/workers/${one.worker.id}`);
        one.party.peer.rejoin();
        await reaches(desk, id, 'completed');
        expect(calls.get(id)).toBe(1);
      });

      test('a claim of unknown outcome is given back by a worker that stops, before what it runs has ended', async () => {
        const end = signalled();
        const { type, calls } = counted(() => end.promise);
        const one = await work({ types: [type], drainMsMax: 60_000 });
        const { peer } = one.party;
        const busy = await submit(desk, 'job');
        await reaches(desk, busy, 'running');
        feed.following = false;
        const id = await submit(desk, 'job');
        one.party.commits.failNext('replyLost', (_ops, { lane }) => lane === 'claim');
        one.party.commits.onOutcome = ({ lane }) => {
          if (lane === 'claim') peer.cutOff();
        };
        feed.put([id]);
        await reaches(desk, id, 'running');
        one.party.commits.onOutcome = () => undefined;
        await gone(desk.peer.session, `/workers/${one.worker.id}`);
        let stopped = Promise.resolve();
        const isStopping = new Promise<void>((resolve) => {
          one.party.generation.on('proven', () => {
            stopped = one.worker.stop();
            resolve();
          });
        });
        peer.rejoin();
        await isStopping;
        expect(await reaches(desk, id, 'waiting')).toMatchObject({ attempt: 1 });
        end.resolve();
        await stopped;
        await reaches(desk, busy, 'completed');
        expect([...calls]).toEqual([[busy, 1]]);
      });

      test('the same session reconnected claims again, also when the first proof of the generation fails', async () => {
        const { type } = counted(() => null);
        let failing = 0;
        const one = await work({
          types: [type],
          wrap: (session) =>
            withMethods(session, {
              sync: () => {
                failing -= 1;
                return failing >= 0 ? Promise.reject(new Error('no answer in time')) : session.sync();
              },
            }),
        });
        await reaches(desk, await submit(desk, 'job'), 'completed');
        const before = one.party.peer.session.sessionId;
        failing = 1;
        const suspended = signalled();
        one.party.peer.session.on('state', ({ state }) => {
          if (state === 'suspended') suspended.resolve();
        });
        one.party.peer.interrupt();
        await suspended.promise;
        await reaches(desk, await submit(desk, 'job'), 'completed');
        expect(one.party.peer.session.sessionId).toBe(before);
        expect(failing).toBeLessThan(0);
      });
    });

    describe('when a request or a reply is lost', () => {
      test('a claim that was never made is made again from the same delivery', async () => {
        const { type, calls } = counted(() => null);
        const one = await work({ types: [type] });
        one.party.commits.failNext('requestLost', (_ops, { lane }) => lane === 'claim');
        const id = await submit(desk, 'job');
        await reaches(desk, id, 'completed');
        expect(calls.get(id)).toBe(1);
      });

      test('a claim that ZooKeeper refuses whatever the record is tried again later, not at once', async () => {
        const { type } = counted(() => null);
        let isFull = true;
        const refusedAt: number[] = [];
        const wrap = (session: Session): Session =>
          withMethods(session, {
            write: async (ops, options) => {
              const isClaim = ops.some((op) => op.kind === 'create' && op.mode === 'ephemeral-sequential');
              if (!isFull || !isClaim) return session.write(ops, options);
              refusedAt.push(world.runtime.clock.monotonic());
              return { kind: 'refused', index: 1, code: 'OTHER', detail: 'QUOTA_EXCEEDED' };
            },
          });
        await work({ types: [type], wrap });
        const id = await submit(desk, 'job');
        const isTriedAgain = async (): Promise<void> => expect(refusedAt.length).toBeGreaterThan(1);
        await eventually(isTriedAgain, { what: 'it is tried again' });
        const [first = 0, second = 0] = refusedAt;
        expect(second - first).toBeGreaterThanOrEqual(500);
        isFull = false;
        await reaches(desk, id, 'completed');
      });

      test('a claim of unknown outcome is not forgotten before the ledger has said what became of it', async () => {
        const { worker, party } = await work({ types: [] });
        feed.following = false;
        const id = await submit(desk, 'job');
        const policy = resolvePolicy(null, null);
        const at = world.runtime.clock.now();
        const held = await readHeld(party.ctx, id);
        if (held === null) throw new Error('no record');
        const { claim } = await takeClaim(
          party.ctx,
          worker.id,
          [{ held, event: (ref) => ({ kind: 'claimed', at, nonce: ref.nonce, claim: ref, policy }) }],
          { alone: true, doubted: new Set() },
        );
        if (claim === null) throw new Error('nothing was claimed');
        const strays: Strays = new Map([[claim.ref.nonce, { ids: [id], since: Number.NEGATIVE_INFINITY }]]);
        const audit = new Audit(party.ctx, worker.id);
        party.commits.fault = () => 'notSent';
        await audit.run(strays, () => true, new AbortController().signal);
        expect(strays.size).toBe(1);
        party.commits.fault = () => 'none';
        await audit.run(strays, () => true, new AbortController().signal);
        expect(strays.size).toBe(0);
        expect(await recordOf(desk, id)).toMatchObject({ state: 'waiting', attempt: 1 });
      });

      test('a claim that was made is found, and runs once', async () => {
        const { type, calls } = counted(() => null);
        const one = await work({ types: [type] });
        one.party.commits.failNext('replyLost', (_ops, { lane }) => lane === 'claim');
        const id = await submit(desk, 'job');
        await reaches(desk, id, 'completed');
        expect(calls.get(id)).toBe(1);
        await claimsNothing(desk, one.worker.id);
      });

      test.each(['requestLost', 'replyLost', 'notSent'] as const)(
        'an outcome is recorded once: %s',
        async (fault) => {
          const { type, calls } = counted(() => 'done');
          const one = await work({ types: [type] });
          one.party.commits.failNext(fault, moves('completed'));
          const id = await submit(desk, 'job');
          await reaches(desk, id, 'completed');
          await eventually(() => expect(one.endings).toEqual([{ id, ending: 'succeeded' }]), {
            what: 'it ended',
          });
          expect(calls.get(id)).toBe(1);
        },
      );

      test.each([
        ['and its leader sees nothing', false],
        ['and its leader interrupts it', true],
      ])(
        'an attempt in place whose claim is lost with the session, %s, has not begun: it is released',
        async (_how, interrupted) => {
          const { type, calls } = counted(
            (_context, call) => {
              if (call === 1) throw new Error('not yet');
            },
            { retry: soon },
          );
          const one = await work({ types: [type] });
          feed.following = false;
          const id = await submit(desk, 'job');
          one.party.commits.fault = (ops, { lane }) => {
            if (lane !== 'write' || !moves('running')(ops)) return 'none';
            one.party.commits.fault = () => 'none';
            one.party.commits.onOutcome = () => one.party.peer.cutOff();
            return 'replyLost';
          };
          feed.put([id]);
          await claimedAgain(id);
          await gone(desk.peer.session, `/workers/${one.worker.id}`);
          if (interrupted) await interruptOnceGone(one, id);
          await new Promise((resolve) => setTimeout(resolve, world.timeoutMs)); // The outage outlives any patience of one timeout.
          one.party.commits.onOutcome = () => undefined;
          feed.following = true;
          one.party.peer.rejoin();
          expect(await reaches(desk, id, 'completed')).toMatchObject({ attempt: 2 });
          expect(calls.get(id)).toBe(2);
        },
      );

      async function claimedAgain(id: TaskId): Promise<void> {
        const look = async (): Promise<void> =>
          expect(await recordOf(desk, id)).toMatchObject({ state: 'running', attempt: 2 });
        await eventually(look, { what: `${id} is claimed again` });
      }
    });

    describe('whatever a handler does', () => {
      const revoked = Proxy.revocable({}, {});
      revoked.revoke();
      const cyclic: { self?: unknown } = {};
      cyclic.self = cyclic;
      test('throwing whatever it likes is a failed attempt', async () => {
        const thrown: Record<string, unknown> = {
          undefined,
          null: null,
          symbol: Symbol('s'),
          frozen: Object.freeze(new Error('frozen')),
          cyclic,
          'no prototype': Object.create(null),
          'no message': Object.assign(new Error('x'), { message: undefined }),
          'an object as message': Object.assign(new Error('x'), { message: { code: 7 } }),
          'a revoked proxy': revoked.proxy,
          "opossum's own error": Object.assign(new Error('open'), { code: 'EOPENBREAKER' }),
        };
        const { type } = counted(
          ({ task }) => {
            throw thrown[String(task.payload)];
          },
          { retry: { attempts: 1 }, breaker: { attemptsMin: 100 } },
        );
        const { worker } = await work({ types: [type] });
        for (const payload of Object.keys(thrown)) {
          const { attempts } = await reaches(desk, await submit(desk, 'job', { payload }), 'failed');
          expect(attempts, payload).toMatchObject([{ outcome: 'failed', error: { code: 'HANDLER_FAILED' } }]);
          expect(attempts?.[0]?.error?.message, payload).toEqual(expect.any(String));
        }
        await claimsNothing(desk, worker.id);
      });

      test('returning whatever it likes completes the task', async () => {
        const returned: Record<string, readonly [unknown, object]> = {
          undefined: [undefined, { value: null }],
          cyclic: [cyclic, { omittedBytes: 0 }],
          'a BigInt': [1n, { omittedBytes: 0 }],
          'too much': ['x'.repeat(20_000), { omittedBytes: 20_002 }],
        };
        const { type } = counted(({ task }) => returned[String(task.payload)]?.[0]);
        await work({ types: [type] });
        for (const [payload, [, result]] of Object.entries(returned)) {
          const record = await reaches(desk, await submit(desk, 'job', { payload }), 'completed');
          expect(record.result, payload).toEqual(result);
        }
      });

      test('saying of its progress what no JSON can carry is a bug of the handler, and the worker goes on', async () => {
        const { type } = counted(({ progress }) => progress(cyclic as never), { retry: { attempts: 1 } });
        await work({ types: [type] });
        const id = await submit(desk, 'job');
        expect((await reaches(desk, id, 'failed')).attempts).toMatchObject([
          { error: { code: 'HANDLER_BUG' } },
        ]);
      });

      test('what an attempt says of its progress is said as of that attempt, also in one retried in place', async () => {
        const { type } = counted(
          ({ progress }, call) => {
            progress(`call ${call}`);
            if (call === 1) throw new Error('once more');
          },
          { retry: soon },
        );
        const { worker } = await work({ types: [type] });
        const said: WorkerEvents['progress'][] = [];
        worker.on('progress', (word) => said.push(word));
        const id = await submit(desk, 'job');
        await reaches(desk, id, 'completed');
        expect(said).toEqual([
          { id, attempt: 1, json: '"call 1"' },
          { id, attempt: 2, json: '"call 2"' },
        ]);
      });

      test('asking to be retried after no number of ms is retried by the policy', async () => {
        const { type } = counted(
          (_context, call) => {
            if (call === 1) throw new RetryAfter(Number.NaN);
          },
          { retry: soon },
        );
        await work({ types: [type] });
        await reaches(desk, await submit(desk, 'job'), 'completed');
        expect(feed.hints.filter(({ notBefore }) => Number.isNaN(notBefore))).toEqual([]);
      });

      test('changing its payload changes neither the record nor what the next attempt sees', async () => {
        const seen: string[] = [];
        const type = defineTask<{ items: unknown[]; self?: unknown }>('job', {
          retry: soon,
          handler: (payload, { attempt }) => {
            seen.push(JSON.stringify(payload));
            payload.items.pop();
            payload.self = payload;
            if (attempt === 1) throw new Error('not yet');
          },
        });
        await work({ types: [type] });
        const payload = { items: [1, 2, 3] };
        const record = await reaches(desk, await submit(desk, 'job', { payload }), 'completed');
        expect(record.payload).toEqual(payload);
        expect(seen).toEqual([JSON.stringify(payload), JSON.stringify(payload)]);
      });

      test('settling after its worker has stopped and the session is closed harms nobody', async () => {
        const end = signalled();
        const { type } = counted(() => end.promise, { timeoutMs: 20 });
        const { worker, party } = await work({ types: [type] });
        const id = await submit(desk, 'job');
        await reaches(desk, id, 'uncertain');
        await worker.stop();
        await party.peer.session.close();
        const rejections: unknown[] = [];
        const note = (reason: unknown): void => void rejections.push(reason);
        process.on('unhandledRejection', note);
        end.resolve();
        for (let n = 0; n < 5; n += 1) await new Promise((resolve) => setImmediate(resolve));
        process.off('unhandledRejection', note);
        expect(rejections).toEqual([]);
      });

      test('its cancel is seen also when the first look at its record fails', async () => {
        const { type } = counted(obey);
        let failing = 1;
        const one = await work({
          types: [type],
          wrap: (session) =>
            withMethods(session, {
              read: (path, watcher) => {
                if (watcher === undefined || !path.startsWith('/tasks/') || failing-- <= 0)
                  return session.read(path, watcher);
                return Promise.reject(new Error('no answer in time'));
              },
            }),
        });
        const id = await submit(desk, 'job');
        await eventually(() => expect(failing).toBeLessThan(1), { what: 'the first look fails' });
        await cancel(desk.ctx, id, until);
        await reaches(desk, id, 'cancelled');
        await eventually(() => expect(one.endings).toEqual([{ id, ending: 'failed' }]), {
          what: 'the worker knows how it ended',
        });
      });
    });

    describe('what is delivered', () => {
      test('large tasks run all, though one transaction cannot carry them', async () => {
        const { type, calls } = counted(() => null);
        await work({ types: [type], concurrency: 50 });
        feed.following = false;
        const ids = await Promise.all(
          Array.from({ length: 20 }, () => submit(desk, 'job', { payload: 'x'.repeat(60_000) })),
        );
        feed.put(ids);
        for (const id of ids) await reaches(desk, id, 'completed');
        expect([...calls.values()]).toEqual(Array(20).fill(1));
      });

      test('an id given twice in a delivery runs once, and holds up no other', async () => {
        const { type, calls } = counted(() => null);
        await work({ types: [type] });
        feed.following = false;
        const [one, other] = (await Promise.all([submit(desk, 'job'), submit(desk, 'job')])) as [
          TaskId,
          TaskId,
        ];
        feed.put([one, one, other]);
        await reaches(desk, other, 'completed');
        await reaches(desk, one, 'completed');
        expect([...calls.values()]).toEqual([1, 1]);
      });

      test('a record nobody can read holds up no other task of its delivery', async () => {
        const { type } = counted(() => null);
        await work({ types: [type] });
        feed.following = false;
        const ids = await Promise.all(Array.from({ length: 5 }, () => submit(desk, 'job')));
        await spoil(desk, ids[2] as TaskId);
        feed.put([...ids, 'never-accepted' as TaskId]);
        for (const id of ids.filter((_, i) => i !== 2)) await reaches(desk, id, 'completed');
      });

      test('spends no attempt while the breaker is open, and runs once it has closed', async () => {
        let broken = true;
        const { type, calls } = counted(
          () => {
            if (broken) throw new Error('503');
          },
          { retry: { ...soon, attempts: 2 }, breaker: { attemptsMin: 2, errorPercentMax: 1, openMs: 300 } },
        );
        await work({ types: [type] });
        const first = await submit(desk, 'job');
        await reaches(desk, first, 'failed');
        broken = false;
        const id = await submit(desk, 'job');
        expect(await reaches(desk, id, 'completed')).toMatchObject({ attempt: 1 });
        expect(calls.get(id)).toBe(1);
      });
    });

    describe('while the server it talks to lags behind', () => {
      const isRecord = /^\/tasks\/..\/./;

      /** Reads of a record answer what stood there before, until, after the first, the server is brought up to date. */
      function lagging(before: Znode | null): NonNullable<HireOptions['wrap']> {
        return (session) => {
          let phase: 'unasked' | 'behind' | 'current' = 'unasked';
          return withMethods(session, {
            readAll: async (paths) => {
              if (phase === 'current' || !paths.every((path) => isRecord.test(path)))
                return session.readAll(paths);
              phase = 'behind';
              return paths.map(() => before);
            },
            sync: async () => {
              const zxid = await session.sync();
              if (phase === 'behind') phase = 'current';
              return zxid;
            },
          });
        };
      }

      test('runs a delivered task that the server has not heard of yet', async () => {
        const { type, calls } = counted(() => null);
        feed.following = false;
        await work({ types: [type], wrap: lagging(null) });
        const id = await submit(desk, 'job');
        feed.put([id]);
        await reaches(desk, id, 'completed');
        expect(calls.get(id)).toBe(1);
      });

      test('runs the next attempt of a task that the server still believes to be settled', async () => {
        const { type, calls } = counted(() => null);
        feed.following = false;
        const id = await submit(desk, 'job');
        await cancel(desk.ctx, id, until);
        const cancelled = await desk.peer.session.read(recordPath(id));
        await replay(desk.ctx, id, until);
        await work({ types: [type], wrap: lagging(cancelled) });
        feed.put([id]);
        await reaches(desk, id, 'completed');
        expect(calls.get(id)).toBe(1);
      });
    });

    describe('stopping', () => {
      test('releases what it has claimed and not started', async () => {
        const { type, calls } = counted(() => null);
        const one = await work({ types: [type] });
        feed.following = false;
        const ids = await Promise.all(Array.from({ length: 5 }, () => submit(desk, 'job')));
        let stopped: Promise<void> | null = null;
        one.party.commits.onOutcome = ({ lane }) => {
          if (lane === 'claim') stopped ??= one.worker.stop();
        };
        feed.put(ids);
        await eventually(() => expect(stopped).not.toBeNull(), { what: 'the claim is made' });
        await stopped;
        for (const id of ids)
          expect(await recordOf(desk, id)).toMatchObject({ state: 'waiting', attempt: 1 });
        expect(calls.size).toBe(0);
        expect(one.endings.map(({ ending }) => ending)).toEqual(Array(5).fill('notStarted'));
        expect(feed.hints.map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
      });

      test('waits for what runs, then aborts it, and returns', async () => {
        const begun = signalled();
        const { type } = counted(
          (context) => {
            begun.resolve();
            return obey(context);
          },
          { retry: { ...soon, attempts: 2 } },
        );
        const one = await work({ types: [type], drainMsMax: 50 });
        const id = await submit(desk, 'job');
        await begun.promise;
        await one.worker.stop();
        expect(await recordOf(desk, id)).toMatchObject({ state: 'waiting', attempt: 2 });
        expect((await recordOf(desk, id)).attempts).toMatchObject([{ error: { code: 'CLOSED' } }]);
        expect(feed.hints.filter((hint) => hint.id === id)).toHaveLength(2);
      });

      test('a handler that was about to start is not started', async () => {
        const { type, calls } = counted(() => null);
        const asked = signalled();
        const proof = signalled<boolean>();
        let doubted = false;
        const one = await work({
          types: [type],
          drainMsMax: 0,
          wrap: (session) =>
            withMethods(session, {
              trusted: () => !doubted && session.trusted(),
              prove: () => {
                asked.resolve();
                return proof.promise;
              },
            }),
        });
        doubted = true;
        const id = await submit(desk, 'job');
        await asked.promise;
        const abort = vi.spyOn(Run.prototype, 'abort');
        onTestFinished(() => abort.mockRestore());
        const stopped = one.worker.stop();
        await eventually(() => expect(abort).toHaveBeenCalled(), { what: 'the drain is over' }); // It found no handler to abort.
        proof.resolve(true);
        await stopped;
        expect(calls.size).toBe(0);
        expect(await recordOf(desk, id)).toMatchObject({ state: 'waiting', attempt: 1 });
      });

      test('leaves nothing of its own in the tree', async () => {
        const { type } = counted(() => null);
        const { worker } = await work({ types: [type] });
        await reaches(desk, await submit(desk, 'job'), 'completed');
        await worker.stop();
        await gone(desk.peer.session, `/workers/${worker.id}`);
        expect(await desk.peer.session.children(claimsOf(worker.id))).toBeNull();
      });

      test('ends within its bounds while ZooKeeper is away', async () => {
        const begun = signalled();
        const { type } = counted((context) => {
          begun.resolve();
          return obey(context);
        });
        const one = await work({ types: [type], drainMsMax: 0 });
        await submit(desk, 'job');
        await begun.promise;
        one.party.peer.cutOff();
        await one.worker.stop();
        expect(one.endings.map(({ ending }) => ending)).toEqual(['unrecorded']);
      });
    });
  });
}
