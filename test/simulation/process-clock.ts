// process-clock.ts: time as one process of the simulation has it: the world's, until the process is frozen or killed. Owns
// the timers that fall due meanwhile: held back and run late, or never run again; and how many of them are left.

import type { EpochMs, MonotonicMs } from '../../src/domain/index.js';
import type { Clock, Timer } from '../../src/runtime/index.js';

/** Further than this no wall clock is wrong. */
const skewMsMax = 3_000;

export class ProcessClock implements Clock {
  readonly #world: Clock;
  #skewMs: number;
  #state: 'running' | 'frozen' | 'dead' = 'running';
  #overdue: (() => void)[] = [];
  #waiting = 0;

  /** `skewMs`: of its wall clock (P12). */
  constructor(world: Clock, skewMs: number) {
    this.#world = world;
    this.#skewMs = skewMs;
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  /** Timers that have neither run nor been cancelled. */
  get waiting(): number {
    return this.#state === 'dead' ? 0 : this.#waiting;
  }

  /** Something fell due while it was frozen. */
  get isLate(): boolean {
    return this.#overdue.length > 0;
  }

  now(): EpochMs {
    return (this.#world.now() + this.#skewMs) as EpochMs;
  }

  monotonic(): MonotonicMs {
    return this.#world.monotonic();
  }

  /** Of the wall clock: somebody sets it. */
  jump(byMs: number): void {
    this.#skewMs = Math.min(skewMsMax, Math.max(-skewMsMax, this.#skewMs + byMs));
  }

  after(delayMs: number, fn: () => void): Timer {
    let over = false;
    this.#waiting += 1;
    const due = (): void => {
      if (over || this.#state === 'dead') return;
      if (this.#state === 'frozen') {
        this.#overdue.push(due);
        return;
      }
      over = true;
      this.#waiting -= 1;
      fn();
    };
    const timer = this.#world.after(delayMs, due);
    return {
      cancel: () => {
        if (over) return;
        over = true;
        this.#waiting -= 1;
        timer.cancel();
      },
    };
  }

  atEndOfTurn(fn: () => void): void {
    this.#world.atEndOfTurn(() => {
      if (this.#state === 'frozen') this.#overdue.push(fn);
      else if (this.#state === 'running') fn();
    });
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
