// wall-clock.ts: a clock whose wall time can be put forward and back, while what it measures goes on evenly.

import type { EpochMs, MonotonicMs } from '../../src/domain/index.js';
import type { Clock, Timer } from '../../src/runtime/index.js';

export class WallClock implements Clock {
  readonly #base: Clock;
  #offsetMs = 0;

  constructor(base: Clock) {
    this.#base = base;
  }

  now(): EpochMs {
    return (this.#base.now() + this.#offsetMs) as EpochMs;
  }

  monotonic(): MonotonicMs {
    return this.#base.monotonic();
  }

  after(delayMs: number, fn: () => void, options?: { keepAlive?: boolean }): Timer {
    return this.#base.after(delayMs, fn, options);
  }

  atEndOfTurn(fn: () => void): void {
    this.#base.atEndOfTurn(fn);
  }

  /** Positive: forward. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }
}
