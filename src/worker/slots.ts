// slots.ts: how many tasks a worker runs at once. Owns the count; who gets a slot is first come, first served.

import type { Clock } from '../runtime/index.js';

export class Slots {
  readonly total: number;
  #free: number;
  readonly #waiters = new Set<() => void>();

  constructor(total: number) {
    this.total = total;
    this.#free = total;
  }

  get free(): number {
    return this.#free;
  }

  /** Up to `wanted` slots, at once; 0 when none is free. */
  take(wanted: number): number {
    const taken = Math.min(wanted, this.#free);
    this.#free -= taken;
    return taken;
  }

  release(count = 1): void {
    this.#free += count;
    for (const wake of [...this.#waiters]) wake();
  }

  /** Resolves once a slot is free; false when `withinMs` passed or `signal` aborted first. */
  available(clock: Clock, withinMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#until(() => this.#free > 0, clock, withinMs, signal);
  }

  /** Resolves once every slot is free; false when `withinMs` passed first. */
  idle(clock: Clock, withinMs: number): Promise<boolean> {
    return this.#until(() => this.#free === this.total, clock, withinMs);
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
