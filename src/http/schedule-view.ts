// schedule-view.ts: a schedule as the API shows it: times for people and other languages, its task as it may be submitted.

import type { ScheduleView as Held, Json, Misfire, PolicyOverride, SkipReason } from '../domain/index.js';
import { iso, isoOrNull } from './view.js';

/** Times are ISO 8601 in UTC; null where there is none. */
export type ScheduleView = {
  readonly id: string;
  readonly cron: string;
  readonly timeZone: string;
  /** As a definition has it: what each tick submits. */
  readonly task: {
    readonly type: string;
    readonly queue: string;
    readonly payload: Json;
    readonly priority: number;
  } & PolicyOverride;
  readonly misfire: Misfire;
  readonly jitterMs: number;
  readonly startAt: string | null;
  readonly endAt: string | null;
  readonly overlap: 'allow' | 'skip';
  readonly paused: boolean;
  /** Names this state of this definition; in quotes it is the `ETag`, and what `If-Match` takes. */
  readonly revision: string;
  readonly since: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly next: string | null;
  readonly last: { readonly tick: string; readonly task: string } | null;
  readonly skipped: { readonly tick: string; readonly why: SkipReason } | null;
};

export function scheduleViewOf(held: Held): ScheduleView {
  const { task, startAt, endAt, next, last, skipped } = held;
  const { type, queue, payload, priority, policy } = task;
  return {
    id: held.id,
    cron: held.cron,
    timeZone: held.timeZone,
    task: { type, queue, payload, priority, ...policy },
    misfire: held.misfire,
    jitterMs: held.jitterMs,
    startAt: isoOrNull(startAt),
    endAt: isoOrNull(endAt),
    overlap: held.overlap,
    paused: held.paused,
    revision: held.revision,
    since: iso(held.since),
    createdAt: iso(held.createdAt),
    updatedAt: iso(held.updatedAt),
    next: isoOrNull(next),
    last: last ? { tick: iso(last.tick), task: last.task } : null,
    skipped: skipped ? { tick: iso(skipped.tick), why: skipped.why } : null,
  };
}
