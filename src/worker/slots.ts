// slots.ts: how many tasks a worker runs at once. Owns the count, and how many slots are about to be free; who gets one is first
// come, first served.

import type { Clock } from '../runtime/index.js';

export class Slots {
  readonly total: number;
  #free: number;
  #freeing = 0;
  readonly #waiters = new Set<() => void>();

  constructor(total: number) {
    this.total = total;
    this.#free = total;
  }

  get free(): number {
    return this.#free;
  }

  /** Taken, and soon to be released. */
  get freeing(): number {
    return this.#freeing;
  }

  /** Up to `wanted` slots, at once; 0 when none is free. */
  take(wanted: number): number {
    const taken = Math.min(wanted, this.#free);
    this.#free -= taken;
    return taken;
  }

  /** One that is taken will soon be released. */
  announce(): void {
    this.#freeing += 1;
    this.#wake();
  }

  /** `announced`: of them, those that were. */
  release(count: number, announced = 0): void {
    this.#free += count;
    this.#freeing -= announced;
    this.#wake();
  }

  /** Resolves once a slot is free, or about to be; false when `withinMs` passed or `signal` aborted first. */
  soon(clock: Clock, withinMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#until(() => this.#free + this.#freeing > 0, clock, withinMs, signal);
  }

  /** Resolves once a slot is free; false when `withinMs` passed or `signal` aborted first. */
  available(clock: Clock, withinMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#until(() => this.#free > 0, clock, withinMs, signal);
  }

  /** Resolves once every slot is free; false when `withinMs` passed first. */
  idle(clock: Clock, withinMs: number): Promise<boolean> {
    return this.#until(() => this.#free === this.total, clock, withinMs);
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  #until(holds: () => boolean, clock: Clock, withinMs: number, signal?: AbortSignal): Promise<boolean> {
    if (holds() || signal?.aborted) return Promise.resolve(holds());
    return new Promise((resolve) => {
      const settle = (): void => {
        timer.cancel();
        this.#waiters.delete(check);
        signal?.removeEventListener('abort', settle);
        resolve(holds());
      };
      const check = (): void => {
        if (holds()) settle();
      };
      const timer = clock.after(withinMs, settle, { keepAlive: true });
      this.#waiters.add(check);
      signal?.addEventListener('abort', settle, { once: true });
    });
  }
}
