// task.ts: what a user asks for. Owns the submission's shape, its validation, and the hash that tells "the same task
// again" from a conflict. What happened to the task is record.ts.

import { hash as digest } from 'node:crypto';
import { z } from 'zod';
import type { EpochMs } from './brand.js';
import { ClaimkeeperError } from './errors.js';
import { type Name, parseName, parseTaskId, shown, type TaskId } from './ids.js';
import { limits } from './limits.js';
import { defaultRetryPolicy, type RetryPolicy } from './retry.js';

/** Any JSON value. `undefined`, functions, BigInt, NaN and cycles are refused, never dropped in silence. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What becomes of a task whose attempt was interrupted; see docs/guarantees.md. */
export type OnInterrupted = 'park' | 'verify' | 'rerun';

/** What a task type sets for all its tasks and a submission may set for one. */
export type Policy = {
  readonly retry: RetryPolicy;
  /** An attempt's deadline in ms from its start: 1 – 86 400 000, default 60 000. */
  readonly timeoutMs: number;
  readonly onInterrupted: OnInterrupted;
};

export type PolicyOverride = {
  readonly retry?: { readonly [Key in keyof RetryPolicy]?: RetryPolicy[Key] | undefined } | undefined;
  readonly timeoutMs?: number | undefined;
  readonly onInterrupted?: OnInterrupted | undefined;
};

export const defaultPolicy: Policy = { retry: defaultRetryPolicy, timeoutMs: 60_000, onInterrupted: 'park' };

/** What `submit` takes. */
export type SubmissionInput = {
  /** The idempotency key: the same id with the same content is the same task. */
  readonly id: string;
  readonly type: string;
  /** Default `default`. */
  readonly queue?: string;
  /** Any JSON value up to 64 KiB; default `null`. */
  readonly payload?: unknown;
  /** 0 (most urgent, default) – 1 000. */
  readonly priority?: number;
  /** Do not start before this many ms from now, 0 – one year. Not together with `runAt`. */
  readonly delayMs?: number;
  /** Do not start before this time: a Date, an ISO 8601 string with an offset, or ms since 1970. */
  readonly runAt?: Date | string | number;
} & PolicyOverride;

/** A submission that passed validation. */
export type Submission = {
  readonly id: TaskId;
  readonly type: Name;
  readonly queue: Name;
  readonly payload: Json;
  readonly priority: number;
  /** Null: at once. */
  readonly notBefore: EpochMs | null;
  readonly policy: PolicyOverride | null;
  /** See {@link contentHash}. */
  readonly hash: string;
};

export const retryPolicySchema = z.strictObject({
  attempts: z.int().min(1).max(limits.attemptsMax).optional(),
  delayMsMin: z.number().min(0).max(limits.delayMsMax).optional(),
  delayMsMax: z.number().min(0).max(limits.delayMsMax).optional(),
  factor: z.number().min(1).max(10).optional(),
});

/** A moment, in any of the ways a user may give one. */
export const timeSchema = z.union(
  [z.date(), z.iso.datetime({ offset: true }), z.number().min(0).max(8.64e15)],
  { error: 'is no time: give ISO 8601 with an offset (2026-01-02T03:04:05Z), or ms since 1970' },
);

const policyShape = {
  retry: retryPolicySchema.optional(),
  timeoutMs: z.int().min(1).max(limits.timeoutMsMax).optional(),
  onInterrupted: z.enum(['park', 'verify', 'rerun']).optional(),
};

/** Schema of a policy on its own, as a task type gives it. */
export const policySchema = z.strictObject(policyShape);

/** What an input is held to first; `unknown` is looked at by a parser of its own. */
export const submissionSchema = z.strictObject({
  id: z.unknown(),
  type: z.unknown(),
  queue: z.unknown().optional(),
  payload: z.unknown().optional(),
  priority: z.int().min(0).max(limits.priorityMax).optional(),
  delayMs: z.number().min(0).max(limits.delayMsMax).optional(),
  runAt: timeSchema.optional(),
  ...policyShape,
});

/**
 * A user's input as a submission, or the error that names the field at fault.
 * @throws ClaimkeeperError `TASK_ID_INVALID`, `NAME_INVALID`, `SUBMISSION_INVALID`, `PAYLOAD_TOO_LARGE`
 */
export function parseSubmission(input: unknown, now: EpochMs): Submission {
  const parsed = submissionSchema.safeParse(input);
  if (!parsed.success) throw invalid(parsed.error);
  const { queue: queueName, payload: value, delayMs, runAt, priority = 0 } = parsed.data;
  if (delayMs !== undefined && runAt !== undefined) {
    throw new ClaimkeeperError('SUBMISSION_INVALID', 'give delayMs or runAt, not both', { field: 'runAt' });
  }
  const id = parseTaskId(parsed.data.id);
  const type = parseName(parsed.data.type, 'type');
  const queue = parseName(queueName === undefined ? 'default' : queueName, 'queue');
  const { payload, text } = parsePayload(value ?? null);
  const policy = policyIn(parsed.data);
  const hash = contentHash({ type, queue, priority, policy }, text);
  return { id, type, queue, payload, priority, notBefore: dueAt(delayMs, runAt, now), policy, hash };
}

/** Null: it wishes for nothing. */
function policyIn({ retry, timeoutMs, onInterrupted }: PolicyOverride): PolicyOverride | null {
  const wishes = retry !== undefined || timeoutMs !== undefined || onInterrupted !== undefined;
  return wishes ? { retry, timeoutMs, onInterrupted } : null;
}

/** Type's and submission's wishes over the defaults; the submission wins. */
export function resolvePolicy(type: PolicyOverride | null, submission: PolicyOverride | null): Policy {
  const retry = { ...defaultRetryPolicy, ...defined(type?.retry), ...defined(submission?.retry) };
  return {
    retry: { ...retry, delayMsMax: Math.max(retry.delayMsMin, retry.delayMsMax) },
    timeoutMs: submission?.timeoutMs ?? type?.timeoutMs ?? defaultPolicy.timeoutMs,
    onInterrupted: submission?.onInterrupted ?? type?.onInterrupted ?? defaultPolicy.onInterrupted,
  };
}

/**
 * 22 characters of sha256, base64url, over what the task is: type, queue, priority, policy, payload (as canonical JSON). Its
 * due time is left out: a client that repeats a submit with `delayMs` means the same task.
 */
function contentHash(
  { type, queue, priority, policy }: Pick<Submission, 'type' | 'queue' | 'priority' | 'policy'>,
  payload: string,
): string {
  const text = `${type} ${queue} ${priority} ${canonicalJson(policy as Json)} ${payload}`;
  return digest('sha256', text, 'base64url').slice(0, 22);
}

/** As JSON.stringify, with the keys in order: equal values have equal texts. */
function canonicalJson(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = value as { readonly [key: string]: Json | undefined };
  let text = '';
  for (const key of Object.keys(members).sort()) {
    const item = members[key];
    if (item !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(item)}`;
  }
  return `{${text}}`;
}

/** With its canonical JSON. */
function parsePayload(payload: unknown): { readonly payload: Json; readonly text: string } {
  assertJson(payload, 'payload', 1);
  const text = canonicalJson(payload);
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.payloadBytesMax) {
    throw new ClaimkeeperError(
      'PAYLOAD_TOO_LARGE',
      `the payload has ${bytes} bytes as JSON, the limit is ${limits.payloadBytesMax}: store it elsewhere and pass its reference`,
      { field: 'payload' },
    );
  }
  return { payload, text };
}

/** @throws ClaimkeeperError `SUBMISSION_INVALID` naming the first place in `value` that JSON cannot carry. */
function assertJson(value: unknown, field: string, depth: number): asserts value is Json {
  if (depth > limits.payloadDepthMax) refuse(field, `is nested deeper than ${limits.payloadDepthMax} levels`);
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) refuse(field, `is ${value}, which JSON cannot carry`);
    return;
  }
  if (typeof value !== 'object')
    refuse(field, `is ${shown(value)} (${typeof value}), which JSON cannot carry`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) assertJson(value[i], `${field}[${i}]`, depth + 1);
    return;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) refuse(field, 'is not a plain object');
  for (const [key, item] of Object.entries(value)) assertJson(item, `${field}.${key}`, depth + 1);
}

function refuse(field: string, why: string): never {
  const name = fieldName([field]);
  throw new ClaimkeeperError('SUBMISSION_INVALID', `${name} ${why}`, { field: name });
}

function dueAt(
  delayMs: number | undefined,
  runAt: Date | string | number | undefined,
  now: EpochMs,
): EpochMs | null {
  if (runAt !== undefined) return new Date(runAt).getTime() as EpochMs;
  return delayMs === undefined || delayMs === 0 ? null : (Math.round(now + delayMs) as EpochMs);
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

function defined<T extends object>(value: T | undefined): Defined<T> {
  return Object.fromEntries(
    Object.entries(value ?? {}).filter(([, item]) => item !== undefined),
  ) as Defined<T>;
}

function invalid(error: z.ZodError): ClaimkeeperError {
  const issue = error.issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const field = fieldName([...issue.path, issue.keys[0] ?? '']);
    return new ClaimkeeperError('SUBMISSION_INVALID', `there is no field ${shown(field)}`, { field });
  }
  const field = fieldName(issue?.path ?? []);
  const where = field === '' ? 'the submission' : field;
  return new ClaimkeeperError(
    'SUBMISSION_INVALID',
    `${where}: ${issue?.message ?? 'is not valid'}`,
    field === '' ? {} : { field },
  );
}

/** As short as an answer may quote it: names of fields may be as long as a request. */
function fieldName(path: readonly PropertyKey[]): string {
  const name = path.map(String).join('.');
  return name.length > 200 ? `${name.slice(0, 199)}…` : name;
}
