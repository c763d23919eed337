// operate.ts: what an operator may do to a task: replay, cancel, resolve. Each is one move along the table; what the table
// refuses is answered with the state it found.

import { ClaimkeeperError, type RecordEvent, type TaskId, type TaskRecord } from '../domain/index.js';
import { hintAt, type LedgerContext, readHeld } from './context.js';
import type { Until } from './drive.js';
import { type MoveOutcome, move } from './move.js';
import { refuseHalted, unavailable } from './unavailable.js';

type Verb = 'replayed' | 'cancelled' | 'resolved';

/**
 * Lets a failed, cancelled or uncertain task run again. For an uncertain one this may repeat an effect: the operator decides.
 * @throws ClaimkeeperError `TASK_NOT_FOUND`, `MOVE_REFUSED`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED`
 */
export async function replay(ctx: LedgerContext, id: TaskId, until: Until): Promise<TaskRecord> {
  refuseHalted(ctx, `task ${id}`, 'replayed');
  const event: RecordEvent = { kind: 'replayed', nonce: ctx.runtime.random.nonce() };
  const record = settled(ctx, id, 'replayed', await moveSurely(ctx, id, event, until));
  hintAt(ctx, record);
  return record;
}

/**
 * Cancels a waiting task; asks a running one to stop (its handler's signal aborts, its outcome stays its own).
 * @throws ClaimkeeperError as {@link replay}
 */
export async function cancel(ctx: LedgerContext, id: TaskId, until: Until): Promise<TaskRecord> {
  refuseHalted(ctx, `task ${id}`, 'cancelled');
  const held = await readHeld(ctx, id);
  const kind = held?.record.state === 'running' ? 'cancelRequested' : 'cancelled';
  const event: RecordEvent = kind === 'cancelled' ? { kind, at: ctx.runtime.clock.now() } : { kind };
  const outcome = await moveSurely(ctx, id, event, until);
  const movedOn = outcome.kind === 'refused' && outcome.record?.state !== held?.record.state;
  if (movedOn && outcome.record !== null) return cancel(ctx, id, until);
  return settled(ctx, id, 'cancelled', outcome);
}

/**
 * Records what an operator found out about an uncertain task.
 * @throws ClaimkeeperError as {@link replay}
 */
export async function resolve(
  ctx: LedgerContext,
  id: TaskId,
  as: 'completed' | 'failed',
  note: string,
  until: Until,
): Promise<TaskRecord> {
  refuseHalted(ctx, `task ${id}`, 'resolved');
  const event: RecordEvent = { kind: 'resolved', at: ctx.runtime.clock.now(), as, note };
  return settled(ctx, id, 'resolved', await moveSurely(ctx, id, event, until));
}

/** Nothing is refused upon the word of a server that may lag behind. */
async function moveSurely(
  ctx: LedgerContext,
  id: TaskId,
  event: RecordEvent,
  until: Until,
): Promise<MoveOutcome> {
  const outcome = await move(ctx, id, event, { until });
  if (outcome.kind !== 'refused') return outcome;
  await ctx.session.sync();
  return move(ctx, id, event, { until });
}

function settled({ commits }: LedgerContext, id: TaskId, verb: Verb, outcome: MoveOutcome): TaskRecord {
  switch (outcome.kind) {
    case 'moved':
      return outcome.held.record;
    case 'refused':
      if (outcome.record === null)
        throw new ClaimkeeperError('TASK_NOT_FOUND', `no task ${id} is in the ledger`);
      throw new ClaimkeeperError(
        'MOVE_REFUSED',
        `task ${id} is ${outcome.record.state} and cannot be ${verb}`,
      );
    case 'unavailable':
      throw unavailable(`task ${id}`, verb, { halted: commits.halted, sent: outcome.sent });
  }
}
