// within.ts: an answer in time, or before somebody loses interest, or none: the work goes on, and nobody waits for it.

import type { Clock } from './clock.js';

/** Null: `work` has not ended within `ms`. Rejects as `work` does. */
export function within<T>(clock: Clock, ms: number, work: Promise<T>): Promise<{ value: T } | null> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => resolve(null), { keepAlive: true });
    work.then((value) => resolve({ value }), reject).finally(() => timer.cancel());
  });
}

/** Undefined: `signal` has aborted before `work` ended. Rejects as `work` does. */
export function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined);
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
