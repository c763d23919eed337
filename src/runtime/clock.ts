// clock.ts: time, as an argument. Owns the only use of the platform's clocks and timers (P12, P9).

import type { EpochMs, MonotonicMs } from '../domain/index.js';

export type Timer = { cancel(): void };

export interface Clock {
  now(): EpochMs;
  monotonic(): MonotonicMs;
  /** Calls `fn` once after `delayMs`. The timer keeps the process alive only when `keepAlive` is set. */
  after(delayMs: number, fn: () => void, options?: { keepAlive?: boolean }): Timer;
  /** Calls `fn` once the event loop has gone through what is ready in this turn: what belongs together is collected until then. */
  atEndOfTurn(fn: () => void): void;
}

export const systemClock: Clock = {
  now: () => Date.now() as EpochMs,
  monotonic: () => performance.now() as MonotonicMs,
  after(delayMs, fn, options = {}) {
    const timer = setTimeout(fn, Math.min(delayMs, 2 ** 31 - 1));
    if (options.keepAlive !== true) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  atEndOfTurn(fn) {
    setImmediate(fn);
  },
};

/** Resolves after `delayMs`, or at once (without an error) when `signal` aborts. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done, { keepAlive: true });
    signal?.addEventListener('abort', done, { once: true });
  });
}
