// redis-twin.ts: deliveries in memory: what workers take from and what the scheduler reconciles with. Owns the jobs, the
// marker and the history; loses, doubles and delays what it is told to, can be away, and can lose everything.

import { ClaimkeeperError, type Hint, type Name, type TaskId } from '../../src/domain/index.js';
import { type Clock, delay } from '../../src/runtime/index.js';
import type { DeliveryPort } from '../../src/scheduler/reconcile.js';
import type { Delivery, Source } from '../../src/worker/index.js';
import type { SeededRandom } from './seeded-random.js';

type Job = {
  readonly queue: Name;
  readonly ids: readonly TaskId[];
  redelivered: boolean;
  phase: 'delayed' | 'ready' | 'out';
};

/** Shares of deliveries, 0–1. */
export type Unkindness = { readonly lost: number; readonly doubled: number; readonly delayed: number };

/** Who asks: its clock, and whether it can hear an answer. */
export type Asker = { readonly clock: Clock; readonly awake: () => boolean };

const kind: Unkindness = { lost: 0, doubled: 0, delayed: 0 };
/** A delivery whose taker does not end it for this long comes again. */
const lockMs = 3_000;
const delayedMsMax = 4_000;

export class RedisTwin {
  readonly #clock: Clock;
  readonly #random: SeededRandom;
  readonly #jobs = new Set<Job>();
  readonly #history = new Map<TaskId, string>();
  readonly #wakers = new Set<() => void>();
  #outbox: (() => void)[] = [];
  #marker: string | null = null;
  #away = false;
  unkindness = kind;

  constructor(clock: Clock, random: SeededRandom) {
    this.#clock = clock;
    this.#random = random;
  }

  get history(): ReadonlyMap<TaskId, string> {
    return this.#history;
  }

  /** Everything is lost, also what is on its way to be acknowledged. */
  flush(): void {
    this.#jobs.clear();
    this.#marker = null;
  }

  leave(): void {
    this.#away = true;
  }

  comeBack(): void {
    this.#away = false;
    for (const send of this.#outbox.splice(0)) send();
    this.#wake();
  }

  /** Those who could not hear may hear again. */
  nudge(): void {
    this.#wake();
  }

  readonly deliver = (hints: readonly Hint[]): void => {
    const now = this.#clock.now();
    for (const { id, queue, notBefore } of hints) {
      const send = (): void => this.#put(queue, [id], Math.max(0, (notBefore ?? now) - now));
      if (this.#away) this.#outbox.push(send);
      else send();
    }
  };

  /** As the scheduler sees it. */
  port({ clock }: Asker): DeliveryPort {
    const ask = async <T>(answer: () => T): Promise<T> => {
      await delay(clock, this.#random.between(1, 5));
      if (this.#away) throw new ClaimkeeperError('REDIS_UNAVAILABLE', 'it is away');
      return answer();
    };
    return {
      pending: (queue) =>
        ask(() => new Set([...this.#jobs].filter((job) => job.queue === queue).flatMap(({ ids }) => ids))),
      readMarker: () => ask(() => this.#marker),
      writeMarker: (value) =>
        ask(() => {
          this.#marker = value;
        }),
      putHistory: (entries) =>
        ask(() => {
          for (const { id, json } of entries) this.#history.set(id, json);
        }),
    };
  }

  /** As a worker sees one queue of it. */
  source(queue: Name, asker: Asker): Source {
    const stop = new AbortController();
    return {
      start: async () => undefined,
      stop: async () => stop.abort(),
      take: (signal) =>
        this.#take(queue, asker, AbortSignal.any([stop.signal, ...(signal === undefined ? [] : [signal])])),
    };
  }

  async #take(queue: Name, asker: Asker, signal: AbortSignal): Promise<Delivery | null> {
    while (!signal.aborted) {
      const job = asker.awake() && !this.#away ? this.#next(queue) : undefined;
      if (job !== undefined) return this.#handOut(job, asker);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#wakers.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#wakers.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    return null;
  }

  #next(queue: Name): Job | undefined {
    return [...this.#jobs].find((job) => job.queue === queue && job.phase === 'ready');
  }

  #handOut(job: Job, { clock }: Asker): Delivery {
    job.phase = 'out';
    const lock = this.#clock.after(lockMs, () => {
      job.redelivered = true;
      this.#ready(job);
    });
    const end = async (): Promise<void> => {
      await delay(clock, this.#random.between(1, 5));
      lock.cancel();
      this.#jobs.delete(job);
    };
    return {
      ids: job.ids,
      redelivered: job.redelivered,
      done: end,
      giveBack: async (ids, delayMs) => {
        if (ids.length > 0) this.#put(job.queue, ids, delayMs);
        await end();
      },
    };
  }

  #put(queue: Name, ids: readonly TaskId[], delayMs: number): void {
    const { lost, doubled, delayed } = this.unkindness;
    if (this.#random.chance(lost)) return;
    const times = this.#random.chance(doubled) ? 2 : 1;
    for (let n = 0; n < times; n += 1) {
      const lateMs = this.#random.chance(delayed) ? this.#random.between(0, delayedMsMax) : 0;
      const job: Job = { queue, ids, redelivered: false, phase: 'delayed' };
      this.#jobs.add(job);
      this.#clock.after(delayMs + lateMs + this.#random.between(1, 5), () => this.#ready(job));
    }
  }

  #ready(job: Job): void {
    if (!this.#jobs.has(job)) return;
    job.phase = 'ready';
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}
