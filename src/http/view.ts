// view.ts: a task as the API shows it: names and times for people and other languages. Owns the mapping from the record,
// and nothing of how the record came to be.

import type { AttemptEntry, EpochMs, Json, OnInterrupted, State, TaskRecord } from '../domain/index.js';
import type { SubmitOutcome } from './port.js';
import { problemOf } from './problem.js';

/** Times are ISO 8601 in UTC; null where there is none yet. */
export type TaskView = {
  readonly id: string;
  readonly type: string;
  readonly queue: string;
  readonly payload: Json;
  readonly priority: number;
  readonly state: State;
  /** The attempt that is next (`waiting`), now (`running`) or was last, from 1. */
  readonly attempt: number;
  /** Ended attempts, the oldest first; the newest ten. */
  readonly attempts: readonly AttemptView[];
  /** Null: as the task type says. */
  readonly onInterrupted: OnInterrupted | null;
  readonly notBefore: string | null;
  readonly acceptedAt: string;
  /** Of the latest attempt. */
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Who has it now; null while nobody has. */
  readonly worker: string | null;
  /** What the running attempt last said of how far it is. */
  readonly progress: Json | null;
  readonly cancelRequested: boolean;
  readonly replays: number;
  readonly note: string | null;
  /** What the handler returned; absent before that, and when it was too large. */
  readonly result?: Json;
  readonly resultOmittedBytes?: number;
};

export type AttemptView = {
  readonly n: number;
  readonly worker: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly outcome: AttemptEntry['outcome'];
  readonly error: { readonly code: string; readonly message: string } | null;
};

export function viewOf(record: TaskRecord, progress: Json | null): TaskView {
  return {
    id: record.id,
    type: record.type,
    queue: record.queue,
    payload: record.payload,
    priority: record.priority,
    state: record.state,
    attempt: record.attempt,
    attempts: (record.attempts ?? []).map(attemptView),
    onInterrupted: record.policy?.onInterrupted ?? record.wishes?.onInterrupted ?? null,
    notBefore: isoOrNull(record.notBefore),
    acceptedAt: iso(record.acceptedAt),
    startedAt: isoOrNull(record.startedAt),
    finishedAt: isoOrNull(record.finishedAt),
    worker: record.claim?.worker ?? null,
    progress,
    cancelRequested: record.cancelRequested ?? false,
    replays: record.replays ?? 0,
    note: record.note ?? null,
    ...resultView(record),
  };
}

function attemptView({ n, worker, startedAt, endedAt, outcome, error }: AttemptEntry): AttemptView {
  return { n, worker, startedAt: iso(startedAt), endedAt: iso(endedAt), outcome, error: error ?? null };
}

function resultView({ result }: TaskRecord): Pick<TaskView, 'result' | 'resultOmittedBytes'> {
  if (result === undefined) return {};
  return 'value' in result ? { result: result.value } : { resultOmittedBytes: result.omittedBytes };
}

/** What became of a submission. */
export function outcomeView(outcome: SubmitOutcome): object {
  if (outcome.kind === 'refused') return { kind: outcome.kind, error: problemOf(outcome.error) };
  const { kind, id, state, dedupUntil } = outcome;
  return { kind, id, state, dedupUntil: iso(dedupUntil) };
}

export function iso(at: EpochMs): string {
  return new Date(at).toISOString();
}

export function isoOrNull(at: EpochMs | null | undefined): string | null {
  return at === undefined || at === null ? null : iso(at);
}
