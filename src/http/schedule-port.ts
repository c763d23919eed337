// schedule-port.ts: what the API asks of schedules. The library's `keeper.schedules` fits; the tests' twin is theirs.

import type { CreatedSchedule, EpochMs, SchedulePage, ScheduleView, State, TaskId } from '../domain/index.js';

/** Which ticks to show: so many, later than `from` (ms since 1970). */
export type TicksAsked = { readonly count?: number; readonly from?: number };

/** Inputs as they came: the service validates them. */
export interface ScheduleService {
  /** @throws ClaimkeeperError `SCHEDULE_INVALID`, `NAME_INVALID`, `PAYLOAD_TOO_LARGE`, `SCHEDULE_CONFLICT`, `SCHEDULE_LIMIT` */
  create(input: unknown): Promise<CreatedSchedule>;
  get(id: string): Promise<ScheduleView | null>;
  list(page: SchedulePage): Promise<readonly ScheduleView[]>;
  /** @throws ClaimkeeperError as {@link create}, `SCHEDULE_NOT_FOUND`, `SCHEDULE_CHANGED` */
  update(input: unknown, options: { readonly revision?: string }): Promise<ScheduleView>;
  pause(id: string): Promise<ScheduleView>;
  resume(id: string): Promise<ScheduleView>;
  /** @throws ClaimkeeperError `SCHEDULE_NOT_FOUND`, `SCHEDULE_CHANGED` */
  remove(id: string, options: { readonly revision?: string }): Promise<void>;
  runNow(id: string, options: { readonly key?: string }): Promise<RunOutcome>;
  next(id: string, asked: TicksAsked): Promise<readonly EpochMs[]>;
  preview(input: unknown, asked: TicksAsked): readonly EpochMs[];
}

export type RunOutcome = {
  readonly id: TaskId;
  /** False: the task of that key was already there. */
  readonly created: boolean;
  readonly state: State;
  readonly dedupUntil: EpochMs;
};
