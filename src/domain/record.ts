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
  readonly error?: AttemptError;
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
  readonly wishes?: PolicyOverride;
  readonly state: State;
  /** The attempt that is next (`waiting`), now (`running`) or was last, from 1. */
  readonly attempt: number;
  /** Attempts before the latest replay: they do not count against the policy's. */
  readonly attemptBase?: number;
  /**
   * Of the write that a lost reply must be told from another's (P3): the accept's or the operator's while `waiting`,
   * the attempt's from its claim on.
   */
  readonly nonce: Nonce;
  readonly claim?: ClaimRef;
  /** As it was resolved by the worker that claimed; the interrupting party needs it. */
  readonly policy?: Policy;
  readonly notBefore?: EpochMs;
  readonly acceptedAt: EpochMs;
  readonly startedAt?: EpochMs;
  readonly finishedAt?: EpochMs;
  readonly cancelRequested?: true;
  readonly result?: Result;
  readonly attempts?: readonly AttemptEntry[];
  readonly replays?: number;
  /** Times the type's `verify` hook answered `unknown` for the attempt that is uncertain. */
  readonly verifications?: number;
  /** What an operator said when resolving, or why a task failed for good. */
  readonly note?: string;
};

/** A record as it was read: `version` is the znode's, the fence of every later write (P2). */
export type Held = { readonly record: TaskRecord; readonly version: number };

export function newRecord(task: Submission, nonce: Nonce, now: EpochMs): TaskRecord {
  return {
    v: recordFormat,
    id: task.id,
    type: task.type,
    queue: task.queue,
    payload: task.payload,
    hash: task.hash,
    priority: task.priority,
    ...(task.policy === null ? {} : { wishes: task.policy }),
    state: 'waiting',
    attempt: 1,
    nonce,
    ...(task.notBefore === null ? {} : { notBefore: task.notBefore }),
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
