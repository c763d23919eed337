// retention.ts: takes finished records out of the ledger once their dedup window is over. Owns which are due; where their
// history goes is the caller's.

import type { WriteOp } from '../coordination/index.js';
import type { EpochMs, Held, TaskRecord } from '../domain/index.js';
import type { LedgerContext } from './context.js';
import { recordPath } from './paths.js';

/** Whether a record may leave: completed, failed or cancelled for longer than the window. An uncertain one never does. */
export function isExpired(record: TaskRecord, dedupWindowMs: number, now: EpochMs): boolean {
  return record.finishedAt !== undefined && record.finishedAt + dedupWindowMs < now;
}

/** Deletes `held` where nothing has moved since; returns how many went. What a lost reply leaves open, the next pass finds. */
export async function removeExpired(
  ctx: LedgerContext,
  held: readonly Held[],
  guard: WriteOp,
): Promise<number> {
  const outcomes = await Promise.all(
    held.map(({ record, version }) =>
      ctx.commits.commit([guard, { kind: 'delete', path: recordPath(record.id), version }], {
        lane: 'write',
      }),
    ),
  );
  const removed = held.filter((_, i) => outcomes[i]?.kind === 'applied');
  ctx.note(removed.map((each) => ({ ...each, gone: true })));
  return removed.length;
}
