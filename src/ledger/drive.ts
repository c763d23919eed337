// drive.ts: goes on until a write's outcome is known (P3). Owns the pace of it; what to write again is its caller's.

import pRetry from 'p-retry';
import { ClaimkeeperError, retryDelayMs } from '../domain/index.js';
import { delay, type Runtime } from '../runtime/index.js';

/** How long to go on: at most `deadlineMs`, or until `signal` aborts. */
export type Until = { readonly deadlineMs: number } | { readonly signal: AbortSignal };

/** Returned by a step that is to be taken again. */
export const again = Symbol('again');

const pace = { attempts: Number.POSITIVE_INFINITY, delayMsMin: 20, delayMsMax: 1_000, factor: 2 };

/** One for all: an error of its own for each try would cost a stack that nobody reads. */
const notYet = new Error('not yet');

/** Takes `step` until it returns a value; `null` when `until` came first. ZooKeeper being away is a reason to go on. */
export async function drive<T>(
  runtime: Runtime,
  until: Until,
  step: () => Promise<T | typeof again>,
): Promise<T | null> {
  const endsAt = 'signal' in until ? Number.POSITIVE_INFINITY : runtime.clock.monotonic() + until.deadlineMs;
  // Most end with their first step: they pay for no retry.
  const first = await tried(step);
  if (first !== again) return first;
  const signal = 'signal' in until ? until.signal : undefined;
  // By one and the same number: what is left until then, once waited out, must be over.
  const leftMs = (): number => endsAt - runtime.clock.monotonic();
  const over = (): boolean => signal?.aborted === true || leftMs() <= 0;
  const pause = (failures: number): Promise<void> => {
    const delayMs = retryDelayMs(failures, pace, runtime.random.roll());
    return delay(runtime.clock, Math.max(0, Math.min(delayMs, leftMs())), signal);
  };
  await pause(1);
  if (over()) return null;
  try {
    return await pRetry(() => once(step), {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: 0, // The pause is ours, by the injected clock.
      shouldRetry: ({ error }) => error === notYet && !over(),
      onFailedAttempt: ({ error, attemptNumber }) =>
        error === notYet ? pause(attemptNumber + 1) : undefined,
    });
  } catch (error) {
    if (error === notYet) return null;
    throw error;
  }
}

async function once<T>(step: () => Promise<T | typeof again>): Promise<T> {
  const value = await tried(step);
  if (value === again) throw notYet;
  return value;
}

function tried<T>(step: () => Promise<T | typeof again>): Promise<T | typeof again> {
  return step().catch(againIfUnavailable);
}

function againIfUnavailable(error: unknown): typeof again {
  if (error instanceof ClaimkeeperError && error.code === 'ZOOKEEPER_UNAVAILABLE') return again;
  throw error;
}
