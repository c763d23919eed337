// summary-view.ts: tasks in lists, queues, and changes of state, as the API shows them; one task as a whole is view.ts.

import type { TaskEvent } from '../delivery/index.js';
import type { State, TaskSummary } from '../domain/index.js';
import type { QueueOverview, QueueSetting } from './overview-port.js';
import { iso, isoOrNull } from './view.js';

/** Times are ISO 8601 in UTC; null where there is none yet. */
export type SummaryView = {
  readonly id: string;
  readonly type: string;
  readonly queue: string;
  readonly state: State;
  readonly attempt: number;
  readonly acceptedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Of the last attempt that ended. */
  readonly errorCode: string | null;
  readonly replays: number;
  readonly worker: string | null;
};

export type QueueView = {
  readonly queue: string;
  readonly counts: Readonly<Record<State, number>>;
  /** For how long the longest waiting of those that are due could have run, in ms; null: none is due. */
  readonly oldestDueMs: number | null;
  readonly paused: boolean;
  readonly pausedSince: string | null;
};

export type EventView = {
  /** When it was seen. */
  readonly at: string;
  /** The state before, as far as is known. */
  readonly from: State | null;
  readonly task: SummaryView;
};

export function summaryViewOf(task: TaskSummary): SummaryView {
  const { id, type, queue, state, attempt, errorCode, replays, worker } = task;
  const times = {
    acceptedAt: iso(task.acceptedAt),
    startedAt: isoOrNull(task.startedAt),
    finishedAt: isoOrNull(task.finishedAt),
  };
  return { id, type, queue, state, attempt, ...times, errorCode, replays, worker };
}

export function queueViewOf({ pausedSince, ...queue }: QueueOverview): QueueView {
  return { ...queue, pausedSince: isoOrNull(pausedSince) };
}

export function settingViewOf(queue: string, { paused, since }: QueueSetting): object {
  return { queue, paused, since: isoOrNull(since) };
}

export function eventViewOf({ at, from, task }: TaskEvent): EventView {
  return { at: iso(at), from, task: summaryViewOf(task) };
}
