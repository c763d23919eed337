// schedule.ts: what fires tasks by the calendar. Owns a schedule's definition, its validation and encoding, and what a tick
// of it is: a task with an id, a due time and a content that depend on the definition and the tick alone, so that whoever
// fires it makes the same task (P8). Which moments are ticks is cron.ts; which of them fire is the scheduler's due.ts.

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { EpochMs } from './brand.js';
import { Ticks } from './cron.js';
import { ClaimkeeperError } from './errors.js';
import { type Nonce, parseScheduleId, parseTaskId, type ScheduleId, shown, type TaskId } from './ids.js';
import { limits } from './limits.js';
import { hintOn } from './options.js';
import { parseSubmission, type Submission, type SubmissionInput, timeSchema } from './task.js';

export const scheduleFormat = 1;

/** What becomes of ticks that no leader fired in time. */
export type Misfire = {
  /** `skip`: they do not fire. `once`: the newest of them fires. `all`: they fire, oldest first. Default `once`. */
  readonly policy: 'skip' | 'once' | 'all';
  /** Up to this age, in ms, a tick counts as on time and fires whatever the policy: 1 000 – 3 600 000, default 60 000. */
  readonly afterMs: number;
  /** Of all that are due at one look, only the newest this many fire: 1 – 1 000, default 100. */
  readonly ticksMax: number;
  /** None older than this fires, in ms: up to one year, default one day; at least `afterMs`. */
  readonly ageMsMax: number;
};

export const defaultMisfire: Misfire = {
  policy: 'once',
  afterMs: 60_000,
  ticksMax: 100,
  ageMsMax: 24 * 3_600_000,
};

/** What `schedules.create` takes. */
export type ScheduleInput = {
  /** 1–100 characters of a task id's alphabet. A tick's task id is `<id>@<tick>`, as in `report@2026-01-02T03:04:00Z`. */
  readonly id: string;
  /** Five fields (minute, hour, day of month, month, day of week), or six with the second first. */
  readonly cron: string;
  /** IANA name; default `UTC`. */
  readonly timeZone?: string;
  /** As a submission, without id and due time. */
  readonly task: Omit<SubmissionInput, 'id' | 'delayMs' | 'runAt'>;
  readonly misfire?: { readonly [Key in keyof Misfire]?: Misfire[Key] | undefined };
  /** A tick's task is due up to this many ms after the tick, always the same for the same tick: 0 (default) – one day. */
  readonly jitterMs?: number;
  /** No tick before it: a Date, an ISO 8601 string with an offset, or ms since 1970. */
  readonly startAt?: Date | string | number;
  /** No tick at or after it. */
  readonly endAt?: Date | string | number;
  /** `skip`: a tick does not fire while the task of the last one that did is not over. Default `allow`. */
  readonly overlap?: 'allow' | 'skip';
  /** Default false; an update without it leaves this as it is. */
  readonly paused?: boolean;
};

/** A definition that passed validation: what a user says of a schedule. */
export type ScheduleContent = {
  readonly id: ScheduleId;
  readonly cron: string;
  readonly timeZone: string;
  /** `hash` is the content's, see task.ts. */
  readonly task: Omit<Submission, 'id' | 'notBefore'>;
  readonly misfire: Misfire;
  readonly jitterMs: number;
  readonly startAt?: EpochMs;
  readonly endAt?: EpochMs;
  readonly overlap: 'allow' | 'skip';
};

/** The definition as it is stored. */
export type Schedule = ScheduleContent & {
  readonly v: typeof scheduleFormat;
  readonly paused: boolean;
  /** New with every creation: tells a schedule from an earlier one of the same id. */
  readonly key: Nonce;
  /** Of the last write: tells it from another's after a lost reply (P3). */
  readonly nonce: Nonce;
  /** No tick up to here fires: when it was created, resumed, or given other times. */
  readonly since: EpochMs;
  readonly createdAt: EpochMs;
  readonly updatedAt: EpochMs;
};

/** How far a schedule has fired; kept apart from the definition, so that either changes without the other. */
export type Cursor = {
  /** Every tick up to here is decided: fired, or skipped for good. Never goes back. */
  readonly through: EpochMs;
  /** The last tick that fired. */
  readonly last?: { readonly tick: EpochMs; readonly task: TaskId };
  /** The last tick that did not. */
  readonly skipped?: { readonly tick: EpochMs; readonly why: SkipReason };
};

/** `late`: by the misfire policy. `overlap`: the last tick's task was not over. */
export type SkipReason = 'late' | 'overlap';

/** What an input is held to first; `unknown` is looked at by a parser of its own. */
export const scheduleSchema = z.strictObject({
  id: z.unknown(),
  cron: z.string(),
  timeZone: z.string().max(100).default('UTC'),
  task: z.strictObject({
    type: z.unknown(),
    queue: z.unknown().optional(),
    payload: z.unknown().optional(),
    priority: z.unknown().optional(),
    retry: z.unknown().optional(),
    timeoutMs: z.unknown().optional(),
    onInterrupted: z.unknown().optional(),
  }),
  misfire: z
    .strictObject({
      policy: z.enum(['skip', 'once', 'all']).optional(),
      afterMs: z.int().min(1_000).max(limits.misfireAfterMsMax).optional(),
      ticksMax: z.int().min(1).max(limits.ticksMax).optional(),
      ageMsMax: z.int().min(1_000).max(limits.misfireAgeMsMax).optional(),
    })
    .optional(),
  jitterMs: z.int().min(0).max(limits.jitterMsMax).default(0),
  startAt: timeSchema.optional(),
  endAt: timeSchema.optional(),
  overlap: z.enum(['allow', 'skip']).default('allow'),
  paused: z.boolean().optional(),
});

/**
 * A user's input as a definition, or the error that names the field at fault.
 * @throws ClaimkeeperError `SCHEDULE_INVALID`, `NAME_INVALID`, `PAYLOAD_TOO_LARGE`
 */
export function parseSchedule(input: unknown): {
  readonly content: ScheduleContent;
  readonly paused: boolean | undefined;
} {
  const parsed = scheduleSchema.safeParse(input);
  if (!parsed.success) throw ofIssue(parsed.error.issues[0]);
  const { id, cron, timeZone, task, misfire, startAt, endAt, paused, ...rest } = parsed.data;
  const content: ScheduleContent = {
    id: parseScheduleId(id),
    cron: cron.trim(),
    timeZone,
    task: parseTask(task),
    misfire: { ...defaultMisfire, ...defined(misfire ?? {}) },
    ...(startAt === undefined ? {} : { startAt: momentOf(startAt) }),
    ...(endAt === undefined ? {} : { endAt: momentOf(endAt) }),
    ...rest,
  };
  assertConsistent(content);
  return { content, paused };
}

/** Whether two definitions say the same; whether they are paused is no part of it. */
export function sameContent(a: ScheduleContent, b: ScheduleContent): boolean {
  return a.id === b.id && a.task.hash === b.task.hash && firesAlike(a, b) && rulesOf(a) === rulesOf(b);
}

/** Whether the ticks of both are the same. */
export function firesAlike(a: ScheduleContent, b: ScheduleContent): boolean {
  return timesOf(a) === timesOf(b);
}

/**
 * Up to `count` ticks later than `from`, within the schedule's start and end, whether it is paused or not.
 * @throws ClaimkeeperError `SCHEDULE_INVALID` for a `count` out of 1 – 1 000
 */
export function nextTicks(schedule: ScheduleContent, from: EpochMs, count: number): EpochMs[] {
  if (!Number.isInteger(count) || count < 1 || count > limits.ticksMax) {
    throw invalid('count', `${shown(count)} is not within 1 – ${limits.ticksMax}`);
  }
  const ticks = ticksOf(schedule);
  const found: EpochMs[] = [];
  let at: EpochMs | null = Math.max(from, (schedule.startAt ?? 0) - 1) as EpochMs;
  while (found.length < count) {
    at = ticks.after(at);
    if (at === null || at >= (schedule.endAt ?? Number.POSITIVE_INFINITY)) break;
    found.push(at);
  }
  return found;
}

const known = new WeakMap<ScheduleContent, Ticks>();

/** @throws ClaimkeeperError `SCHEDULE_INVALID` */
export function ticksOf(schedule: ScheduleContent): Ticks {
  const ticks = known.get(schedule) ?? new Ticks(schedule.cron, schedule.timeZone);
  known.set(schedule, ticks);
  return ticks;
}

/** The task that a tick is. */
export function taskOfTick(schedule: ScheduleContent, tick: EpochMs): Submission {
  const id = tickId(schedule.id, tick);
  const notBefore = schedule.jitterMs === 0 ? null : ((tick + jitterOf(id, schedule.jitterMs)) as EpochMs);
  return { ...schedule.task, id, notBefore };
}

/** `<schedule>@<tick, ISO 8601 in UTC, to the second>` (P8). */
export function tickId(id: ScheduleId, tick: EpochMs): TaskId {
  return `${id}@${new Date(tick).toISOString().slice(0, 19)}Z` as TaskId;
}

/**
 * The id of a run that an operator asks for, apart from all ticks. `key`: the asker's, the same for the same run.
 * @throws ClaimkeeperError `SCHEDULE_INVALID` naming `key`
 */
export function runId(id: ScheduleId, key: string): TaskId {
  if (key.length >= 1 && key.length <= limits.runKeyCharsMax && /^[A-Za-z0-9._~-]+$/.test(key)) {
    return parseTaskId(`${id}@run-${key}`);
  }
  throw invalid(
    'key',
    `${shown(key)} is not valid: use 1–${limits.runKeyCharsMax} characters of A-Z a-z 0-9 . _ ~ -`,
  );
}

export function encodeSchedule(schedule: Schedule): Buffer {
  return Buffer.from(JSON.stringify(schedule));
}

/** @throws ClaimkeeperError `SCHEDULE_UNREADABLE` for another format, or what is no schedule here */
export function decodeSchedule(data: Buffer, path: string): Schedule {
  const schedule = parseJson(data) as Partial<Schedule> | null;
  if (schedule?.v !== scheduleFormat || typeof schedule.key !== 'string') {
    throw unreadable(path, `no schedule of format ${scheduleFormat}`);
  }
  return schedule as Schedule;
}

export function encodeCursor(cursor: Cursor): Buffer {
  return Buffer.from(JSON.stringify(cursor));
}

/** @throws ClaimkeeperError `SCHEDULE_UNREADABLE` */
export function decodeCursor(data: Buffer, path: string): Cursor {
  const cursor = parseJson(data) as Partial<Cursor> | null;
  if (typeof cursor?.through !== 'number') throw unreadable(path, "no schedule's cursor");
  return cursor as Cursor;
}

/** In [0, jitterMs], spread evenly by the hash of the tick's id: no clock and no chance, so that all agree. */
function jitterOf(id: TaskId, jitterMs: number): number {
  const share = createHash('sha256').update(`jitter ${id}`).digest().readUInt32BE(0) / 2 ** 32;
  return Math.floor(share * (jitterMs + 1));
}

function parseTask(task: object): ScheduleContent['task'] {
  try {
    const { id: _, notBefore: __, ...template } = parseSubmission({ ...task, id: 'tick' }, 0 as EpochMs);
    return template;
  } catch (error) {
    if (!(error instanceof ClaimkeeperError)) throw error;
    const code = error.code === 'SUBMISSION_INVALID' ? 'SCHEDULE_INVALID' : error.code;
    const field = error.field === undefined ? 'task' : `task.${error.field}`;
    throw new ClaimkeeperError(code, `task: ${error.message}`, { field });
  }
}

/** Judged by the definition alone, not by the time of day: what was accepted once is not refused when it is repeated. */
function assertConsistent(content: ScheduleContent): void {
  const { startAt, endAt, misfire, cron, timeZone } = content;
  if (startAt !== undefined && endAt !== undefined && endAt <= startAt) {
    throw invalid('endAt', `${iso(endAt)} is not after startAt, ${iso(startAt)}`);
  }
  if (misfire.ageMsMax < misfire.afterMs) {
    throw invalid('misfire.ageMsMax', `${misfire.ageMsMax} is less than afterMs, ${misfire.afterMs}`);
  }
  if (nextTicks(content, 0 as EpochMs, 1).length === 1) return;
  const within = startAt === undefined && endAt === undefined ? '' : ' between startAt and endAt';
  throw invalid('cron', `${shown(cron)} never fires in ${timeZone}${within}: no such moment exists`);
}

function ofIssue(issue: z.core.$ZodIssue | undefined): ClaimkeeperError {
  if (issue === undefined) return invalid('schedule', 'is not valid');
  if (issue.code !== 'unrecognized_keys')
    return invalid(issue.path.map(String).join('.') || 'schedule', issue.message);
  const field = [...issue.path, issue.keys[0] ?? ''].map(String).join('.');
  const own = ['task.id', 'task.delayMs', 'task.runAt'].includes(field);
  const why = own
    ? 'a schedule names its tasks and says when they are due: leave it out'
    : `there is no such field${hintOn(scheduleSchema, issue)}`;
  return invalid(field, why);
}

function timesOf({ cron, timeZone, startAt, endAt }: ScheduleContent): string {
  return JSON.stringify([cron, timeZone, startAt ?? null, endAt ?? null]);
}

function rulesOf({ misfire, jitterMs, overlap }: ScheduleContent): string {
  const { policy, afterMs, ticksMax, ageMsMax } = misfire;
  return JSON.stringify([policy, afterMs, ticksMax, ageMsMax, jitterMs, overlap]);
}

function momentOf(time: Date | string | number): EpochMs {
  return new Date(time).getTime() as EpochMs;
}

function iso(time: EpochMs): string {
  return new Date(time).toISOString();
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Defined<T>;
}

function invalid(field: string, why: string): ClaimkeeperError {
  const name = field.length > 200 ? `${field.slice(0, 199)}…` : field;
  return new ClaimkeeperError('SCHEDULE_INVALID', `${name}: ${why}`, { field: name });
}

function unreadable(path: string, what: string): ClaimkeeperError {
  return new ClaimkeeperError(
    'SCHEDULE_UNREADABLE',
    `${path} holds ${what}: upgrade this process, or look at the znode`,
  );
}

function parseJson(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString());
  } catch {
    return null;
  }
}
