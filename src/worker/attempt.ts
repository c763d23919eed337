// attempt.ts: one run of the handler, from the lease check to its outcome (P1). Owns the attempt's signal and deadline;
// the ledger is run.ts's.

import { ClaimkeeperError } from '../domain/index.js';
import type { Clock, Timer } from '../runtime/index.js';
import { type AttemptOutcome, failureOf } from './outcome.js';
import type { Stop } from './stop.js';

/** After its signal aborted, a handler has this long to settle before its outcome counts as unknown. */
export const settleMsMax = 2_000;

export type AttemptPlan = {
  readonly handler: () => unknown;
  readonly timeoutMs: number;
  /** From outside (cancelled, ownership lost, stopping) and by the deadline. */
  readonly stop: Stop;
  readonly clock: Clock;
};

/**
 * Calls the handler and waits for it, its deadline, and what it makes of its signal: `unsettled` once that has been aborted for
 * longer than a handler may take to settle. Never rejects.
 */
export function runAttempt({ handler, timeoutMs, stop, clock }: AttemptPlan): Promise<AttemptOutcome> {
  return new Promise((resolve) => {
    const deadline = clock.after(timeoutMs, () => {
      stop.now(new ClaimkeeperError('ATTEMPT_TIMEOUT', `the attempt took longer than its ${timeoutMs} ms`));
    });
    const settled = settle(handler, stop);
    let patience: Timer | null = null;
    const end = (outcome: AttemptOutcome): void => {
      deadline.cancel();
      patience?.cancel();
      stop.whenever(null);
      resolve(outcome);
    };
    stop.whenever(() => {
      patience = clock.after(settleMsMax, () => end({ kind: 'unsettled', late: settled }), {
        keepAlive: true,
      });
    });
    void settled.then(end);
  });
}

async function settle(handler: () => unknown, stop: Stop): Promise<AttemptOutcome> {
  try {
    return { kind: 'succeeded', value: await handler() };
  } catch (thrown) {
    return failureOf(thrown, stop.reason);
  }
}
