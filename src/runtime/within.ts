// within.ts: an answer in time, or none: the work goes on, and nobody waits for it.

import { type Clock, delay } from './clock.js';

/** Null: `work` has not ended within `ms`. Rejects as `work` does. */
export async function within<T>(clock: Clock, ms: number, work: Promise<T>): Promise<{ value: T } | null> {
  const over = new AbortController();
  const late = delay(clock, ms, over.signal).then(() => null);
  return Promise.race([work.then((value) => ({ value })), late]).finally(() => over.abort());
}
