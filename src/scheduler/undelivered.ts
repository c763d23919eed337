// undelivered.ts: which tasks wait without a delivery. Owns what is known of the deliveries in Redis in the course of a pass over
// the ledger, and when that is too old to say that one is missing.

import { type EpochMs, type Held, type Hint, hintOf, type Name, type TaskId } from '../domain/index.js';
import { wantsDelivery } from '../ledger/index.js';
import type { Clock } from '../runtime/index.js';

/** A task without a delivery, and since when it waits. */
export type Undelivered = { readonly hint: Hint; readonly since: EpochMs };

type PendingIn = (queue: Name) => Promise<ReadonlySet<TaskId>>;

type Known = {
  readonly askedAt: EpochMs;
  readonly ids: Promise<ReadonlySet<TaskId>>;
  /** By the monotonic clock. */
  staleAt: number;
};

/** A task that had only just begun to wait when Redis was asked may have had its delivery on the way. */
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
   * Of those that have begun to wait since Redis was asked, what is known says nothing; `evenYoung`: they are judged by it as well.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  async among(helds: readonly Held[], evenYoung: boolean): Promise<Undelivered[]> {
    const found: Undelivered[] = [];
    for (const { record } of helds) {
      if (!wantsDelivery(record)) continue;
      const since = Math.max(record.acceptedAt, record.attempts?.at(-1)?.endedAt ?? 0) as EpochMs;
      const askedAt = this.#known.get(record.queue)?.askedAt ?? this.#clock.now();
      if (!evenYoung && askedAt - since < deliveryOnTheWayMs) continue;
      const ids = await (this.#known.get(record.queue) ?? this.#ask(record.queue)).ids;
      if (ids.has(record.id) || (await this.#recent(record.queue)).has(record.id)) continue;
      found.push({ hint: hintOf(record), since });
    }
    return found;
  }

  #recent(queue: Name): Promise<ReadonlySet<TaskId>> {
    const known = this.#known.get(queue);
    const isGood = known !== undefined && this.#clock.monotonic() < known.staleAt;
    return (isGood ? known : this.#ask(queue)).ids;
  }

  #ask(queue: Name): Known {
    const from = this.#clock.monotonic();
    const ids = this.#pendingIn(queue).then((pending) => {
      const readAt = this.#clock.monotonic();
      known.staleAt = readAt + Math.max(knownMsMin, knownPerAskedMs * (readAt - from));
      return pending;
    });
    const known: Known = { askedAt: this.#clock.now(), ids, staleAt: Number.POSITIVE_INFINITY };
    this.#known.set(queue, known);
    return known;
  }
}
