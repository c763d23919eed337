// ticks.ts: what a task's id says of the schedule that fired it.

import type { EpochMs, ScheduleId } from '../../src/domain/index.js';

const tickIdPattern = /^(.+)@(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/;

/** The schedule and tick that a task's id names; null when it names none. */
export function tickOf(id: string): { readonly schedule: ScheduleId; readonly tick: EpochMs } | null {
  const [, schedule, tick] = tickIdPattern.exec(id) ?? [];
  if (schedule === undefined || tick === undefined || Number.isNaN(Date.parse(tick))) return null;
  return { schedule: schedule as ScheduleId, tick: Date.parse(tick) as EpochMs };
}
