// process-clock.ts: time as one process of the simulation has it: the world's, until the process is frozen or killed. Owns
// the timers that fall due meanwhile: held back and run late, or never run again.

import type { EpochMs, MonotonicMs } from '../../src/domain/index.js';
import type { Clock, Timer } from '../../src/runtime/index.js';

export class ProcessClock implements Clock {
  readonly #world: Clock;
  readonly #skewMs: number;
  #state: 'running' | 'frozen' | 'dead' = 'running';
  #overdue: (() => void)[] = [];

  /** `skewMs`: of its wall clock (P12). */
  constructor(world: Clock, skewMs: number) {
    this.#world = world;
    this.#skewMs = skewMs;
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  now(): EpochMs {
    return (this.#world.now() + this.#skewMs) as EpochMs;
  }

  monotonic(): MonotonicMs {
    return this.#world.monotonic();
  }

  after(delayMs: number, fn: () => void): Timer {
    let cancelled = false;
    const due = (): void => {
      if (cancelled || this.#state === 'dead') return;
      if (this.#state === 'frozen') this.#overdue.push(due);
      else fn();
    };
    const timer = this.#world.after(delayMs, due);
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen';
  }

  /** What fell due meanwhile runs now, in order, each in a turn of its own. */
  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    for (const due of this.#overdue.splice(0)) this.#world.after(0, due);
  }

  /** For ever. */
  kill(): void {
    this.#state = 'dead';
    this.#overdue = [];
  }
}
