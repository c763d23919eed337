// manual-clock.ts: time that stands still until a test moves it. What is due at once (a delay of 0) runs by itself in a
// later turn; everything else waits for `advance`. Timers run in the order of their due times, then of their making.

import type { EpochMs, MonotonicMs } from '../../src/domain/index.js';
import type { Clock, Timer } from '../../src/runtime/index.js';

type Due = { readonly at: number; readonly order: number; readonly fn: () => void; cancelled: boolean };

export class ManualClock implements Clock {
  readonly #epoch: number;
  #elapsedMs = 0;
  #order = 0;
  /** A binary heap: the earliest first. */
  readonly #heap: Due[] = [];
  #turnAsked = false;

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
    const due: Due = { at: this.#elapsedMs + Math.max(0, delayMs), order: this.#order, fn, cancelled: false };
    this.#order += 1;
    this.#push(due);
    if (delayMs <= 0) this.#askTurn();
    return {
      cancel: () => {
        due.cancelled = true;
      },
    };
  }

  /** Moves time by `ms`, running what falls due on the way and letting promises settle after each. */
  async advance(ms: number): Promise<void> {
    const until = this.#elapsedMs + ms;
    await turn();
    for (let due = this.#take(until); due !== null; due = this.#take(until)) {
      this.#elapsedMs = Math.max(this.#elapsedMs, due.at);
      due.fn();
      await turn();
    }
    this.#elapsedMs = Math.max(this.#elapsedMs, until);
  }

  /** How long until the next timer falls due, in ms; null: none waits. */
  nextDueInMs(): number | null {
    this.#dropCancelled();
    const next = this.#heap[0];
    return next === undefined ? null : Math.max(0, next.at - this.#elapsedMs);
  }

  #askTurn(): void {
    if (this.#turnAsked) return;
    this.#turnAsked = true;
    setImmediate(() => {
      this.#turnAsked = false;
      // One timer a turn: promises that it settles run before the next.
      this.#take(this.#elapsedMs)?.fn();
      this.#dropCancelled();
      const next = this.#heap[0];
      if (next !== undefined && next.at <= this.#elapsedMs) this.#askTurn();
    });
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
    let at = heap.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfEarlier(at, parent)) return;
      at = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      const child = right < heap.length && this.#earlier(right, left) ? right : left;
      if (child >= heap.length || !this.#swapIfEarlier(child, at)) return;
      at = child;
    }
  }

  #swapIfEarlier(child: number, parent: number): boolean {
    if (!this.#earlier(child, parent)) return false;
    const heap = this.#heap;
    [heap[child], heap[parent]] = [heap[parent] as Due, heap[child] as Due];
    return true;
  }

  #earlier(a: number, b: number): boolean {
    const [x, y] = [this.#heap[a] as Due, this.#heap[b] as Due];
    return x.at < y.at || (x.at === y.at && x.order < y.order);
  }
}

/** A turn of the event loop: every promise that could settle has. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
