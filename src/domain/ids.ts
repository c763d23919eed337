// ids.ts: the names of things, and what makes them well formed. Owns the alphabet of task ids (the design's
// "Znode tree"); nothing that is not a valid id reaches ZooKeeper.

import { hash } from 'node:crypto';
import type { Brand } from './brand.js';
import { ClaimkeeperError } from './errors.js';
import { limits } from './limits.js';

/** A task's idempotency key: 1–128 characters of `A-Z a-z 0-9 . _ : @ ~ -`, not starting with a dot. */
export type TaskId = Brand<string, 'TaskId'>;
/** A schedule's name: as a task id, up to 100 characters, so that its ticks' task ids have room for the tick. */
export type ScheduleId = Brand<string, 'ScheduleId'>;
/** One process's name in the fleet; new with every process, so that no claim path is ever used twice. */
export type WorkerId = Brand<string, 'WorkerId'>;
/** 16 random bytes as 22 base64url characters: tells a write of ours from another's after a lost reply (P3). */
export type Nonce = Brand<string, 'Nonce'>;
/** Name of a queue or of a task type: 1–64 characters of `A-Z a-z 0-9 . _ -`, not starting with a dot. */
export type Name = Brand<string, 'Name'>;

const taskIdPattern = /^(?!\.)[A-Za-z0-9._:@~-]+$/;
const namePattern = /^(?!\.)[A-Za-z0-9._-]+$/;

/** @throws ClaimkeeperError `TASK_ID_INVALID` naming the value and the alphabet. */
export function parseTaskId(value: unknown): TaskId {
  if (typeof value === 'string' && value.length <= limits.taskIdCharsMax && taskIdPattern.test(value)) {
    return value as TaskId;
  }
  throw new ClaimkeeperError(
    'TASK_ID_INVALID',
    `the task id ${shown(value)} is not valid: use 1–${limits.taskIdCharsMax} characters of A-Z a-z 0-9 . _ : @ ~ - and do not start with a dot`,
    { field: 'id' },
  );
}

/** @throws ClaimkeeperError `SCHEDULE_INVALID` naming the value and the alphabet. */
export function parseScheduleId(value: unknown): ScheduleId {
  if (typeof value === 'string' && value.length <= limits.scheduleIdCharsMax && taskIdPattern.test(value)) {
    return value as ScheduleId;
  }
  throw new ClaimkeeperError(
    'SCHEDULE_INVALID',
    `the schedule id ${shown(value)} is not valid: use 1–${limits.scheduleIdCharsMax} characters of A-Z a-z 0-9 . _ : @ ~ - and do not start with a dot`,
    { field: 'id' },
  );
}

/** @throws ClaimkeeperError `NAME_INVALID` naming `what`, the value and the alphabet. */
export function parseName(value: unknown, what: 'queue' | 'type'): Name {
  if (typeof value === 'string' && value.length <= limits.nameCharsMax && namePattern.test(value)) {
    return value as Name;
  }
  throw new ClaimkeeperError(
    'NAME_INVALID',
    `the ${what} ${shown(value)} is not valid: use 1–${limits.nameCharsMax} characters of A-Z a-z 0-9 . _ - and do not start with a dot`,
    { field: what },
  );
}

/** A task on its way through a process is asked for its bucket half a dozen times: the last ones are remembered. */
const bucketsKnownMax = 10_000;
const bucketsKnown = new Map<TaskId, string>();

/** The ledger's shard of a task: the first byte of sha256(id), as two hexadecimal digits. */
export function bucketOf(id: TaskId): string {
  const known = bucketsKnown.get(id);
  if (known !== undefined) return known;
  if (bucketsKnown.size >= bucketsKnownMax) bucketsKnown.clear();
  const bucket = hash('sha256', id).slice(0, 2);
  bucketsKnown.set(id, bucket);
  return bucket;
}

/** A value as an error message may quote it: one line, at most 80 characters. */
export function shown(value: unknown): string {
  const text = textOf(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** An object's own conversions are not asked: they may be anything, also no functions. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return '[list]';
  if (typeof value === 'object' && value !== null) return '[object]';
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
