// schedule-view.ts: a schedule as those who ask for it are told: its definition and how far it has fired.

import type { EpochMs } from './brand.js';
import type { Cursor, ScheduleContent } from './schedule.js';

/** A schedule and how far it has fired. Times are in ms since 1970. */
export type ScheduleView = Omit<ScheduleContent, 'task'> & {
  readonly task: Omit<ScheduleContent['task'], 'hash'>;
  readonly paused: boolean;
  /** Names this state of this definition; another after every change. */
  readonly revision: string;
  /** No tick up to then fires: when it was created or resumed, or its times were changed. */
  readonly since: EpochMs;
  readonly createdAt: EpochMs;
  readonly updatedAt: EpochMs;
  /** The first tick that is not decided; null: there is none any more, or it is paused. */
  readonly next: EpochMs | null;
  /** The last tick that fired, and its task. */
  readonly last: Cursor['last'] | null;
  /** The last tick that did not, and why: `late` by the misfire policy, `overlap` with the one before. */
  readonly skipped: Cursor['skipped'] | null;
};

export type CreatedSchedule = {
  /** False: the same schedule was already there. */
  readonly created: boolean;
  readonly schedule: ScheduleView;
};

/**
 * Which part of a list to give: by id, at most `limit`, those after `after` whose tasks go to any of `queues` (a `*` at the end
 * of a name stands for any rest). Default: all.
 */
export type SchedulePage = {
  readonly after?: string;
  readonly limit?: number;
  readonly queues?: readonly string[];
};
