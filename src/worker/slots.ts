// slots.ts: how many tasks a worker runs at once. Owns the count, and who gets a slot: first come, first served. A slot is free as
// soon as its handler is done; the task may be on its way into the ledger then, as many as there are slots at once, no more.

import type { Clock } from '../runtime/index.js';

type Request = { readonly wanted: number; settle(granted: number): void };

export class Slots {
  readonly total: number;
  readonly #clock: Clock;
  #taken = 0;
  #ending = 0;
  #turnedAt = Number.NEGATIVE_INFINITY;
  /** Since when all were taken; null: a handler was done since, or some were given back unused. */
  #fullAt: number | null = null;
  /** How long none was free when a handler was last done. */
  #fullMs = Number.POSITIVE_INFINITY;
  #willGrant = false;
  /** In the order in which they came. */
  readonly #requests = new Set<Request>();
  readonly #waiters = new Set<() => void>();

  constructor(total: number, clock: Clock) {
    this.total = total;
    this.#clock = clock;
  }

  /** Slots that may be taken now. */
  get free(): number {
    return Math.min(this.total - this.#taken, 2 * this.total - this.#taken - this.#ending);
  }

  /** Resolves with how many of the `wanted` were taken, as soon as any is free; with 0 when `withinMs` passed or `signal` aborted. */
  take(wanted: number, withinMs: number, signal: AbortSignal): Promise<number> {
    if (signal.aborted) return Promise.resolve(0);
    if (!this.#willGrant && this.#requests.size === 0 && this.free > 0) {
      return Promise.resolve(this.#grant(wanted));
    }
    return new Promise((resolve) => {
      const settle = (granted: number): void => {
        timer.cancel();
        signal.removeEventListener('abort', leave);
        this.#requests.delete(request);
        if (granted === 0) this.#wake();
        resolve(granted);
      };
      const leave = (): void => settle(0);
      const request = { wanted, settle };
      const timer = this.#clock.after(withinMs, leave, { keepAlive: true });
      this.#requests.add(request);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Taken, and not used. */
  release(count: number): void {
    if (count === 0) return;
    this.#taken -= count;
    this.#fullAt = null;
    this.#grantAtEndOfTurn();
  }

  /** The handler of one that is taken is done, its task on its way into the ledger until {@link ended}. */
  ending(): void {
    this.#taken -= 1;
    this.#ending += 1;
    this.#turnedAt = this.#clock.monotonic();
    if (this.#fullAt !== null) this.#fullMs = this.#turnedAt - this.#fullAt;
    this.#fullAt = null;
    this.#grantAtEndOfTurn();
  }

  ended(): void {
    this.#ending -= 1;
    this.#grantAtEndOfTurn();
  }

  /**
   * Resolves once nobody waits for a slot, and one is free or soon will be: within the last `turnMs` a handler was done, less than
   * that after the last slot was taken. Or as `signal` aborts.
   */
  async room(turnMs: number, signal: AbortSignal): Promise<void> {
    const isTurning = (): boolean =>
      this.#fullMs < turnMs && this.#clock.monotonic() - this.#turnedAt < turnMs;
    await this.#until(() => this.#requests.size === 0 && (this.free > 0 || isTurning()), signal);
  }

  /** Resolves once every slot is free and every task in the ledger; false when `withinMs` passed first. */
  async idle(withinMs: number): Promise<boolean> {
    const isIdle = (): boolean => this.#taken + this.#ending === 0;
    const late = new AbortController();
    const timer = this.#clock.after(withinMs, () => late.abort(), { keepAlive: true });
    await this.#until(isIdle, late.signal);
    timer.cancel();
    return isIdle();
  }

  #grant(wanted: number): number {
    const granted = Math.min(wanted, this.free);
    this.#taken += granted;
    if (this.free === 0) this.#fullAt = this.#clock.monotonic();
    return granted;
  }

  /** What becomes free in one turn of the event loop is taken together: a claim each would cost a transaction each. */
  #grantAtEndOfTurn(): void {
    if (this.#willGrant) return;
    this.#willGrant = true;
    this.#clock.atEndOfTurn(() => {
      this.#willGrant = false;
      for (const request of this.#requests) {
        if (this.free <= 0) break;
        request.settle(this.#grant(request.wanted));
      }
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  #until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    if (holds() || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#waiters.delete(check);
        signal.removeEventListener('abort', settle);
        resolve();
      };
      const check = (): void => {
        if (holds()) settle();
      };
      this.#waiters.add(check);
      signal.addEventListener('abort', settle, { once: true });
    });
  }
}
