// record.ts: the task's entry in the ledger: the truth about it. Owns the record's shape; how it is written is
// encoding.ts, how it may move is transitions.ts.

import type { EpochMs } from './brand.js';
import type { Name, Nonce, TaskId, WorkerId } from './ids.js';
import { limits } from './limits.js';
import type { Json, Policy, PolicyOverride, Submission } from './task.js';

export const recordFormat = 2;

export const states = ['waiting', 'running', 'completed', 'failed', 'cancelled', 'uncertain'] as const;
export type State = (typeof states)[number];

/**
 * Names a claim's znode: `/claims/<worker>/claim-<nonce>-NNNNNNNNNN`. The number is ZooKeeper's and not known to the
 * transaction that makes the claim, so the nonce in the name identifies it.
 */
export type ClaimRef = { readonly worker: WorkerId; readonly nonce: Nonce };

export type AttemptError = { readonly code: string; readonly message: string };

/** How one attempt ended, as far as is known. The newest ten are kept. */
export type AttemptEntry = {
  readonly n: number;
  readonly nonce: Nonce;
  readonly worker: WorkerId;
  readonly startedAt: EpochMs;
  readonly endedAt: EpochMs;
  readonly outcome: 'succeeded' | 'failed' | 'unsettled' | 'interrupted' | 'notExecuted';
  readonly error?: AttemptError | undefined;
};

export type Result = { readonly value: Json } | { readonly omittedBytes: number };

export type TaskRecord = {
  readonly v: typeof recordFormat;
  readonly id: TaskId;
  readonly type: Name;
  readonly queue: Name;
  readonly payload: Json;
  readonly hash: string;
  readonly priority: number;
  /** What the submission set; the claim resolves it with the type's own into {@link policy}. */
  readonly wishes?: PolicyOverride | undefined;
  readonly state: State;
  /** The attempt that is next (`waiting`), now (`running`) or was last, from 1. */
  readonly attempt: number;
  /** Attempts before the latest replay: they do not count against the policy's. */
  readonly attemptBase?: number | undefined;
  /**
   * Of the write that a lost reply must be told from another's (P3): the accept's or the operator's while `waiting`,
   * the attempt's from its claim on.
   */
  readonly nonce: Nonce;
  readonly claim?: ClaimRef | undefined;
  /** As it was resolved by the worker that claimed; the interrupting party needs it. */
  readonly policy?: Policy | undefined;
  readonly notBefore?: EpochMs | undefined;
  readonly acceptedAt: EpochMs;
  readonly startedAt?: EpochMs | undefined;
  readonly finishedAt?: EpochMs | undefined;
  readonly cancelRequested?: true | undefined;
  readonly result?: Result | undefined;
  readonly attempts?: readonly AttemptEntry[] | undefined;
  readonly replays?: number | undefined;
  /** Times the type's `verify` hook answered `unknown` for the attempt that is uncertain. */
  readonly verifications?: number | undefined;
  /** What an operator said when resolving, or why a task failed for good. */
  readonly note?: string | undefined;
};

/** A record as it was read: `version` is the znode's, the fence of every later write (P2). */
export type Held = { readonly record: TaskRecord; readonly version: number };

/**
 * Records in memory are all of one shape, what is not there being undefined, and not written: V8 copies them many times faster
 * than objects that gain or lose fields.
 */
const shape: Record<keyof TaskRecord, undefined> = {
  v: undefined,
  id: undefined,
  type: undefined,
  queue: undefined,
  payload: undefined,
  hash: undefined,
  priority: undefined,
  wishes: undefined,
  state: undefined,
  attempt: undefined,
  attemptBase: undefined,
  nonce: undefined,
  claim: undefined,
  policy: undefined,
  notBefore: undefined,
  acceptedAt: undefined,
  startedAt: undefined,
  finishedAt: undefined,
  cancelRequested: undefined,
  result: undefined,
  attempts: undefined,
  replays: undefined,
  verifications: undefined,
  note: undefined,
};

export function newRecord(task: Submission, nonce: Nonce, now: EpochMs): TaskRecord {
  return {
    ...shape,
    v: recordFormat,
    id: task.id,
    type: task.type,
    queue: task.queue,
    payload: task.payload,
    hash: task.hash,
    priority: task.priority,
    wishes: task.policy ?? undefined,
    state: 'waiting',
    attempt: 1,
    nonce,
    notBefore: task.notBefore ?? undefined,
    acceptedAt: now,
  };
}

/** A handler's return value as the record keeps it: JSON within the cap, else its size alone. Never refuses. */
export function resultOf(value: unknown): Result {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    return { omittedBytes: 0 }; // Cyclic, or a BigInt: the task completed all the same.
  }
  if (text === undefined) return { value: null };
  const bytes = Buffer.byteLength(text);
  return bytes > limits.resultBytesMax ? { omittedBytes: bytes } : { value: JSON.parse(text) as Json };
}

/** What a delivery needs to know of a task: that it is due, where and when. It decides nothing (P6). */
export type Hint = Pick<TaskRecord, 'id' | 'queue' | 'priority'> & {
  readonly notBefore: EpochMs | null;
  /** Ahead of what waits already: it was taken once, and not by its own fault given up. */
  readonly inFront?: true;
};

export function hintOf(record: TaskRecord): Hint {
  return {
    id: record.id,
    queue: record.queue,
    priority: record.priority,
    notBefore: record.notBefore ?? null,
  };
}
