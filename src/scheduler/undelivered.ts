// undelivered.ts: which tasks wait without a delivery. Owns what is known of the deliveries in Redis in the course of a pass over
// the ledger, and when that is too old to say that one is missing.

import { type EpochMs, type Held, type Hint, hintOf, type Name, type TaskId } from '../domain/index.js';
import { wantsDelivery } from '../ledger/index.js';
import type { Clock } from '../runtime/index.js';

/** A task without a delivery, and since when it waits. */
export type Undelivered = { readonly hint: Hint; readonly since: EpochMs };

type PendingIn = (queue: Name) => Promise<ReadonlySet<TaskId>>;

type Known = { readonly ids: Promise<ReadonlySet<TaskId>>; staleAt: number };

/** A task that has only just begun to wait may have its delivery on the way. */
const deliveryOnTheWayMs = 5_000;
/** What was pending so long ago is asked again before a delivery is called missing; it is good for ten times what asking took. */
const knownMsMin = 5_000;
const knownPerAskedMs = 10;

export class UndeliveredSearch {
  readonly #pendingIn: PendingIn;
  readonly #clock: Clock;
  readonly #known = new Map<Name, Known>();

  constructor(pendingIn: PendingIn, clock: Clock) {
    this.#pendingIn = pendingIn;
    this.#clock = clock;
  }

  /**
   * `evenYoung`: those as well that have only just begun to wait.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  async among(helds: readonly Held[], evenYoung: boolean): Promise<Undelivered[]> {
    const now = this.#clock.now();
    const found: Undelivered[] = [];
    for (const { record } of helds) {
      const since = Math.max(record.acceptedAt, record.attempts?.at(-1)?.endedAt ?? 0) as EpochMs;
      if (!wantsDelivery(record) || (!evenYoung && now - since < deliveryOnTheWayMs)) continue;
      if (!(await this.#isPending(record.queue, record.id))) found.push({ hint: hintOf(record), since });
    }
    return found;
  }

  async #isPending(queue: Name, id: TaskId): Promise<boolean> {
    const before = this.#known.get(queue);
    if (before !== undefined && (await before.ids).has(id)) return true;
    return (await this.#recent(queue)).has(id);
  }

  #recent(queue: Name): Promise<ReadonlySet<TaskId>> {
    const askedAt = this.#clock.monotonic();
    const before = this.#known.get(queue);
    if (before !== undefined && askedAt < before.staleAt) return before.ids;
    const ids = this.#pendingIn(queue).then((pending) => {
      const readAt = this.#clock.monotonic();
      known.staleAt = readAt + Math.max(knownMsMin, knownPerAskedMs * (readAt - askedAt));
      return pending;
    });
    const known: Known = { ids, staleAt: Number.POSITIVE_INFINITY };
    this.#known.set(queue, known);
    return ids;
  }
}
