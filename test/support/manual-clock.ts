// manual-clock.ts: time that stands still until a test moves it. What is due at once (a delay of 0, an end of a turn) runs by
// itself in a later turn; everything else waits for `advance`. Timers run in the order of their due times, then of their
// making, the ends of turns of an instant before them.
//
// While time is moved, a turn is no turn of the event loop: what a timer set off is over once no promise can settle any more,
// and that is when Node, having emptied the queue of microtasks, looks at its ticks again. So each step asks, in a microtask,
// for a tick, in which the next step is taken. A turn of the event loop costs ten times as much; it gets one now and then.

import type { EpochMs, MonotonicMs } from '../../src/domain/index.js';
import type { Clock, Timer } from '../../src/runtime/index.js';

/** Steps between two turns of the event loop. */
const stepsPerTurn = 5_000;

/** Cheaper than `queueMicrotask`, which keeps the context of whoever asks. */
const settled = Promise.resolve();

class Due implements Timer {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
  cancelled = false;

  constructor(at: number, order: number, fn: () => void) {
    this.at = at;
    this.order = order;
    this.fn = fn;
  }

  cancel(): void {
    this.cancelled = true;
  }

  isBefore({ at, order }: Due): boolean {
    return this.at < at || (this.at === at && this.order < order);
  }
}

export class ManualClock implements Clock {
  readonly #epoch: number;
  #elapsedMs = 0;
  #order = 0;
  /** A binary heap: the earliest first. */
  readonly #heap: Due[] = [];
  /** What waits for the end of a turn, and how much of it has been taken. */
  #ends: (() => void)[] = [];
  #endsTaken = 0;
  #turnAsked = false;
  #moving = false;
  #steps = 0;

  constructor(epoch = Date.UTC(2026, 0, 1)) {
    this.#epoch = epoch;
  }

  now(): EpochMs {
    return (this.#epoch + this.#elapsedMs) as EpochMs;
  }

  monotonic(): MonotonicMs {
    return this.#elapsedMs as MonotonicMs;
  }

  after(delayMs: number, fn: () => void): Timer {
    const due = new Due(this.#elapsedMs + Math.max(0, delayMs), this.#order, fn);
    this.#order += 1;
    this.#push(due);
    if (delayMs <= 0) this.#askTurn();
    return due;
  }

  atEndOfTurn(fn: () => void): void {
    this.#ends.push(fn);
    this.#askTurn();
  }

  /**
   * Moves time by `ms`, running what falls due on the way and letting promises settle after each; rejects with what it
   * throws. `until` is asked after each step: true ends the move there.
   */
  advance(ms: number, until: () => boolean = () => false): Promise<void> {
    const endsAt = this.#elapsedMs + ms;
    this.#moving = true;
    return new Promise((resolve, reject) => {
      const step = (): void => {
        try {
          if (!until() && this.#step(endsAt)) return this.#afterwards(step);
          resolve();
        } catch (error) {
          reject(error);
        }
        this.#moving = false;
        if (this.#isDue()) this.#askTurn();
      };
      this.#afterwards(step);
    });
  }

  /** How long until the next timer falls due, in ms; null: none waits. */
  nextDueInMs(): number | null {
    this.#dropCancelled();
    const next = this.#heap[0];
    return next === undefined ? null : Math.max(0, next.at - this.#elapsedMs);
  }

  /** Runs what is next; false when nothing is due until then, and it is that time. */
  #step(endsAt: number): boolean {
    const end = this.#takeEnd();
    if (end !== null) {
      end();
      return true;
    }
    const due = this.#take(endsAt);
    if (due === null) {
      this.#elapsedMs = Math.max(this.#elapsedMs, endsAt);
      return false;
    }
    this.#elapsedMs = Math.max(this.#elapsedMs, due.at);
    due.fn();
    return true;
  }

  /** Calls `step` once every promise that can settle has. */
  #afterwards(step: () => void): void {
    this.#steps += 1;
    if (this.#steps % stepsPerTurn === 0) setImmediate(step);
    else void settled.then(() => process.nextTick(step));
  }

  #isDue(): boolean {
    return this.#endsTaken < this.#ends.length || this.nextDueInMs() === 0;
  }

  #askTurn(): void {
    if (this.#turnAsked || this.#moving) return;
    this.#turnAsked = true;
    setImmediate(() => {
      this.#turnAsked = false;
      if (this.#moving) return;
      // One a turn: promises that it settles run before the next.
      (this.#takeEnd() ?? this.#take(this.#elapsedMs)?.fn)?.();
      if (this.#isDue()) this.#askTurn();
    });
  }

  #takeEnd(): (() => void) | null {
    const end = this.#ends[this.#endsTaken];
    if (end === undefined) return null;
    this.#endsTaken += 1;
    if (this.#endsTaken === this.#ends.length) {
      this.#ends = [];
      this.#endsTaken = 0;
    }
    return end;
  }

  #take(until: number): Due | null {
    this.#dropCancelled();
    const first = this.#heap[0];
    if (first === undefined || first.at > until) return null;
    this.#pop();
    return first;
  }

  #dropCancelled(): void {
    while (this.#heap[0]?.cancelled) this.#pop();
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as Due;
      if (!due.isBefore(parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = due;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (let below = 1; below < heap.length; below = 2 * at + 1) {
      const right = below + 1;
      if (right < heap.length && (heap[right] as Due).isBefore(heap[below] as Due)) below = right;
      const child = heap[below] as Due;
      if (!child.isBefore(last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}
