// endings.ts: waiting for tasks to end. Owns the watches on their records: one per task that anybody waits for, however many
// wait, and none set again before it has fired. What is said of the task then is its reader's.

import { ClaimkeeperError, type Held, limits, type TaskId } from '../domain/index.js';
import { unlessAborted } from '../runtime/index.js';
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
   * @throws ClaimkeeperError `WAITS_EXHAUSTED`, `ZOOKEEPER_UNAVAILABLE`, `RECORD_UNREADABLE`
   */
  async until(id: TaskId, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const followed = this.#followed.get(id) ?? this.#follow(id);
      const held = await unlessAborted(signal, followed.seen);
      if (held === undefined || held === null || isOver(held)) return;
      if (this.#followed.get(id) === followed) await woken(followed, signal);
    }
  }

  #follow(id: TaskId): Followed {
    if (this.#followed.size >= limits.endingsFollowedMax) {
      const message = `${this.#followed.size} tasks are watched here already: ask for this one without waiting`;
      throw new ClaimkeeperError('WAITS_EXHAUSTED', message);
    }
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
