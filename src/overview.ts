// overview.ts: an installation as a whole, as a program sees it: lists of tasks, queues, what changes. Owns what is said of the
// read model's answers: they may lag behind the ledger, and say when they are incomplete. What is asked of one task, and what
// decides, is the ledger's.

import type { Generation } from './coordination/index.js';
import type { Deliveries, FeedItem } from './delivery/index.js';
import {
  type EpochMs,
  type FollowInput,
  type ListInput,
  type Name,
  parseFollowing,
  parseListing,
  parseName,
  type State,
  states,
  type TaskSummary,
} from './domain/index.js';
import {
  type LedgerContext,
  type QueueSetting,
  queueSettings,
  setPaused,
  type Until,
} from './ledger/index.js';

export type TaskList = {
  /** Newest first. */
  readonly tasks: readonly TaskSummary[];
  /** Of the next page; null: there is none. A page may be shorter than its limit and have a next one all the same. */
  readonly cursor: string | null;
  /** Redis has lost its data and is being filled from the ledger: tasks may be missing. */
  readonly rebuilding: boolean;
};

export type QueueView = {
  readonly queue: Name;
  readonly counts: Readonly<Record<State, number>>;
  /** For how long the longest waiting of those that are due could have run, in ms; null: none is due. */
  readonly oldestDueMs: number | null;
  readonly paused: boolean;
  /** When it was paused; null: it is not. */
  readonly pausedSince: EpochMs | null;
};

export type QueueList = { readonly queues: readonly QueueView[]; readonly rebuilding: boolean };

export class Overview {
  readonly #ctx: LedgerContext;
  readonly #generation: Generation;
  readonly #deliveries: Deliveries;
  readonly #until: Until;

  constructor(ctx: LedgerContext, generation: Generation, deliveries: Deliveries, until: Until) {
    this.#ctx = ctx;
    this.#generation = generation;
    this.#deliveries = deliveries;
    this.#until = until;
  }

  /** @throws ClaimkeeperError `REQUEST_INVALID`, `NAME_INVALID`, `REDIS_UNAVAILABLE` */
  async list(input: ListInput = {}): Promise<TaskList> {
    const page = await this.#deliveries.view.list(parseListing(input));
    return { ...page, rebuilding: await this.#rebuilding() };
  }

  /** Every queue that has tasks or is paused. @throws ClaimkeeperError `REDIS_UNAVAILABLE`, `ZOOKEEPER_UNAVAILABLE` */
  async queues(): Promise<QueueList> {
    const now = this.#ctx.runtime.clock.now();
    const counted = new Map(
      (await this.#deliveries.view.queues(now)).map((queue) => [queue.queue, queue] as const),
    );
    const rebuilding = await this.#rebuilding();
    const settings = await queueSettings(this.#ctx);
    const paused = [...settings].filter(([, setting]) => setting.paused).map(([name]) => name);
    const names = [...new Set([...counted.keys(), ...paused])].sort();
    const queues = names.map((queue): QueueView => {
      const { counts = noCounts, oldestDueSince = null } = counted.get(queue) ?? {};
      const setting = settings.get(queue);
      return {
        queue,
        counts,
        oldestDueMs: oldestDueSince === null ? null : Math.max(0, now - oldestDueSince),
        paused: setting?.paused ?? false,
        pausedSince: setting?.paused ? setting.since : null,
      };
    });
    return { queues, rebuilding };
  }

  /** @throws ClaimkeeperError `NAME_INVALID`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED` */
  setPaused(queue: string, paused: boolean): Promise<QueueSetting> {
    return setPaused(this.#ctx, parseName(queue, 'queue'), paused, this.#until);
  }

  /** @throws ClaimkeeperError `REQUEST_INVALID`, `NAME_INVALID`, `REDIS_UNAVAILABLE` */
  async events(input: FollowInput, signal: AbortSignal): Promise<AsyncGenerator<FeedItem, void, void>> {
    return this.#deliveries.view.events.follow(parseFollowing(input), signal);
  }

  /** Asked after the view: had it lost its data before, the mark would be gone. */
  async #rebuilding(): Promise<boolean> {
    return (await this.#deliveries.readMarker()) !== this.#generation.id;
  }
}

const noCounts = Object.fromEntries(states.map((state) => [state, 0])) as Record<State, number>;
