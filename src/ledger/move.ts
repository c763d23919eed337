// move.ts: one record along the state table, by compare-and-set (P2), to a known end (P3).

import type { OpResult, SessionId, WriteOp } from '../coordination/index.js';
import {
  encodeRecord,
  type Held,
  type RecordEvent,
  type Refusal,
  type TaskId,
  type TaskRecord,
  transition,
} from '../domain/index.js';
import { type LedgerContext, readHeld } from './context.js';
import { again, drive, type Until } from './drive.js';
import { recordPath } from './paths.js';

export type MoveOutcome =
  | { readonly kind: 'moved'; readonly held: Held }
  /** The table, or the attempt's nonce, forbids it; `record` is what stands there, null when nothing does. */
  | { readonly kind: 'refused'; readonly why: Refusal | 'gone'; readonly record: TaskRecord | null }
  /** `until` came first, or others came between. `sent`: the write may have applied. */
  | { readonly kind: 'unavailable'; readonly sent: boolean };

export type MoveOptions = {
  readonly until: Until;
  /** What was read last, in session `readIn`; read now when absent, or when the session is another by now. */
  readonly held?: Held;
  readonly readIn?: SessionId | null;
  /** By a write of this event whose reply was lost. */
  readonly sent?: Sent;
  /** The claim to delete in the same transaction, when it still exists. */
  readonly deleteClaim?: string | null;
  /** Heads the transaction: a leader's term (P8). Its refusal ends the move as `refused`, `owner`. */
  readonly guard?: WriteOp;
};

/** The bytes, and the version they were to replace. */
type Sent = { readonly data: Buffer; readonly version: number };

/**
 * Moves task `id` by `event`. Reads again after BAD_VERSION and after a lost reply; never writes blindly. A version is
 * compared only in the session in which it was read: versions begin anew when an id is submitted again after its record
 * was retired, which takes longer than a session outlives its process's silence.
 */
export async function move(
  ctx: LedgerContext,
  id: TaskId,
  event: RecordEvent,
  options: MoveOptions,
): Promise<MoveOutcome> {
  let held = options.held ?? null;
  let readIn = options.readIn ?? null;
  let known = held !== null;
  let claim = options.deleteClaim ?? null;
  let sent = options.sent ?? null;
  const outcome = await drive<MoveOutcome>(ctx.runtime, options.until, async () => {
    if (!known || readIn !== ctx.session.sessionId) {
      readIn = ctx.session.sessionId;
      held = await readHeld(ctx, id);
    }
    known = true;
    if (held === null) return { kind: 'refused', why: 'gone', record: null };
    if (sent !== null && isOurs(held, sent)) return { kind: 'moved', held };
    // Others have moved it on since. An attempt's event is told by its nonce; an order may have been one of those moves,
    // and given again it would count twice.
    if (sent !== null && held.version > sent.version && isOrder(event)) {
      return { kind: 'unavailable', sent: true };
    }
    const next = transition(held.record, event);
    if (next.kind === 'refused') return { kind: 'refused', why: next.why, record: held.record };
    const data = encodeRecord(next.record);
    const ops = operations(id, data, held.version, claim, options.guard);
    const written = await ctx.commits.commit(ops, { lane: 'write', session: readIn });
    switch (written.kind) {
      case 'applied':
        return { kind: 'moved', held: { record: next.record, version: versionOf(written.results) } };
      case 'refused':
        if (ops[written.index] === options.guard)
          return { kind: 'refused', why: 'owner', record: held.record };
        if (ops[written.index]?.kind === 'delete')
          claim = null; // The claim is gone; late evidence counts all the same (P2).
        else known = false;
        return again;
      case 'unknown':
        sent = { data, version: held.version };
        known = false;
        return again;
      case 'notSent':
        return again;
    }
  });
  if (outcome?.kind === 'moved') ctx.note([outcome.held]);
  return outcome ?? { kind: 'unavailable', sent: sent !== null };
}

function operations(
  id: TaskId,
  data: Buffer,
  version: number,
  claim: string | null,
  guard?: WriteOp,
): WriteOp[] {
  const ops: WriteOp[] = guard === undefined ? [] : [guard];
  ops.push({ kind: 'set', path: recordPath(id), data, version });
  if (claim !== null) ops.push({ kind: 'delete', path: claim, version: null });
  return ops;
}

/** Whether what stands there is what we sent: the bytes carry nonces and times, the version is the one after ours. */
function isOurs(held: Held, sent: Sent): boolean {
  return held.version === sent.version + 1 && encodeRecord(held.record).equals(sent.data);
}

/** An operator's, which names no attempt. */
function isOrder({ kind }: RecordEvent): boolean {
  return ['replayed', 'resolved', 'cancelled', 'cancelRequested'].includes(kind);
}

function versionOf(results: readonly OpResult[]): number {
  const set = results.find((result) => result.kind === 'set');
  if (set === undefined) throw new Error('a multi with a setData answered without its version');
  return set.version;
}
