// outcome.ts: how an attempt ended, and what the ledger is told of it. A handler's throw is classified here, once, by us:
// a broken downstream, a bug in the handler and a deadline are different errors, counted apart.

import {
  type AttemptError,
  ClaimkeeperError,
  type EpochMs,
  type Held,
  limits,
  NonRetryable,
  type RecordEvent,
  RetryAfter,
  resultOf,
  retryDelayMs,
} from '../domain/index.js';

/** An attempt resolves with one of these; it does not reject. */
export type AttemptOutcome =
  | { readonly kind: 'succeeded'; readonly value: unknown }
  | {
      readonly kind: 'failed';
      readonly error: AttemptError;
      readonly retryable: boolean;
      /** What the downstream asked for, in ms; 0 when it did not. */
      readonly retryAfterMs: number;
    }
  /** The handler was not called: the lease was not trusted, the breaker open, or the worker stopping. */
  | { readonly kind: 'notStarted'; readonly why: 'lease' | 'breaker' | 'stopping' }
  /** The handler ignores its signal; `late` is its outcome, should it ever settle. */
  | { readonly kind: 'unsettled'; readonly late: Promise<AttemptOutcome> };

const bugs = [TypeError, ReferenceError, SyntaxError, RangeError];

/** A handler's throw, whatever it threw, as an outcome. `stop`: why its signal had aborted, if it had. */
export function failureOf(thrown: unknown, stop: unknown): AttemptOutcome {
  try {
    return classify(thrown, stop);
  } catch {
    // A proxy, or a getter that throws: nothing can be learnt of it.
    return classify(new Error('threw a value that cannot be looked at'), stop);
  }
}

function classify(thrown: unknown, stop: unknown): AttemptOutcome {
  const message = messageOf(thrown).slice(0, limits.errorMessageCharsMax);
  const failed = (code: string, retryable = true, retryAfterMs = 0): AttemptOutcome => ({
    kind: 'failed',
    error: { code, message },
    retryable,
    retryAfterMs,
  });
  if (thrown instanceof NonRetryable) return failed('HANDLER_REFUSED', false);
  if (stop instanceof ClaimkeeperError) return failed(stop.code);
  if (thrown instanceof ClaimkeeperError) return failed(thrown.code);
  if (thrown instanceof RetryAfter) return failed('HANDLER_FAILED', true, thrown.delayMs);
  // `fetch` reports an unreachable host as a TypeError that has a cause.
  const isBug = bugs.some((Bug) => thrown instanceof Bug) && (thrown as Error).cause === undefined;
  return failed(isBug ? 'HANDLER_BUG' : 'HANDLER_FAILED');
}

/** Whether the outcome speaks against the downstream: what the breaker counts. */
export function countsAgainstDownstream(outcome: AttemptOutcome): boolean {
  if (outcome.kind === 'unsettled') return true;
  return outcome.kind === 'failed' && ['HANDLER_FAILED', 'ATTEMPT_TIMEOUT'].includes(outcome.error.code);
}

/** The event that tells the ledger, with the delay in ms before another attempt, if the policy grants one. */
export function eventOf(
  outcome: AttemptOutcome,
  { record }: Held,
  now: EpochMs,
  roll: number,
): { readonly event: RecordEvent; readonly retryInMs: number | null } {
  const { nonce } = record;
  switch (outcome.kind) {
    case 'succeeded':
      return {
        event: { kind: 'succeeded', at: now, nonce, result: resultOf(outcome.value) },
        retryInMs: null,
      };
    case 'notStarted':
      return { event: { kind: 'released', at: now, nonce, notBefore: null }, retryInMs: null };
    case 'unsettled': {
      const error = {
        code: 'ATTEMPT_UNSETTLED',
        message: 'the handler had not settled when it was given up',
      };
      return { event: { kind: 'abandoned', at: now, nonce, error }, retryInMs: null };
    }
    case 'failed': {
      const retryInMs = outcome.retryable ? delayAfter(outcome, record, roll) : null;
      const retryAt = retryInMs === null ? null : ((now + retryInMs) as EpochMs);
      return { event: { kind: 'attemptFailed', at: now, nonce, error: outcome.error, retryAt }, retryInMs };
    }
  }
}

function delayAfter(
  outcome: { readonly retryAfterMs: number },
  record: Held['record'],
  roll: number,
): number {
  const policy = record.policy?.retry;
  const counted = record.attempt - (record.attemptBase ?? 0);
  const backoffMs = policy === undefined ? 0 : retryDelayMs(counted, policy, roll);
  const askedMs = Number.isNaN(outcome.retryAfterMs) ? 0 : outcome.retryAfterMs; // A `Retry-After` that was a date.
  return Math.min(Math.max(backoffMs, askedMs), limits.delayMsMax);
}

function messageOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? String(thrown.message) : `threw ${typeof thrown}: ${String(thrown)}`;
  } catch {
    return 'threw a value that cannot be shown';
  }
}
