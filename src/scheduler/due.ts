// due.ts: which ticks of a schedule fire now. A pure decision over the definition, how far it has fired, and the leader's
// wall clock, which says what is due and nothing else (P12): ticks are the schedule's own, and what is decided stays so.
//
//   through               now − afterMs              now
//      │   late: by the misfire policy   │  on time: fire  │  not due yet
//
// A clock that goes back finds nothing due until it is past `through` again. One that goes forward finds ticks late.

import { type EpochMs, nextTicks, type Schedule, type SkipReason, ticksOf } from '../domain/index.js';

export type Skipped = { readonly tick: EpochMs; readonly why: SkipReason };

export type Decision = {
  /** Oldest first. */
  readonly fire: readonly EpochMs[];
  /** Those that were looked at, oldest first; `more`: there are older ones. */
  readonly skipped: readonly Skipped[];
  readonly more: boolean;
  /** The first tick later than all of these; null: there is none, or it is paused. */
  readonly next: EpochMs | null;
};

/** `through`: every tick up to there is decided. */
export function dueTicks(schedule: Schedule, through: EpochMs, now: EpochMs): Decision {
  const from = Math.max(through, schedule.since, (schedule.startAt ?? 0) - 1) as EpochMs;
  if (schedule.paused) return { fire: [], skipped: [], more: false, next: null };
  const [first = null, second = null] = nextTicks(schedule, from, 2);
  if (first === null || first > now) return { fire: [], skipped: [], more: false, next: first };
  const few = second === null || second > now;
  const { ticks, more } = few ? { ticks: [first], more: false } : newestDue(schedule, from, now);
  const last = ticks.at(-1) ?? first;
  const next = few ? second : (nextTicks(schedule, last, 1)[0] ?? null);
  return { ...judged(schedule, ticks, now), more, next };
}

/** With `overlap: 'skip'`: the first fires if the last one's task is over, and the others overlap with it. */
export function withoutOverlap(decision: Decision, lastIsOver: boolean): Decision {
  const fire = lastIsOver ? decision.fire.slice(0, 1) : [];
  const overlapping = decision.fire.slice(fire.length).map((tick) => ({ tick, why: 'overlap' }) as const);
  return { ...decision, fire, skipped: [...decision.skipped, ...overlapping] };
}

/** The newest ticks later than `from` and up to `now`, at most `ticksMax`, oldest first. */
function newestDue(
  schedule: Schedule,
  from: EpochMs,
  now: EpochMs,
): { readonly ticks: readonly EpochMs[]; readonly more: boolean } {
  const { ticksMax } = schedule.misfire;
  const until = Math.min(now, (schedule.endAt ?? Number.POSITIVE_INFINITY) - 1) as EpochMs;
  const newest = ticksOf(schedule).upTo(until, ticksMax + 1);
  const due = newest.filter((tick) => tick > from);
  return { ticks: due.slice(0, ticksMax).reverse(), more: due.length > ticksMax };
}

function judged(
  { misfire }: Schedule,
  ticks: readonly EpochMs[],
  now: EpochMs,
): { readonly fire: readonly EpochMs[]; readonly skipped: readonly Skipped[] } {
  const late = ticks.filter((tick) => now - tick > misfire.afterMs);
  const young = late.filter((tick) => now - tick <= misfire.ageMsMax);
  const firing = { skip: [], once: young.slice(-1), all: young }[misfire.policy];
  const fire = [...firing, ...ticks.slice(late.length)];
  const fires = new Set(fire);
  return {
    fire,
    skipped: ticks.filter((tick) => !fires.has(tick)).map((tick) => ({ tick, why: 'late' })),
  };
}
