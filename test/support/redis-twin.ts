// redis-twin.ts: deliveries in memory: what workers take from and what the scheduler reconciles with. Owns the jobs, the
// marker and the history; loses, doubles and delays what it is told to, can be away, can fall back to what it was, and can
// lose everything. How hints become jobs is the product's own outbox.

import { Outbox } from '../../src/delivery/outbox.js';
import { newParcel, type Parcel } from '../../src/delivery/parcel.js';
import {
  ClaimkeeperError,
  type EpochMs,
  type Hint,
  limits,
  type Name,
  type TaskId,
} from '../../src/domain/index.js';
import { type Clock, delay, type Random, type Runtime } from '../../src/runtime/index.js';
import type { DeliveryPort } from '../../src/scheduler/reconcile.js';
import type { Delivery, Source } from '../../src/worker/index.js';
import { emptyRedis } from './empty-redis.js';

type Job = {
  readonly parcel: Parcel;
  readonly dueAt: number;
  redelivered: boolean;
  phase: 'delayed' | 'ready' | 'out';
};

/** What becomes of a delivery on its way in; or, `endLost`, of the word that it was taken care of. */
export type DeliveryFault = {
  readonly how: 'lost' | 'doubled' | 'late' | 'first' | 'endLost';
  readonly lateMs: number;
  /** It has happened. */
  readonly onHit: () => void;
};

/** Who asks: its time, and whether it can hear an answer. */
export type Asker = { readonly clock: Clock; readonly random: Random; readonly awake: () => boolean };

export type RedisSnapshot = {
  readonly jobs: readonly Readonly<Job>[];
  readonly marker: string | null;
};

/** A delivery whose taker does not end it for this long comes again. */
const lockMs = 3_000;

export class RedisTwin {
  readonly #clock: Clock;
  readonly #jobs = new Map<string, Job>();
  readonly #history = new Map<TaskId, string>();
  /** Those who wait for a job, with the queue. */
  readonly #wakers = new Map<() => void, Name>();
  readonly #outboxes = new Set<Outbox>();
  #faults: DeliveryFault[] = [];
  #marker: string | null = null;
  #away = false;
  /** Somebody asked while it was away. */
  onMissed: () => void = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get history(): ReadonlyMap<TaskId, string> {
    return this.#history;
  }

  /** Deliveries that have not come to their end. */
  get jobs(): readonly { readonly ids: readonly TaskId[]; readonly dueAt: number }[] {
    return [...this.#jobs.values()].map(({ parcel, dueAt }) => ({ ids: parcel.ids, dueAt }));
  }

  // Faults.

  /** Everything is lost, also what is on its way to be acknowledged. False: there was nothing. */
  flush(): boolean {
    const had = this.#jobs.size > 0 || this.#marker !== null;
    this.#jobs.clear();
    this.#marker = null;
    return had;
  }

  leave(): void {
    this.#away = true;
  }

  comeBack(): void {
    this.#away = false;
    for (const outbox of this.#outboxes) outbox.wake();
    this.#wake();
  }

  snapshot(): RedisSnapshot {
    return { jobs: [...this.#jobs.values()].map((job) => ({ ...job })), marker: this.#marker };
  }

  /** As when a replica that was behind takes over. False: it was not. */
  failOver({ jobs, marker }: RedisSnapshot): boolean {
    const same = jobs.length === this.#jobs.size && jobs.every(({ parcel }) => this.#jobs.has(parcel.jobId));
    this.#jobs.clear();
    this.#marker = marker;
    for (const { parcel, dueAt, redelivered, phase } of jobs) {
      const out = phase === 'out';
      const job: Job = { parcel, dueAt, redelivered: redelivered || out, phase: 'delayed' };
      this.#jobs.set(parcel.jobId, job);
      const inMs = out ? lockMs : Math.max(0, dueAt - this.#clock.monotonic());
      this.#clock.after(inMs, () => this.#ready(job));
    }
    return !same;
  }

  /** Waits for the next delivery that it can happen to. */
  meddle(fault: DeliveryFault): void {
    this.#faults.push(fault);
  }

  /** What has not happened yet will not. */
  relent(): void {
    this.#faults = [];
  }

  /** Those who could not hear may hear again. */
  nudge(): void {
    this.#wake();
  }

  // As processes see it.

  /** The outbox of one process: what waits in it dies with the process. */
  outbox(runtime: Runtime): (hints: readonly Hint[]) => void {
    const outbox: Outbox = new Outbox(
      {
        ready: () => this.#isThere(),
        send: async (parcels) => {
          await delay(runtime.clock, between(runtime.random, 1, 3));
          if (!this.#isThere()) throw new ClaimkeeperError('REDIS_UNAVAILABLE', 'it is away');
          for (const parcel of parcels) this.#put(parcel, runtime);
        },
      },
      runtime,
    );
    this.#outboxes.add(outbox);
    return (hints) => outbox.put(hints);
  }

  /** As the scheduler sees it. */
  port({ clock, random }: Asker): DeliveryPort {
    const ask = async <T>(answer: () => T): Promise<T> => {
      await delay(clock, between(random, 1, 5));
      if (!this.#isThere()) throw new ClaimkeeperError('REDIS_UNAVAILABLE', 'it is away');
      return answer();
    };
    return {
      pending: (queue) =>
        ask(() => {
          const jobs = [...this.#jobs.values()].filter(({ parcel }) => parcel.queue === queue);
          return new Set(jobs.flatMap(({ parcel }) => parcel.ids));
        }),
      flush: async () => undefined, // Nobody hands it more than once.
      readMarker: () => ask(() => this.#marker),
      writeMarker: (value) =>
        ask(() => {
          this.#marker = value;
        }),
      putHistory: (entries) =>
        ask(() => {
          for (const { id, json } of entries) this.#history.set(id, json);
        }),
      view: emptyRedis.view,
    };
  }

  /** As a worker sees one queue of it. */
  source(queue: Name, asker: Asker): Source {
    let stopped = false;
    return {
      start: async () => undefined,
      stop: async () => {
        stopped = true;
        this.#wake();
      },
      take: (signal) => this.#take(queue, asker, () => stopped || signal?.aborted === true, signal),
    };
  }

  async #take(
    queue: Name,
    asker: Asker,
    isOver: () => boolean,
    signal: AbortSignal | undefined,
  ): Promise<Delivery | null> {
    while (!isOver()) {
      const job = asker.awake() && this.#isThere() ? this.#next(queue) : undefined;
      if (job !== undefined) return this.#handOut(job, asker);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#wakers.delete(wake);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        this.#wakers.set(wake, queue);
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
    return null;
  }

  #isThere(): boolean {
    if (this.#away) this.onMissed();
    return !this.#away;
  }

  #next(queue: Name): Job | undefined {
    for (const job of this.#jobs.values()) {
      if (job.parcel.queue === queue && job.phase === 'ready') return job;
    }
    return undefined;
  }

  #handOut(job: Job, { clock, random }: Asker): Delivery {
    job.phase = 'out';
    const { parcel } = job;
    const lock = this.#clock.after(lockMs, () => {
      job.redelivered = true;
      this.#ready(job);
    });
    const end = async (): Promise<void> => {
      await delay(clock, between(random, 1, 5));
      if (this.#jobs.get(parcel.jobId) !== job) return;
      if (this.#meets(['endLost']) !== null) return;
      lock.cancel();
      this.#jobs.delete(parcel.jobId);
    };
    return {
      ids: parcel.ids,
      redelivered: job.redelivered,
      done: end,
      giveBack: async (ids, delayMs) => {
        const due = delayMs > 0 ? ((clock.now() + delayMs) as EpochMs) : null;
        const { queue, priority } = parcel;
        if (ids.length > 0)
          this.#put(newParcel({ queue, ids, priority, due, inFront: due === null }, random), {
            clock,
            random,
          });
        await end();
      },
    };
  }

  /** A parcel that is there already is the same job. */
  #put(parcel: Parcel, { clock, random }: Pick<Asker, 'clock' | 'random'>): void {
    if (parcel.ids.length > limits.envelopeTasksMax) throw new Error('a delivery of too many tasks');
    if (this.#jobs.has(parcel.jobId)) return;
    const reordered: DeliveryFault['how'][] = this.#jobs.size > 0 ? ['first'] : [];
    const fault = this.#meets(['lost', 'doubled', 'late', ...reordered]);
    if (fault?.how === 'lost') return;
    const dueInMs = parcel.due === null ? 0 : Math.max(0, parcel.due - clock.now());
    const lateMs = fault?.how === 'late' ? fault.lateMs : 0;
    this.#add(parcel, dueInMs + lateMs + between(random, 1, 5), fault?.how === 'first');
    if (fault?.how === 'doubled')
      this.#add({ ...parcel, jobId: `${parcel.jobId}~` }, dueInMs + fault.lateMs, false);
  }

  #add(parcel: Parcel, inMs: number, first: boolean): void {
    const job: Job = { parcel, dueAt: this.#clock.monotonic() + inMs, redelivered: false, phase: 'delayed' };
    const others = first ? [...this.#jobs] : [];
    if (first) this.#jobs.clear();
    this.#jobs.set(parcel.jobId, job);
    for (const [id, other] of others) this.#jobs.set(id, other);
    this.#clock.after(inMs, () => this.#ready(job));
  }

  #meets(hows: readonly DeliveryFault['how'][]): DeliveryFault | null {
    const at = this.#faults.findIndex(({ how }) => hows.includes(how));
    if (at < 0) return null;
    const [fault] = this.#faults.splice(at, 1);
    fault?.onHit();
    return fault ?? null;
  }

  #ready(job: Job): void {
    if (this.#jobs.get(job.parcel.jobId) !== job) return;
    job.phase = 'ready';
    this.#wake(job.parcel.queue);
  }

  #wake(only: Name | null = null): void {
    for (const [wake, queue] of [...this.#wakers]) {
      if (only === null || only === queue) wake();
    }
  }
}

function between(random: Random, min: number, max: number): number {
  return min + Math.floor(random.roll() * (max - min + 1));
}
