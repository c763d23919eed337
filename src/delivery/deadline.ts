// deadline.ts: waiting for Redis, but not for ever. Whatever was begun goes on.

import { type Clock, delay } from '../runtime/index.js';

/** Whether `work` settled within `msMax`; rejects as it does. If it is late, its outcome is nobody's, and no error either. */
export async function endsWithin(clock: Clock, work: Promise<unknown>, msMax: number): Promise<boolean> {
  const over = new AbortController();
  const done = work.then(() => true);
  done.catch(() => undefined);
  const late = delay(clock, msMax, over.signal).then(() => false);
  try {
    return await Promise.race([done, late]);
  } finally {
    over.abort();
  }
}
