// endings.ts: waiting for tasks to end. Owns the watches on their records: one per task that anybody waits for, however many
// wait, and none set again before it has fired. What is said of the task then is its reader's.

import { ClaimkeeperError, type Held, limits, type TaskId } from '../domain/index.js';
import { unlessAborted } from '../runtime/index.js';
import { type LedgerContext, readHeld } from './context.js';
import { recordPath } from './paths.js';

/** A record as it was when its watch was set; whoever waits is woken once it has changed since. */
type Followed = { readonly seen: Promise<Held | null>; readonly wakes: Set<() => void> };

export class Endings {
  readonly #ctx: LedgerContext;
  readonly #followedMax: number;
  readonly #followed = new Map<TaskId, Followed>();
  #isClosed = false;

  constructor(ctx: LedgerContext, followedMax: number = limits.endingsFollowedMax) {
    this.#ctx = ctx;
    this.#followedMax = followedMax;
  }

  /**
   * Resolves once the task is neither waiting nor running, or not there, or `signal` aborts.
   * @throws ClaimkeeperError `WAITS_EXHAUSTED`, `ZOOKEEPER_UNAVAILABLE`, `RECORD_UNREADABLE`, `CLOSED`
   */
  async until(id: TaskId, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#isClosed) throw new ClaimkeeperError('CLOSED', 'this connection was closed: connect again');
      const followed = this.#followed.get(id) ?? this.#follow(id);
      const held = await unlessAborted(signal, followed.seen);
      if (held === undefined || isOver(held)) return;
      if (this.#followed.get(id) === followed) await woken(followed, signal);
    }
  }

  /** Whoever waits is told `CLOSED`. */
  close(): void {
    this.#isClosed = true;
    const followed = [...this.#followed.values()];
    this.#followed.clear();
    for (const { wakes } of followed) for (const wake of [...wakes]) wake();
  }

  #follow(id: TaskId): Followed {
    if (this.#followed.size >= this.#followedMax) {
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
    // A watch on what is over would stay until its record leaves the ledger.
    const drop = (): void => {
      this.#ctx.session.unwatch(recordPath(id), forget);
      forget();
    };
    seen.then((held) => isOver(held) && drop(), drop);
    return followed;
  }
}

function isOver(held: Held | null): boolean {
  return held === null || (held.record.state !== 'waiting' && held.record.state !== 'running');
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
