// summary.ts: a task as lists show it. Owns which parts of a record that is; the record stays the truth about the task.

import type { EpochMs } from './brand.js';
import type { Name, TaskId, WorkerId } from './ids.js';
import type { Held, State, TaskRecord } from './record.js';

export type TaskSummary = {
  readonly id: TaskId;
  readonly type: Name;
  readonly queue: Name;
  readonly state: State;
  /** The attempt that is next (`waiting`), now (`running`) or was last, from 1. */
  readonly attempt: number;
  readonly acceptedAt: EpochMs;
  /** Of the latest attempt. */
  readonly startedAt: EpochMs | null;
  readonly finishedAt: EpochMs | null;
  /** Of the last attempt that ended; null when it succeeded, or none has. */
  readonly errorCode: string | null;
  readonly replays: number;
  /** Who has it now. */
  readonly worker: WorkerId | null;
};

/** What a view is told: a record as it stands, or, with `gone`, that it has left the ledger. It decides nothing (P6). */
export type News = Held & { readonly gone?: true };

export function summaryOf(record: TaskRecord): TaskSummary {
  return {
    id: record.id,
    type: record.type,
    queue: record.queue,
    state: record.state,
    attempt: record.attempt,
    acceptedAt: record.acceptedAt,
    startedAt: record.startedAt ?? null,
    finishedAt: record.finishedAt ?? null,
    errorCode: record.attempts?.at(-1)?.error?.code ?? null,
    replays: record.replays ?? 0,
    worker: record.claim?.worker ?? null,
  };
}

/** Since when a waiting task could run, or from when on it may. */
export function dueSince(record: TaskRecord): EpochMs {
  const from = record.notBefore ?? record.attempts?.at(-1)?.endedAt ?? 0;
  return Math.max(record.acceptedAt, from) as EpochMs;
}
