// shot.ts: the transaction of a firing, as a pure function of what was decided. Sending it, and what follows from its
// outcome, is firing.ts.
//
//   multi[ check /leader/term, (check the last task @v,) check the definition @v, set the cursor @v, create each tick's task ]

import type { WriteOp } from '../coordination/index.js';
import {
  type Cursor,
  type EpochMs,
  encodeCursor,
  encodeRecord,
  limits,
  type Nonce,
  newRecord,
  type Schedule,
  type TaskId,
  type TaskRecord,
  taskOfTick,
  tickId,
} from '../domain/index.js';
import { cursorPath, type HeldCursor, type HeldSchedule, recordPath, schedulePath } from '../ledger/index.js';
import type { Decision } from './due.js';

export type Shot = {
  readonly ops: readonly WriteOp[];
  /** By the index of the operation that makes it. */
  readonly creates: ReadonlyMap<number, TaskRecord>;
  /** As it stands once this has applied. */
  readonly cursor: Cursor;
  /** Whether the decision is carried out with it; else the rest is decided anew. */
  readonly complete: boolean;
};

export type Aim = {
  readonly held: HeldSchedule;
  readonly cursor: HeldCursor;
  readonly decision: Decision;
  /** The leader's term, and what else must hold. */
  readonly guards: readonly WriteOp[];
  /** Ticks whose task is there already: the cursor moves past them, and nothing is made. */
  readonly present: ReadonlySet<TaskId>;
  readonly nonce: () => Nonce;
  readonly now: EpochMs;
};

const tasksPerShot = 50;
/** Leaves room in a multi for all that is no task. */
const taskBytesPerShot = limits.multiBytesMax - 32 * 1024;

/** As many of the decision's ticks, from the first on, as one transaction carries. */
export function shotOf({ held, cursor, decision, guards, present, nonce, now }: Aim): Shot {
  const { schedule, version } = held;
  const fired = carried(decision.fire, (tick) => newRecord(taskOfTick(schedule, tick), nonce(), now));
  const complete = fired.length === decision.fire.length;
  const moved = movedTo(cursor.cursor, schedule, decision, complete, fired.at(-1)?.tick);
  const before: WriteOp[] = [
    ...guards,
    { kind: 'check', path: schedulePath(schedule.id), version },
    { kind: 'set', path: cursorPath(schedule), data: encodeCursor(moved), version: cursor.version },
  ];
  const made = fired.filter(({ record }) => !present.has(record.id));
  const creates = made.map(
    ({ record, data }): WriteOp => ({
      kind: 'create',
      path: recordPath(record.id),
      data,
      mode: 'persistent',
    }),
  );
  return {
    ops: [...before, ...creates],
    creates: new Map(made.map(({ record }, i) => [before.length + i, record])),
    cursor: moved,
    complete,
  };
}

type Fired = { readonly tick: EpochMs; readonly record: TaskRecord; readonly data: Buffer };

function carried(ticks: readonly EpochMs[], recordOf: (tick: EpochMs) => TaskRecord): Fired[] {
  const fired: Fired[] = [];
  let bytes = 0;
  for (const tick of ticks.slice(0, tasksPerShot)) {
    const record = recordOf(tick);
    const data = encodeRecord(record);
    bytes += data.length;
    if (fired.length > 0 && bytes > taskBytesPerShot) break;
    fired.push({ tick, record, data });
  }
  return fired;
}

/** Past what fires now, and what was skipped before it; with the whole decision, past all of it. */
function movedTo(
  from: Cursor,
  { id }: Schedule,
  { skipped }: Decision,
  complete: boolean,
  lastTick: EpochMs | undefined,
): Cursor {
  const passed = skipped.filter(({ tick }) => complete || tick < (lastTick ?? 0)).at(-1);
  const last = lastTick === undefined ? from.last : { tick: lastTick, task: tickId(id, lastTick) };
  const lastSkipped = passed ?? from.skipped;
  return {
    through: Math.max(from.through, lastTick ?? 0, passed?.tick ?? 0) as EpochMs,
    ...(last === undefined ? {} : { last }),
    ...(lastSkipped === undefined ? {} : { skipped: lastSkipped }),
  };
}
