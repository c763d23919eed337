// deadline.ts: no request waits for ever. Owns how long an answer may take, and what is said when it is overdue.

import { ClaimkeeperError, limits } from '../domain/index.js';
import { type Runtime, within } from '../runtime/index.js';

/** An answer that is overdue: a write may have been made, a read not. */
export type Overdue = 'OUTCOME_UNKNOWN' | 'ZOOKEEPER_UNAVAILABLE' | 'REDIS_UNAVAILABLE';

/** @throws ClaimkeeperError `overdue` when `work` has not ended within `limits.requestMsMax`; it goes on, and nobody waits for it */
export async function withDeadline<T>({ clock }: Runtime, work: Promise<T>, overdue: Overdue): Promise<T> {
  const answer = await within(clock, limits.requestMsMax, work);
  if (answer !== null) return answer.value;
  throw new ClaimkeeperError(overdue, `there was no answer within ${limits.requestMsMax} ms`);
}
