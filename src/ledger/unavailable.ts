// unavailable.ts: what is said of a write whose outcome did not come in time, or that is not to be made: after a restore that
// nobody has confirmed.

import { ClaimkeeperError } from '../domain/index.js';
import type { LedgerContext } from './context.js';

/**
 * `what` was to be `verb`, as in "task a", "accepted". `sent`: the write may have been made. `halted`: none is made until an
 * operator has confirmed the restore.
 */
export function unavailable(
  what: string,
  verb: string,
  { halted, sent }: { readonly halted: boolean; readonly sent: boolean },
): ClaimkeeperError {
  const fate = sent ? `${what} may have been ${verb}` : `${what} was not ${verb}`;
  if (halted) {
    return new ClaimkeeperError('GENERATION_CHANGED', `${fate}: an operator must confirm the restore`);
  }
  return sent
    ? new ClaimkeeperError('OUTCOME_UNKNOWN', `${fate}: the reply was lost; look at it, and try again`)
    : new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', `${fate}: ZooKeeper did not answer in time`);
}

/** @throws ClaimkeeperError `GENERATION_CHANGED` at once, instead of when the time for the write is over */
export function refuseHalted({ commits: { halted } }: LedgerContext, what: string, verb: string): void {
  if (halted) throw unavailable(what, verb, { halted, sent: false });
}
