// interrupt.ts: what becomes of tasks whose claim is gone past its grace (P4). Owns the decision that a claim is gone;
// the table decides what follows from it.

import type { SessionId, WriteOp } from '../coordination/index.js';
import type { ClaimRef, Held, TaskId, TaskRecord } from '../domain/index.js';
import { claimsStanding } from './claim.js';
import { hintAt, type LedgerContext, readAllHeld } from './context.js';
import { move } from './move.js';

export type InterruptOutcome = 'interrupted' | 'delivered' | 'movedOn' | 'unavailable';

/**
 * Interrupts `id` if it still runs under `ref`. The caller has seen, in this session, that the claim no longer stands,
 * and waited the grace out; a claim never comes back, so that what it saw stays true. `guard`: the leader's term (P8). `read`:
 * the record, read since, in that session.
 */
export async function interrupt(
  ctx: LedgerContext,
  id: TaskId,
  ref: ClaimRef,
  guard: WriteOp,
  read?: { readonly held: Held; readonly readIn: SessionId | null },
): Promise<InterruptOutcome> {
  const at = ctx.runtime.clock.now();
  const until = { deadlineMs: ctx.session.timeoutMs };
  const outcome = await move(ctx, id, { kind: 'interrupted', at, claim: ref }, { until, guard, ...read });
  switch (outcome.kind) {
    case 'moved':
      hintAt(ctx, outcome.held.record, { inFront: true });
      return 'interrupted';
    case 'refused':
      // It failed and waits for its next attempt; the delivery for it may have died with its worker.
      if (outcome.record?.state !== 'waiting') return 'movedOn';
      hintAt(ctx, outcome.record, { inFront: true });
      return 'delivered';
    case 'unavailable':
      return 'unavailable';
  }
}

/**
 * Which running records no standing claim covers. They were read before, in this same session: were it the other way round,
 * a claim made in between would look gone.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
 */
export async function orphansOf(
  ctx: LedgerContext,
  records: readonly TaskRecord[],
): Promise<readonly TaskRecord[]> {
  const running = records.filter(({ state, claim }) => state === 'running' && claim !== undefined);
  const workers = [...new Set(running.flatMap(({ claim }) => claim?.worker ?? []))];
  const standing = new Set((await claimsStanding(ctx, workers)).flat().map(({ ref }) => ref.nonce));
  const suspects = running.filter(({ claim }) => claim !== undefined && !standing.has(claim.nonce));
  const now = await readAllHeld(
    ctx,
    suspects.map(({ id }) => id),
  );
  return suspects.filter(({ claim }, i) => {
    const record = now[i]?.record;
    return record?.state === 'running' && record.claim?.nonce === claim?.nonce;
  });
}
