// firing.ts: makes the tasks of ticks that are due. Owns when it looks, and what follows from a firing's outcome; which ticks
// fire is due.ts, the transaction is shot.ts, what is known of the schedules is timetable.ts.
//
// 1. A tick's task and the cursor's move past the tick are one transaction: no tick fires twice, however its record leaves
//    the ledger later, and none is passed over by a crash.
// 2. The task's id is the tick's (P8): a task that is there already is the tick's, and only the cursor moves.
// 3. The term's check refuses a leader that no longer leads; the definition's, one whom a change has not reached.
// 4. After a lost reply the cursor is read back (P3). Until then the schedule fires nothing more.

import type { Leadership, WriteOp, WriteOutcome } from '../coordination/index.js';
import { type EpochMs, hintOf, type ScheduleId, taskOfTick } from '../domain/index.js';
import { cursorPath, type LedgerContext, readHeld, recordPath, schedulePath } from '../ledger/index.js';
import type { Timer } from '../runtime/index.js';
import { type Decision, dueTicks, withoutOverlap } from './due.js';
import { type Shot, shotOf } from './shot.js';
import { type Entry, Timetable } from './timetable.js';

/** The wall clock may jump: it is looked at again after this long at the latest. */
const lookAgainMs = 1_000;
/** After an outcome that calls for another try. */
const tryAgainMs = 50;
/** Beside the time in which a lost leader is noticed: for an election, and the reading of the schedules. */
const takeOverMs = 5_000;
/** Schedules fired at once: bounds what waits in memory when many are due together. */
const shotsAtOnce = 250;

export class Firing {
  readonly #ctx: LedgerContext;
  readonly #timetable: Timetable;
  /** Transactions that were not answered, and may have applied. */
  readonly #doubts = new Map<ScheduleId, Shot>();
  /** Whether the term has begun with what the one before it left. */
  #taken = false;
  #stirred = false;
  #wake: () => void = () => undefined;

  constructor(ctx: LedgerContext) {
    this.#ctx = ctx;
    this.#timetable = new Timetable(ctx, () => this.#stir());
  }

  /** Fires what is due until the leadership's signal aborts. */
  async run(leadership: Leadership): Promise<void> {
    const { signal } = leadership;
    const stop = (): void => this.#stir();
    signal.addEventListener('abort', stop, { once: true });
    this.#timetable.reset();
    this.#taken = false;
    // What an earlier term of ours left open can no longer apply: hints at tasks that were not made are dropped (P6).
    for (const [id, shot] of this.#doubts) this.#hint(id, shot);
    while (!signal.aborted) {
      this.#stirred = false;
      await this.#rest(await this.#look(leadership));
    }
    signal.removeEventListener('abort', stop);
  }

  /** Fires what is due; says when to look again, in ms. */
  async #look(leadership: Leadership): Promise<number> {
    const { clock, log } = this.#ctx.runtime;
    try {
      await this.#timetable.refresh(clock.now());
    } catch (error) {
      if (!leadership.signal.aborted) log.warn({ err: error }, 'schedules could not be read; trying again');
      return lookAgainMs;
    }
    this.#settleDoubts();
    const now = clock.now();
    if (!this.#taken) this.#takeOver(now);
    const due = [...this.#timetable.entries()].filter(({ next }) => next !== null && next <= now);
    for (let from = 0; from < due.length && !leadership.signal.aborted; from += shotsAtOnce) {
      await Promise.all(due.slice(from, from + shotsAtOnce).map((entry) => this.#fire(entry, leadership)));
    }
    return this.#restMs(clock.now());
  }

  /** A schedule that cannot fire must not keep the others from it. */
  async #fire(entry: Entry, leadership: Leadership): Promise<void> {
    const { clock, log } = this.#ctx.runtime;
    try {
      await this.#fireDue(entry, leadership);
    } catch (error) {
      entry.next = (clock.now() + lookAgainMs) as EpochMs;
      const { id } = entry.held.schedule;
      if (!leadership.signal.aborted)
        log.warn({ err: error, schedule: id }, 'a schedule could not fire; trying again');
    }
  }

  async #fireDue(entry: Entry, leadership: Leadership): Promise<void> {
    const { runtime, commits } = this.#ctx;
    const { cursor, held, present } = entry;
    if (cursor === null) return;
    const due = dueTicks(held.schedule, cursor.cursor.through, runtime.clock.now());
    const { decision, guards } = await this.#withOverlap(entry, due);
    if (decision.fire.length + decision.skipped.length === 0) {
      entry.next = decision.next;
      return;
    }
    const shot = shotOf({
      held,
      cursor,
      decision,
      guards: [leadership.guard(), ...guards],
      present,
      nonce: () => runtime.random.nonce(),
      now: runtime.clock.now(),
    });
    const { session } = this.#timetable;
    this.#conclude(entry, shot, decision, await commits.commit(shot.ops, { lane: 'write', session }));
  }

  /** With `overlap: 'skip'`: whether the last tick's task is over, and the check that it stays so until the next is made. */
  async #withOverlap(
    { held, cursor }: Entry,
    due: Decision,
  ): Promise<{ readonly decision: Decision; readonly guards: readonly WriteOp[] }> {
    if (held.schedule.overlap === 'allow' || due.fire.length === 0) return { decision: due, guards: [] };
    const last = cursor?.cursor.last;
    const task = last === undefined ? null : await readHeld(this.#ctx, last.task);
    if (task === null) return { decision: withoutOverlap(due, true), guards: [] }; // None yet, or retired.
    const { id, finishedAt } = task.record;
    const check: WriteOp = { kind: 'check', path: recordPath(id), version: task.version };
    return { decision: withoutOverlap(due, finishedAt !== undefined), guards: [check] };
  }

  #conclude(entry: Entry, shot: Shot, decision: Decision, outcome: WriteOutcome): void {
    const { id } = entry.held.schedule;
    switch (outcome.kind) {
      case 'applied':
        entry.cursor = { cursor: shot.cursor, version: (entry.cursor?.version ?? 0) + 1 };
        entry.next = shot.complete ? decision.next : this.#ctx.runtime.clock.now();
        entry.present.clear();
        this.#tellSkipped(entry, decision);
        this.#note(shot);
        return this.#hint(id, shot);
      case 'refused':
        return this.#refused(entry, shot, outcome.index);
      case 'unknown':
        this.#doubts.set(id, shot);
        entry.cursor = null;
        return;
      case 'notSent':
        entry.next = (this.#ctx.runtime.clock.now() + tryAgainMs) as EpochMs;
    }
  }

  /** What was counted on is not so. That another leads (the first check) is for the election to tell. */
  #refused(entry: Entry, shot: Shot, index: number): void {
    const { clock, log } = this.#ctx.runtime;
    const { schedule } = entry.held;
    const record = shot.creates.get(index);
    const path = shot.ops[index]?.path;
    entry.next = (clock.now() + tryAgainMs) as EpochMs;
    if (record !== undefined) {
      entry.next = clock.now();
      entry.present.add(record.id);
      log.warn({ schedule: schedule.id, task: record.id }, "a tick's task was there already");
    } else if (index === 0) entry.next = (clock.now() + lookAgainMs) as EpochMs;
    else if (path === schedulePath(schedule.id)) this.#timetable.doubt(entry);
    else if (path === cursorPath(schedule)) entry.cursor = null;
  }

  /** Cursors that were read again tell what became of the transactions that were not answered. */
  #settleDoubts(): void {
    if (this.#doubts.size === 0) return;
    for (const { held, cursor } of this.#timetable.entries()) {
      const shot = this.#doubts.get(held.schedule.id);
      if (shot === undefined || cursor === null) continue;
      if (cursor.cursor.through === shot.cursor.through) {
        this.#note(shot);
        this.#hint(held.schedule.id, shot);
      }
      this.#doubts.delete(held.schedule.id);
    }
  }

  /**
   * A leader may have died between a firing and its hints. What was fired last, not long ago, is hinted at again: a task that
   * waits for its hour is not to wait for the slow pass over the ledger, too.
   */
  #takeOver(now: EpochMs): void {
    this.#taken = true;
    const since = now - 2 * this.#ctx.session.timeoutMs - takeOverMs;
    const hints = [...this.#timetable.entries()].flatMap(({ held: { schedule }, cursor }) => {
      const tick = cursor?.cursor.last?.tick ?? 0;
      if (tick < since || tick < schedule.updatedAt) return [];
      const { id, queue, priority, notBefore } = taskOfTick(schedule, tick as EpochMs);
      return [{ id, queue, priority, notBefore }];
    });
    if (hints.length > 0) this.#ctx.deliver(hints);
  }

  #hint(id: ScheduleId, shot: Shot): void {
    this.#doubts.delete(id);
    if (shot.creates.size > 0) this.#ctx.deliver([...shot.creates.values()].map(hintOf));
  }

  /** Only of what has certainly been made: a view must not show a task that is not there. */
  #note(shot: Shot): void {
    this.#ctx.note([...shot.creates.values()].map((record) => ({ record, version: 0 })));
  }

  /** The first of a run: a schedule that overlaps itself may do so at every tick. */
  #tellSkipped(entry: Entry, { skipped, more }: Decision): void {
    const why = skipped.at(-1)?.why ?? null;
    const { id } = entry.held.schedule;
    if (why !== null && why !== entry.told) {
      this.#ctx.runtime.log.warn(
        { schedule: id, ticks: skipped.length, more, why },
        'ticks of a schedule were skipped',
      );
    }
    entry.told = why;
  }

  /** Until the next tick; not for longer than the wall clock can be trusted. None: until something stirs. */
  #restMs(now: EpochMs): number {
    let next = this.#timetable.settled ? Number.POSITIVE_INFINITY : now + tryAgainMs;
    for (const entry of this.#timetable.entries()) {
      next = Math.min(next, now + lookAgainMs);
      if (entry.cursor === null) next = Math.min(next, now + tryAgainMs);
      else if (entry.next !== null) next = Math.min(next, entry.next);
    }
    return Math.max(1, next - now);
  }

  #stir(): void {
    this.#stirred = true;
    this.#wake();
  }

  async #rest(ms: number): Promise<void> {
    if (this.#stirred) return;
    let timer: Timer | null = null;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (Number.isFinite(ms)) timer = this.#ctx.runtime.clock.after(ms, resolve, { keepAlive: true });
    });
    (timer as Timer | null)?.cancel();
  }
}
