// listing.ts: which tasks a list or a live view is to show. Owns what may be asked for and how a page is followed by the
// next; the tasks themselves are the read model's.

import { z } from 'zod';
import type { EpochMs } from './brand.js';
import { ClaimkeeperError } from './errors.js';
import { type Name, parseName, parseTaskId, shown } from './ids.js';
import { limits } from './limits.js';
import { hintOn } from './options.js';
import { type State, states } from './record.js';
import type { TaskSummary } from './summary.js';
import { timeSchema } from './task.js';

export type ListInput = {
  readonly state?: State;
  readonly queue?: string;
  readonly type?: string;
  /** Of the last attempt that ended. */
  readonly errorCode?: string;
  /** Accepted then or later: a Date, an ISO 8601 string with an offset, or ms since 1970. */
  readonly acceptedAfter?: Date | string | number;
  /** Accepted earlier than that. */
  readonly acceptedBefore?: Date | string | number;
  /** Of one page, 1 – 500; default 50. */
  readonly limit?: number;
  /** From the page before. */
  readonly cursor?: string;
};

/** A place in the order of all tasks, by when they were accepted and then by id: fixed for a task's life. */
export type Place = Pick<TaskSummary, 'acceptedAt' | 'id'>;

export type Filter = {
  readonly state: State | null;
  readonly queue: Name | null;
  readonly type: Name | null;
  readonly errorCode: string | null;
};

export type ListQuery = Filter & {
  readonly acceptedAfter: EpochMs | null;
  readonly acceptedBefore: EpochMs | null;
  readonly limit: number;
  /** Only tasks that come after it, the newest being first. */
  readonly after: Place | null;
};

export type FollowInput = Pick<ListInput, 'state' | 'queue' | 'type'> & {
  /** Any of these: names of queues; a `*` at the end stands for any rest. */
  readonly queues?: readonly string[];
  /** The id of the last event that was seen; `0`: from the oldest that is kept. Without it: from now on. */
  readonly after?: string;
};

export type FollowQuery = Omit<Filter, 'errorCode'> & {
  readonly queues: readonly string[];
  readonly after: string | null;
};

const pageDefault = 50;
const errorCodePattern = /^[A-Z][A-Z0-9_]{0,63}$/;
const eventIdPattern = /^\d{1,16}(-\d{1,16})?$/;

const filterShape = {
  state: z.enum(states, { error: `is none of ${states.join(', ')}` }).optional(),
  queue: z.unknown().optional(),
  type: z.unknown().optional(),
};

const listSchema = z.strictObject({
  ...filterShape,
  errorCode: z.string().regex(errorCodePattern, 'is no error code').optional(),
  acceptedAfter: timeSchema.optional(),
  acceptedBefore: timeSchema.optional(),
  limit: z
    .int(`is not a whole number within 1 – ${limits.listTasksMax}`)
    .min(1, `is not within 1 – ${limits.listTasksMax}`)
    .max(limits.listTasksMax, `is not within 1 – ${limits.listTasksMax}`)
    .optional(),
  cursor: z.string().optional(),
});

const followSchema = z.strictObject({
  ...filterShape,
  queues: z.array(z.string()).optional(),
  after: z.string().regex(eventIdPattern, 'is no id of an event').optional(),
});

/** @throws ClaimkeeperError `REQUEST_INVALID`, `NAME_INVALID` naming the field */
export function parseListing(input: unknown): ListQuery {
  const { errorCode, acceptedAfter, acceptedBefore, limit, cursor, ...filter } = parsed(listSchema, input);
  return {
    ...filterOf(filter),
    errorCode: errorCode ?? null,
    acceptedAfter: momentOf(acceptedAfter),
    acceptedBefore: momentOf(acceptedBefore),
    limit: limit ?? pageDefault,
    after: cursor === undefined ? null : placeOf(cursor),
  };
}

/** @throws ClaimkeeperError as {@link parseListing} */
export function parseFollowing(input: unknown): FollowQuery {
  const { queues, after, ...filter } = parsed(followSchema, input);
  return { ...filterOf(filter), queues: queues ?? ['*'], after: after ?? null };
}

/** What a client gives back to go on after a task: opaque to it. */
export function cursorAt({ acceptedAt, id }: Place): string {
  return Buffer.from(`${acceptedAt}:${id}`).toString('base64url');
}

function placeOf(cursor: string): Place {
  const text = Buffer.from(cursor, 'base64url').toString();
  const [, at = '', id = ''] = /^(\d{1,15}):(.+)$/.exec(text) ?? [];
  try {
    const place = { acceptedAt: Number(at) as EpochMs, id: parseTaskId(id) };
    if (cursorAt(place) === cursor) return place;
  } catch {
    // Said below.
  }
  const message = `the cursor ${shown(cursor)} is none that a list has given: leave it out to begin anew`;
  throw new ClaimkeeperError('REQUEST_INVALID', message, { field: 'cursor' });
}

function filterOf(given: { state?: State | undefined; queue?: unknown; type?: unknown }): {
  readonly state: State | null;
  readonly queue: Name | null;
  readonly type: Name | null;
} {
  return {
    state: given.state ?? null,
    queue: given.queue === undefined ? null : parseName(given.queue, 'queue'),
    type: given.type === undefined ? null : parseName(given.type, 'type'),
  };
}

function parsed<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = (issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.join('.')) || 'query';
  const value = (input as Record<string, unknown> | null)?.[field];
  const why =
    issue?.code === 'unrecognized_keys'
      ? `is not known${hintOn(schema, issue)}`
      : `${shown(value)} ${issue?.message}`;
  throw new ClaimkeeperError('REQUEST_INVALID', `${field.slice(0, 100)}: ${why}`, {
    field: field.slice(0, 100),
  });
}

function momentOf(time: Date | string | number | undefined): EpochMs | null {
  return time === undefined ? null : (Math.floor(new Date(time).getTime()) as EpochMs);
}
