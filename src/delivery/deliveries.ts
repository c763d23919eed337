// deliveries.ts: the sending side of delivery. Owns the connection that all queues share, and what the scheduler keeps in
// Redis beside the queues: the marker that tells whether Redis has lost its data, and the history; what lists are read from is
// read-model.ts. Redis remembers nothing that the ledger does not know (P6), except the history, which retention takes out of it.

import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { ClaimkeeperError, type Hint, type Name, type TaskId } from '../domain/index.js';
import { type Runtime, type Service, within } from '../runtime/index.js';
import { answersIn } from './access.js';
import { openRedis } from './connection.js';
import { Outbox } from './outbox.js';
import { cargoOf, jobOf, type Parcel, type ParcelJob, slices } from './parcel.js';
import { ProgressBoard, type ProgressWord } from './progress.js';
import { ReadModel } from './read-model.js';

export type DeliveryOptions = {
  readonly redisUrl: string;
  /** Before every key, so that several installations may share one Redis. */
  readonly prefix: string;
};

export type HistoryEntry = { readonly id: TaskId; readonly json: string };

const startMsMax = 2_000;
const stopMsMax = 2_000;
const pageSize = 1_000;
/** A task that has said nothing for this long has nothing to show. */
const progressMs = 3_600_000;
/** BullMQ's own event stream, which nothing of ours reads. */
const eventsKept = 100;

export class Deliveries implements Service {
  /** What lists and counts are read from. */
  readonly view: ReadModel;
  readonly #prefix: string;
  readonly #runtime: Runtime;
  readonly #redis: Redis;
  readonly #outbox: Outbox;
  readonly #queues = new Map<Name, Queue>();
  readonly #progress: ProgressBoard;
  #stopped = false;

  constructor(options: DeliveryOptions, runtime: Runtime) {
    this.#prefix = options.prefix;
    this.#runtime = runtime;
    this.#redis = openRedis(options.redisUrl, 'impatient', runtime);
    this.#outbox = new Outbox(
      { ready: () => this.available, send: (parcels) => this.#send(parcels) },
      runtime,
    );
    this.#progress = new ProgressBoard(runtime.clock, (words) =>
      this.#putAll(
        words.map(({ json, ...of }) => [progressName(of), json]),
        progressMs,
      ),
    );
    this.view = new ReadModel(
      {
        redis: this.#redis,
        prefix: this.#key(''),
        available: () => this.available,
        ask: (question) => this.#ask(question),
      },
      runtime,
    );
    this.#redis.on('ready', () => {
      this.#outbox.repeat();
      this.view.news.wake();
    });
  }

  /** Whether Redis can be reached now, as far as is known. */
  get available(): boolean {
    // A connection that is being given up stays `ready` for a while.
    return this.#redis.status === 'ready' && this.#redis.stream.writable;
  }

  /** Hints given up since the start: the buffer was full, or Redis refused them. */
  get dropped(): number {
    return this.#outbox.dropped;
  }

  /** Waits a little for Redis, and goes on without it: tasks are accepted all the same. */
  async start(): Promise<void> {
    const ready = new Promise<void>((resolve) => this.#redis.once('ready', resolve));
    this.#redis.connect().catch(() => undefined); // The connection logs it, and tries again.
    await within(this.#runtime.clock, startMsMax, ready);
  }

  /** Sends what was handed over if Redis takes it within two seconds; drops the rest. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const all = Promise.all([this.#outbox.flush(), this.view.news.flush()]);
    if (this.available) await within(this.#runtime.clock, stopMsMax, all);
    this.#outbox.close();
    this.view.news.close();
    this.#redis.disconnect();
  }

  /**
   * Never throws and never waits: all hints of one turn of the event loop leave together, in envelopes. While Redis is
   * away they are kept, up to `limits.deliveryBufferMax`.
   */
  deliver(hints: readonly Hint[]): void {
    if (!this.#stopped) this.#outbox.put(hints);
  }

  /** Resolves once all hints handed over so far were sent or dropped; while Redis is away, that is when it is back. */
  flush(): Promise<void> {
    return this.#outbox.flush();
  }

  /**
   * Ids in all deliveries of a queue that exist now. A delivery that moves meanwhile may be missed, for it is read page by
   * page: a second one does no harm.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  pending(queue: Name): Promise<Set<TaskId>> {
    return this.#ask(async () => {
      const ids = new Set<TaskId>();
      // In the order in which a delivery moves on, so that one that does is met at least once.
      for (const state of ['delayed', 'prioritized', 'waiting', 'active'] as const) {
        for (let from = 0; ; from += pageSize) {
          const jobIds = await this.#queue(queue).getRanges([state], from, from + pageSize - 1, true);
          for (const id of await this.#idsIn(queue, jobIds)) ids.add(id);
          if (jobIds.length < pageSize) break;
        }
      }
      return ids;
    });
  }

  /**
   * What {@link writeMarker} wrote; null when Redis has lost its data since (or never had any), and what it took lately is then
   * sent again.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  readMarker(): Promise<string | null> {
    return this.#ask(async () => {
      const marker = await this.#redis.get(this.#key('marker'));
      if (marker === null) this.#outbox.repeat();
      return marker;
    });
  }

  /** @throws ClaimkeeperError `REDIS_UNAVAILABLE` */
  async writeMarker(value: string): Promise<void> {
    await this.#ask(() => this.#redis.set(this.#key('marker'), value));
  }

  /**
   * Resolves once Redis has all of them; each is gone after `ttlMs`.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`: perhaps some were written; writing them again does no harm.
   */
  async putHistory(entries: readonly HistoryEntry[], ttlMs: number): Promise<void> {
    await this.#putAll(
      entries.map(({ id, json }) => [`history:${id}`, json]),
      ttlMs,
    );
  }

  /** @throws ClaimkeeperError `REDIS_UNAVAILABLE` */
  getHistory(id: TaskId): Promise<string | null> {
    return this.#ask(() => this.#redis.get(this.#key(`history:${id}`)));
  }

  /** What the attempt of a running task says of how far it is. Never throws and never waits. */
  noteProgress(word: ProgressWord): void {
    this.#progress.note(word);
  }

  /** @throws ClaimkeeperError `REDIS_UNAVAILABLE` */
  readProgress(id: TaskId, attempt: number): Promise<string | null> {
    return this.#ask(() => this.#redis.get(this.#key(progressName({ id, attempt }))));
  }

  async #putAll(entries: readonly (readonly [name: string, value: string])[], ttlMs: number): Promise<void> {
    for (const part of slices(entries, pageSize)) {
      const pipeline = this.#redis.pipeline();
      for (const [name, value] of part) pipeline.set(this.#key(name), value, 'PX', Math.ceil(ttlMs));
      await this.#ask(async () => answersIn(await pipeline.exec()));
    }
  }

  async #send(parcels: readonly Parcel[]): Promise<void> {
    const now = this.#runtime.clock.now();
    const byQueue = new Map<Name, ParcelJob[]>();
    for (const parcel of parcels) {
      const jobs = byQueue.get(parcel.queue) ?? [];
      byQueue.set(parcel.queue, jobs);
      jobs.push(jobOf(parcel, now));
    }
    await this.#ask(() => Promise.all([...byQueue].map(([queue, jobs]) => this.#add(queue, jobs))));
  }

  async #add(name: Name, jobs: readonly ParcelJob[]): Promise<void> {
    const queue = this.#queue(name);
    const [first, ...others] = jobs;
    // The pipeline and the transaction of a bulk cost more than what a single job does.
    if (first !== undefined && others.length === 0) await queue.add(first.name, first.data, first.opts);
    else await queue.addBulk([...jobs]);
  }

  async #idsIn(queue: Name, jobIds: readonly string[]): Promise<TaskId[]> {
    if (jobIds.length === 0) return [];
    const pipeline = this.#redis.pipeline();
    for (const jobId of jobIds) pipeline.hget(this.#queue(queue).toKey(jobId), 'data');
    const replies = answersIn(await pipeline.exec());
    return replies.flatMap((text) => (typeof text === 'string' ? cargoOf(parseJson(text)).ids : []));
  }

  #queue(name: Name): Queue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const queue = new Queue(name, {
      connection: this.#redis,
      prefix: this.#prefix,
      streams: { events: { maxLen: eventsKept } },
      // It would be asked per queue, and a queue whose first question is lost stays unusable.
      skipVersionCheck: true,
    });
    queue.on('error', () => undefined); // The connection's own listener has logged it.
    this.#queues.set(name, queue);
    return queue;
  }

  /** '@' is in no queue's name: no key of ours is one of a queue's. */
  #key(name: string): string {
    return `${this.#prefix}:@${name}`;
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    if (!this.available) throw unavailable(this.#stopped ? 'this connection was closed' : 'it is away');
    try {
      return await question();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      // A server that is silent on this connection may answer on another one.
      if (why === 'Command timed out' && this.available) this.#redis.disconnect(true);
      throw unavailable(why, error);
    }
  }
}

function progressName({ id, attempt }: Omit<ProgressWord, 'json'>): string {
  return `progress:${id}:${attempt}`;
}

function unavailable(why: string, cause?: unknown): ClaimkeeperError {
  const message = `Redis did not answer: ${why}; accepted tasks are safe`;
  return new ClaimkeeperError('REDIS_UNAVAILABLE', message, { cause });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
