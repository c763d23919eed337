// endings.ts: waiting for tasks to end. Owns the watches on their records: one per task that anybody waits for, however many
// wait, and none set again before it has fired. What is said of the task then is its reader's.

import type { Held, TaskId } from '../domain/index.js';
import { type LedgerContext, readHeld } from './context.js';

/** A record as it was when its watch was set; whoever waits is woken once it has changed since. */
type Followed = { readonly seen: Promise<Held | null>; readonly wakes: Set<() => void> };

export class Endings {
  readonly #ctx: LedgerContext;
  readonly #followed = new Map<TaskId, Followed>();

  constructor(ctx: LedgerContext) {
    this.#ctx = ctx;
  }

  /**
   * Resolves once the task is neither waiting nor running, or not there, or `signal` aborts.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `RECORD_UNREADABLE`
   */
  async until(id: TaskId, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const followed = this.#followed.get(id) ?? this.#follow(id);
      const held = await unlessAborted(followed.seen, signal);
      if (held === undefined || held === null || isOver(held)) return;
      if (this.#followed.get(id) === followed) await woken(followed, signal);
    }
  }

  #follow(id: TaskId): Followed {
    const wakes = new Set<() => void>();
    const forget = (): void => {
      if (this.#followed.get(id) === followed) this.#followed.delete(id);
      for (const wake of [...wakes]) wake();
    };
    const seen = readHeld(this.#ctx, id, forget);
    const followed: Followed = { seen, wakes };
    this.#followed.set(id, followed);
    // A read that failed has set no watch; what is not there is not waited for.
    seen.then((held) => held === null && forget(), forget);
    return followed;
  }
}

function isOver({ record }: Held): boolean {
  return record.state !== 'waiting' && record.state !== 'running';
}

function woken({ wakes }: Followed, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      wakes.delete(wake);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    wakes.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    if (signal.aborted) wake();
  });
}

/** Undefined when `signal` came first. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  let stop: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
  });
  return Promise.race([work, aborted]).finally(() => signal.removeEventListener('abort', stop));
}
