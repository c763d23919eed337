// transitions.ts: how a record moves: one table, one pure function. Nothing else in the product changes a record's state.
// docs/architecture.md shows this table, and a test compares the two.

import type { EpochMs } from './brand.js';
import type { Nonce } from './ids.js';
import { limits } from './limits.js';
import type { AttemptEntry, AttemptError, ClaimRef, Result, State, TaskRecord } from './record.js';
import type { Policy } from './task.js';

export type Verdict =
  | { readonly kind: 'completed'; readonly result: Result }
  | { readonly kind: 'notExecuted' }
  | { readonly kind: 'unknown'; readonly askAgainAt: EpochMs };

/** `nonce` is the attempt's own, except for `replayed`, where it is the operator's write's. */
export type RecordEvent =
  | {
      readonly kind: 'claimed';
      readonly at: EpochMs;
      readonly nonce: Nonce;
      readonly claim: ClaimRef;
      readonly policy: Policy;
    }
  | { readonly kind: 'readopted'; readonly nonce: Nonce; readonly claim: ClaimRef }
  | {
      readonly kind: 'released';
      readonly at: EpochMs;
      readonly nonce: Nonce;
      readonly notBefore: EpochMs | null;
    }
  | { readonly kind: 'succeeded'; readonly at: EpochMs; readonly nonce: Nonce; readonly result: Result }
  | {
      readonly kind: 'attemptFailed';
      readonly at: EpochMs;
      readonly nonce: Nonce;
      readonly error: AttemptError;
      readonly retryAt: EpochMs | null;
    }
  | { readonly kind: 'abandoned'; readonly at: EpochMs; readonly nonce: Nonce; readonly error: AttemptError }
  | { readonly kind: 'interrupted'; readonly at: EpochMs; readonly claim: ClaimRef }
  | { readonly kind: 'verified'; readonly at: EpochMs; readonly nonce: Nonce; readonly verdict: Verdict }
  | { readonly kind: 'replayed'; readonly nonce: Nonce }
  | {
      readonly kind: 'resolved';
      readonly at: EpochMs;
      readonly as: 'completed' | 'failed';
      readonly note: string;
    }
  | { readonly kind: 'cancelled'; readonly at: EpochMs }
  | { readonly kind: 'cancelRequested' };

/** From which state which event may lead where. What is not here is refused; `completed` never moves. */
export const table = [
  ['waiting', 'claimed', ['running']],
  ['waiting', 'cancelled', ['cancelled']],
  ['running', 'succeeded', ['completed']],
  ['running', 'attemptFailed', ['waiting', 'failed', 'cancelled']],
  ['running', 'abandoned', ['uncertain']],
  ['running', 'released', ['waiting', 'cancelled']],
  ['running', 'readopted', ['running']],
  ['running', 'interrupted', ['waiting', 'uncertain', 'cancelled']],
  ['running', 'cancelRequested', ['running']],
  ['uncertain', 'succeeded', ['completed']],
  ['uncertain', 'attemptFailed', ['waiting', 'failed', 'cancelled']],
  ['uncertain', 'released', ['waiting', 'cancelled']],
  ['uncertain', 'verified', ['completed', 'waiting', 'uncertain', 'cancelled']],
  ['uncertain', 'replayed', ['waiting']],
  ['uncertain', 'resolved', ['completed', 'failed']],
  ['failed', 'replayed', ['waiting']],
  ['cancelled', 'replayed', ['waiting']],
] as const satisfies readonly (readonly [State, RecordEvent['kind'], readonly State[]])[];

export type Move =
  | { readonly kind: 'moved'; readonly record: TaskRecord }
  /**
   * `state`: the table has no such move. `owner`: the event speaks of an attempt or claim that is not the record's.
   * `notDue`: claimed before its time.
   */
  | { readonly kind: 'refused'; readonly why: Refusal };

export type Refusal = 'state' | 'owner' | 'notDue';

/** The record after `event`, or why it may not move. Pure; the caller writes the outcome at the record's version (P2). */
export function transition(record: TaskRecord, event: RecordEvent): Move {
  if (!table.some(([from, kind]) => from === record.state && kind === event.kind))
    return { kind: 'refused', why: 'state' };
  if (!isOwner(record, event)) return { kind: 'refused', why: 'owner' };
  if (event.kind === 'claimed' && event.at < (record.notBefore ?? 0))
    return { kind: 'refused', why: 'notDue' };
  return { kind: 'moved', record: apply(record, event) };
}

function isOwner(record: TaskRecord, event: RecordEvent): boolean {
  switch (event.kind) {
    case 'readopted':
    case 'released':
    case 'succeeded':
    case 'attemptFailed':
    case 'abandoned':
    case 'verified':
      return record.nonce === event.nonce;
    case 'interrupted':
      return record.claim?.nonce === event.claim.nonce;
    default:
      return true;
  }
}

function apply(record: TaskRecord, event: RecordEvent): TaskRecord {
  switch (event.kind) {
    case 'claimed':
      return {
        ...record,
        state: 'running',
        nonce: event.nonce,
        claim: event.claim,
        policy: event.policy,
        startedAt: event.at,
        notBefore: undefined,
      };
    case 'readopted':
      return { ...record, claim: event.claim };
    case 'released':
      return record.cancelRequested
        ? finished(record, 'cancelled', event.at)
        : waiting(record, record.attempt, event.notBefore);
    case 'succeeded':
      return {
        ...finished(ended(record, event.at, 'succeeded'), 'completed', event.at),
        result: event.result,
      };
    case 'attemptFailed':
      return failedAttempt(ended(record, event.at, 'failed', event.error), event.at, event.retryAt);
    case 'abandoned':
      return { ...ended(record, event.at, 'unsettled', event.error), state: 'uncertain' };
    case 'interrupted':
      return interrupted(record, event.at);
    case 'verified':
      return verified(record, event);
    case 'replayed':
      return replayed(record, event.nonce);
    case 'resolved':
      return { ...finished(record, event.as, event.at), note: event.note };
    case 'cancelled':
      return finished(record, 'cancelled', event.at);
    case 'cancelRequested':
      return { ...record, cancelRequested: true };
  }
}

function failedAttempt(record: TaskRecord, at: EpochMs, retryAt: EpochMs | null): TaskRecord {
  if (record.cancelRequested) return finished(record, 'cancelled', at);
  if (retryAt !== null && hasAttemptsLeft(record)) return waiting(record, record.attempt + 1, retryAt);
  return finished(record, 'failed', at);
}

function hasAttemptsLeft(record: TaskRecord): boolean {
  return record.attempt - (record.attemptBase ?? 0) < (record.policy?.retry.attempts ?? 1);
}

/** A task that kills whoever runs it is not rerun for ever: its attempts are bounded here as well. */
function interrupted(record: TaskRecord, at: EpochMs): TaskRecord {
  const noted = ended(record, at, 'interrupted');
  if (record.policy?.onInterrupted !== 'rerun' || !hasAttemptsLeft(record))
    return { ...noted, state: 'uncertain' };
  return waitingUnlessCancelled(noted, at);
}

function verified(record: TaskRecord, event: Extract<RecordEvent, { kind: 'verified' }>): TaskRecord {
  switch (event.verdict.kind) {
    case 'completed':
      return { ...finished(record, 'completed', event.at), result: event.verdict.result };
    case 'notExecuted':
      return waitingUnlessCancelled(ended(record, event.at, 'notExecuted'), event.at);
    case 'unknown':
      return {
        ...record,
        verifications: (record.verifications ?? 0) + 1,
        notBefore: event.verdict.askAgainAt,
      };
  }
}

/** For another attempt; a cancel that its last one did not live to see is honoured instead. */
function waitingUnlessCancelled(record: TaskRecord, at: EpochMs): TaskRecord {
  return record.cancelRequested
    ? finished(record, 'cancelled', at)
    : waiting(record, record.attempt + 1, null);
}

function replayed(record: TaskRecord, nonce: Nonce): TaskRecord {
  return {
    ...waiting(record, record.attempt + 1, null),
    nonce,
    attemptBase: record.attempt,
    replays: (record.replays ?? 0) + 1,
    finishedAt: undefined,
    note: undefined,
    cancelRequested: undefined,
  };
}

function waiting(record: TaskRecord, attempt: number, notBefore: EpochMs | null): TaskRecord {
  return {
    ...record,
    state: 'waiting',
    attempt,
    notBefore: notBefore ?? undefined,
    claim: undefined,
    verifications: undefined,
  };
}

function finished(record: TaskRecord, state: 'completed' | 'failed' | 'cancelled', at: EpochMs): TaskRecord {
  return {
    ...record,
    state,
    finishedAt: at,
    claim: undefined,
    policy: undefined,
    notBefore: undefined,
    verifications: undefined,
  };
}

/** The attempt's own last word replaces an earlier guess about it: one entry per attempt. */
function ended(
  record: TaskRecord,
  at: EpochMs,
  outcome: AttemptEntry['outcome'],
  error?: AttemptError,
): TaskRecord {
  if (record.claim === undefined || record.startedAt === undefined) return record;
  const entry: AttemptEntry = {
    n: record.attempt,
    nonce: record.nonce,
    worker: record.claim.worker,
    startedAt: record.startedAt,
    endedAt: at,
    outcome,
    error,
  };
  const earlier = (record.attempts ?? []).filter((other) => other.n !== record.attempt);
  return { ...record, attempts: [...earlier, entry].slice(-limits.attemptsKept) };
}
