// overview-port.ts: what the API asks of the product about tasks, queues and changes as a whole: part of port.ts.

import type { FeedItem } from '../delivery/index.js';
import type { EpochMs, FollowInput, ListInput, State, TaskSummary } from '../domain/index.js';

export type QueueSetting = { readonly paused: boolean; readonly since: EpochMs | null };

export type QueueOverview = {
  readonly queue: string;
  readonly counts: Readonly<Record<State, number>>;
  readonly oldestDueMs: number | null;
  readonly paused: boolean;
  readonly pausedSince: EpochMs | null;
};

/** `rebuilding`: Redis has lost its data and is being filled from the ledger; what is said may be incomplete. */
export interface OverviewService {
  /** Input as it came, validated by `parseListing`. @throws ClaimkeeperError `REQUEST_INVALID`, `NAME_INVALID`, `REDIS_UNAVAILABLE` */
  list(input: ListInput): Promise<{
    readonly tasks: readonly TaskSummary[];
    readonly cursor: string | null;
    readonly rebuilding: boolean;
  }>;
  /** @throws ClaimkeeperError `REDIS_UNAVAILABLE`, `ZOOKEEPER_UNAVAILABLE` */
  queues(): Promise<{ readonly queues: readonly QueueOverview[]; readonly rebuilding: boolean }>;
  /** @throws ClaimkeeperError `NAME_INVALID`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED` */
  pauseQueue(queue: string): Promise<QueueSetting>;
  /** @throws ClaimkeeperError as {@link pauseQueue} */
  resumeQueue(queue: string): Promise<QueueSetting>;
  /** Until `signal` aborts. @throws ClaimkeeperError `REQUEST_INVALID`, `NAME_INVALID`, `REDIS_UNAVAILABLE` */
  events(input: FollowInput, signal: AbortSignal): Promise<AsyncGenerator<FeedItem, void, void>>;
}
