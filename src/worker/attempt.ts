// attempt.ts: one run of the handler, from the lease check to its outcome (P1). Owns the attempt's signal and deadline;
// the ledger is run.ts's.

import { ClaimkeeperError } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';
import { type AttemptOutcome, failureOf } from './outcome.js';

/** After its signal aborted, a handler has this long to settle before its outcome counts as unknown. */
export const settleMsMax = 2_000;

export type AttemptPlan = {
  readonly handler: () => unknown;
  readonly timeoutMs: number;
  /** Aborted from outside (cancelled, ownership lost, stopping) and by the deadline. */
  readonly stop: AbortController;
  readonly clock: Clock;
};

/** Calls the handler and waits for it, its deadline, and what it makes of its signal. Never rejects. */
export async function runAttempt({ handler, timeoutMs, stop, clock }: AttemptPlan): Promise<AttemptOutcome> {
  const deadline = clock.after(timeoutMs, () => {
    stop.abort(new ClaimkeeperError('ATTEMPT_TIMEOUT', `the attempt took longer than its ${timeoutMs} ms`));
  });
  const settled = settle(handler, stop.signal);
  try {
    return await Promise.race([settled, givenUp(stop.signal, clock, settled)]);
  } finally {
    deadline.cancel();
  }
}

async function settle(handler: () => unknown, signal: AbortSignal): Promise<AttemptOutcome> {
  try {
    return { kind: 'succeeded', value: await handler() };
  } catch (thrown) {
    return failureOf(thrown, signal.aborted ? signal.reason : undefined);
  }
}

/** Resolves when the signal has been aborted for longer than a handler may take to settle; else never. */
function givenUp(signal: AbortSignal, clock: Clock, late: Promise<AttemptOutcome>): Promise<AttemptOutcome> {
  return new Promise((resolve) => {
    const aborted = (): void => {
      const timer = clock.after(settleMsMax, () => resolve({ kind: 'unsettled', late }), { keepAlive: true });
      void late.then(() => timer.cancel());
    };
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
    void late.then(() => signal.removeEventListener('abort', aborted));
  });
}
