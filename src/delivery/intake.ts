// intake.ts: the receiving side of delivery, for one queue. Owns the fetching, which is manual since the caller's free slots
// decide when, the locks of the envelopes that are out, and the search for those whose taker went silent.

import assert from 'node:assert/strict';
import { type Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Name } from '../domain/index.js';
import { delay, type Runtime, type Service, type Timer, unlessAborted, within } from '../runtime/index.js';
import { openRedis } from './connection.js';
import type { DeliveryOptions } from './deliveries.js';
import { Envelope } from './envelope.js';

export type IntakeOptions = DeliveryOptions & {
  readonly queue: Name;
  /** An envelope whose taker is silent for this long comes again: default 10 000. Renewed at half of it. */
  readonly lockDurationMs?: number;
  /** Between two searches, fleet-wide; a silent taker's envelope is found by the second. Default 5 000. */
  readonly stalledIntervalMs?: number;
};

/** Beyond it BullMQ would mark a job as failed; what becomes of a task is not BullMQ's to say. */
const stalledCountMax = 1_000_000_000;
const backoffMsMin = 200;
const backoffMsMax = 5_000;
const stopMsMax = 2_000;

type Fetcher = { readonly worker: Worker; readonly queue: Queue };

export class Intake implements Service {
  readonly #options: IntakeOptions;
  readonly #runtime: Runtime;
  readonly #lockDurationMs: number;
  readonly #redis: Redis;
  /** Tokens by job id. */
  readonly #locks = new Map<string, string>();
  readonly #stop = new AbortController();
  readonly #out = new Set<Envelope>();
  #fetcher: Fetcher | null = null;
  #fetching: Promise<void> | null = null;
  #taker: ((envelope: Envelope | null) => void) | null = null;
  #renewal: Timer | null = null;
  #failures = 0;

  constructor(options: IntakeOptions, runtime: Runtime) {
    this.#options = options;
    this.#runtime = { ...runtime, log: runtime.log.child({ queue: options.queue }) };
    this.#lockDurationMs = options.lockDurationMs ?? 10_000;
    this.#redis = openRedis(options.redisUrl, 'patient', this.#runtime);
  }

  /** Does not wait for Redis: {@link take} does. */
  async start(): Promise<void> {
    this.#redis.connect().catch(() => undefined); // The connection logs it, and tries again.
    this.#renewLater();
  }

  /**
   * Hands out nothing more, and waits a little for the envelopes that are out to be ended. One that is not comes again, to
   * whoever asks next, once its lock has run out.
   */
  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#renewal?.cancel();
    this.#taker?.(null);
    // Interrupts the fetch that waits; what it has just fetched is given back by it.
    await this.#within(Promise.all([this.#fetcher?.worker.close(true), this.#fetching]));
    await this.#within(Promise.all([...this.#out].map((envelope) => envelope.ended)));
    await this.#within(this.#fetcher?.queue.close());
    this.#redis.disconnect();
  }

  /**
   * The next envelope, as soon as there is one; null once stopped, or as `signal` aborts. Redis being away only makes it
   * wait. One call at a time.
   */
  take(signal?: AbortSignal): Promise<Envelope | null> {
    assert(this.#taker === null, 'one take at a time');
    if (this.#stop.signal.aborted || signal?.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const settle = (envelope: Envelope | null): void => {
        signal?.removeEventListener('abort', leave);
        this.#taker = null;
        resolve(envelope);
      };
      const leave = (): void => settle(null);
      signal?.addEventListener('abort', leave, { once: true });
      this.#taker = settle;
      this.#fetching ??= this.#fetch();
    });
  }

  async #fetch(): Promise<void> {
    while (this.#taker !== null && !this.#stop.signal.aborted) {
      const envelope = await this.#fetchOne();
      if (envelope === null) continue;
      // Nobody is waiting any more: another worker may be.
      if (this.#taker === null) await envelope.giveBack(envelope.ids, 0);
      else this.#taker(envelope);
    }
    this.#fetching = null;
  }

  /** Null: nothing was there within BullMQ's patience, or Redis was away. */
  async #fetchOne(): Promise<Envelope | null> {
    try {
      const { worker, queue } = await this.#connected();
      const token = this.#runtime.random.nonce();
      const job = (await worker.getNextJob(token, { block: true })) as Job | undefined;
      this.#failures = 0;
      return job === undefined ? null : await this.#received(job, token, queue);
    } catch (error) {
      await this.#onFailure(error);
      return null;
    }
  }

  async #received(job: Job, token: string, queue: Queue): Promise<Envelope | null> {
    const jobId = job.id ?? '';
    this.#locks.set(jobId, token);
    const envelope = new Envelope(job, token, queue, this.#runtime);
    this.#out.add(envelope);
    void envelope.ended.then(() => {
      this.#out.delete(envelope);
      // It may have come again meanwhile, under another token.
      if (this.#locks.get(jobId) === token) this.#locks.delete(jobId);
    });
    if (envelope.ids.length > 0) return envelope;
    this.#runtime.log.warn({ delivery: jobId }, 'a delivery names no task; it is removed');
    await envelope.done();
    return null;
  }

  async #onFailure(error: unknown): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#failures += 1;
    const { clock, log, random } = this.#runtime;
    const fields = { err: error, failures: this.#failures };
    if (this.#redis.status === 'ready') log.warn(fields, 'no delivery could be fetched');
    else log.debug(fields, 'no delivery could be fetched: Redis is away');
    const backoffMs = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(this.#failures, 10));
    await delay(clock, backoffMs * (0.5 + random.roll() / 2), this.#stop.signal);
  }

  async #connected(): Promise<Fetcher> {
    if (this.#fetcher !== null) return this.#fetcher;
    const fetcher = this.#open();
    try {
      await unlessAborted(this.#stop.signal, fetcher.worker.waitUntilReady());
      if (this.#stop.signal.aborted) throw new Error('stopped');
    } catch (error) {
      // A worker of BullMQ whose first connection failed stays unusable.
      await this.#within(fetcher.worker.close(true));
      throw error;
    }
    this.#fetcher = fetcher;
    await fetcher.worker.startStalledCheckTimer();
    return fetcher;
  }

  #open(): Fetcher {
    const { queue: name, prefix } = this.#options;
    const shared = { connection: this.#redis, prefix };
    const worker = new Worker(name, null, {
      ...shared,
      autorun: false,
      lockDuration: this.#lockDurationMs,
      stalledInterval: this.#options.stalledIntervalMs ?? 5_000,
      maxStalledCount: stalledCountMax,
    });
    const queue = new Queue(name, { ...shared, skipMetasUpdate: true, skipVersionCheck: true });
    worker.on('error', (error) => this.#runtime.log.debug({ err: error }, 'BullMQ reports an error'));
    worker.on('stalled', (delivery) => {
      this.#runtime.log.info({ delivery }, "a delivery's taker went silent; it is delivered again");
    });
    queue.on('error', () => undefined); // The connection's own listener has logged it.
    return { worker, queue };
  }

  #renewLater(): void {
    this.#renewal = this.#runtime.clock.after(this.#lockDurationMs / 2, () => {
      void this.#renew().finally(() => {
        if (!this.#stop.signal.aborted) this.#renewLater();
      });
    });
  }

  async #renew(): Promise<void> {
    if (this.#fetcher === null || this.#locks.size === 0 || this.#redis.status !== 'ready') return;
    const jobIds = [...this.#locks.keys()];
    const tokens = [...this.#locks.values()];
    try {
      const lost = await this.#fetcher.worker.extendJobLocks(jobIds, tokens, this.#lockDurationMs);
      for (const jobId of lost) this.#onLockLost(jobId, tokens[jobIds.indexOf(jobId)]);
    } catch (error) {
      this.#runtime.log.warn({ err: error }, 'the locks of deliveries could not be renewed');
    }
  }

  /** Unless it was done meanwhile. The worker goes on with it: the ledger says whose the tasks are (P6). */
  #onLockLost(jobId: string, token: string | undefined): void {
    if (this.#locks.get(jobId) !== token) return;
    this.#locks.delete(jobId);
    this.#runtime.log.info(
      { delivery: jobId },
      "a delivery's lock was lost; it may come to another worker too",
    );
  }

  /** Redis may be away: nothing at the end waits for it for ever, or fails with it. */
  async #within(ending: Promise<unknown> | undefined): Promise<void> {
    await within(this.#runtime.clock, stopMsMax, Promise.resolve(ending)).catch(() => undefined);
  }
}
