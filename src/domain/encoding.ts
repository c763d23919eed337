// encoding.ts: a record as its znode keeps it: JSON with short names, without what the znode's path or another field says.
// Its bytes stay in the memory of every ZooKeeper server, and are written to the log of each three times per task. What a
// record is, is record.ts's.

import type { EpochMs } from './brand.js';
import { ClaimkeeperError } from './errors.js';
import type { Name, Nonce, TaskId, WorkerId } from './ids.js';
import {
  type AttemptEntry,
  type AttemptError,
  type ClaimRef,
  type Result,
  recordFormat,
  type State,
  states,
  type TaskRecord,
} from './record.js';
import type { Json, OnInterrupted, Policy, PolicyOverride } from './task.js';

/** What is absent is so in the record, or has its default. docs/architecture.md shows these names. */
type Form = {
  readonly v: typeof recordFormat;
  /** Type. */
  readonly t: Name;
  /** Queue; absent: `default`. */
  readonly q?: Name | undefined;
  /** Payload. */
  readonly p: Json;
  /** Hash. */
  readonly h: string;
  /** Priority; absent: 0. */
  readonly i?: number | undefined;
  /** Wishes. */
  readonly w?: PolicyOverride | undefined;
  /** State. */
  readonly s: State;
  /** Attempt. */
  readonly n: number;
  /** Attempts before the latest replay. */
  readonly b?: number | undefined;
  /** Nonce. */
  readonly o: Nonce;
  /** Claim. */
  readonly c?: ClaimForm | undefined;
  /** Policy. */
  readonly y?: PolicyForm | undefined;
  /** Not before. */
  readonly d?: EpochMs | undefined;
  /** Accepted, started, finished at. */
  readonly a: EpochMs;
  readonly g?: EpochMs | undefined;
  readonly e?: EpochMs | undefined;
  /** A cancel was requested. */
  readonly x?: true | undefined;
  /** Result. */
  readonly r?: Result | undefined;
  /** Attempts that ended, the oldest first. */
  readonly l?: readonly EntryForm[] | undefined;
  /** Replays. */
  readonly k?: number | undefined;
  /** Verifications. */
  readonly u?: number | undefined;
  /** Note. */
  readonly m?: string | undefined;
};

/** The claim's nonce is left out where it is the record's. */
type ClaimForm = readonly [WorkerId, Nonce?];

type PolicyForm = readonly [
  attempts: number,
  delayMsMin: number,
  delayMsMax: number,
  factor: number,
  timeoutMs: number,
  onInterrupted: OnInterrupted,
];

/** The latter three are left out where they are the record's own: its nonce, its start, its end. */
type EntryForm = readonly [
  n: number,
  worker: WorkerId,
  outcome: number,
  error?: AttemptError | null,
  nonce?: Nonce,
  startedAt?: EpochMs,
  endedAt?: EpochMs,
];

const defaultQueue = 'default' as Name;
/** By their place; a new one goes to the end. */
const outcomes: readonly AttemptEntry['outcome'][] = [
  'succeeded',
  'failed',
  'unsettled',
  'interrupted',
  'notExecuted',
];

export function encodeRecord(record: TaskRecord): Buffer {
  const form: Form = {
    v: record.v,
    t: record.type,
    q: record.queue === defaultQueue ? undefined : record.queue,
    p: record.payload,
    h: record.hash,
    i: record.priority === 0 ? undefined : record.priority,
    w: record.wishes,
    s: record.state,
    n: record.attempt,
    b: record.attemptBase,
    o: record.nonce,
    c: record.claim && claimForm(record.claim, record.nonce),
    y: record.policy && policyForm(record.policy),
    d: record.notBefore,
    a: record.acceptedAt,
    g: record.startedAt,
    e: record.finishedAt,
    x: record.cancelRequested,
    r: record.result,
    l: record.attempts?.map((entry) => entryForm(entry, record)),
    k: record.replays,
    u: record.verifications,
    m: record.note,
  };
  return Buffer.from(JSON.stringify(form));
}

/**
 * Of the znode at `path`, whose last part is the task's id.
 * @throws ClaimkeeperError `RECORD_UNREADABLE` for another format or anything that is not a record.
 */
export function decodeRecord(data: Buffer, path: string): TaskRecord {
  const form = parsed(data);
  if (form === null) {
    throw new ClaimkeeperError(
      'RECORD_UNREADABLE',
      `${path} holds no record of format ${recordFormat}: upgrade this process, or look at the znode`,
    );
  }
  const { c, y, l } = form;
  // In the order of record.ts, nothing left out: one shape.
  return {
    v: form.v,
    id: path.slice(path.lastIndexOf('/') + 1) as TaskId,
    type: form.t,
    queue: form.q ?? defaultQueue,
    payload: form.p,
    hash: form.h,
    priority: form.i ?? 0,
    wishes: form.w,
    state: form.s,
    attempt: form.n,
    attemptBase: form.b,
    nonce: form.o,
    claim: c && claimIn(c, form.o),
    policy: y && policyIn(y),
    notBefore: form.d,
    acceptedAt: form.a,
    startedAt: form.g,
    finishedAt: form.e,
    cancelRequested: form.x,
    result: form.r,
    attempts: l?.map((entry) => entryIn(entry, form)),
    replays: form.k,
    verifications: form.u,
    note: form.m,
  };
}

function claimForm({ worker, nonce }: ClaimRef, own: Nonce): ClaimForm {
  return nonce === own ? [worker] : [worker, nonce];
}

function claimIn([worker, nonce]: ClaimForm, own: Nonce): ClaimRef {
  return { worker, nonce: nonce ?? own };
}

function policyForm({ retry, timeoutMs, onInterrupted }: Policy): PolicyForm {
  return [retry.attempts, retry.delayMsMin, retry.delayMsMax, retry.factor, timeoutMs, onInterrupted];
}

function policyIn([attempts, delayMsMin, delayMsMax, factor, timeoutMs, onInterrupted]: PolicyForm): Policy {
  return { retry: { attempts, delayMsMin, delayMsMax, factor }, timeoutMs, onInterrupted };
}

function entryForm(entry: AttemptEntry, record: TaskRecord): EntryForm {
  const { n, worker, nonce, startedAt, endedAt, error } = entry;
  const outcome = outcomes.indexOf(entry.outcome);
  const { nonce: ownNonce, startedAt: ownStart, finishedAt: ownEnd } = record;
  if (nonce !== ownNonce || startedAt !== ownStart || endedAt !== ownEnd)
    return [n, worker, outcome, error ?? null, nonce, startedAt, endedAt];
  return error === undefined ? [n, worker, outcome] : [n, worker, outcome, error];
}

function entryIn(entry: EntryForm, { o, g, e }: Form): AttemptEntry {
  const [n, worker, outcome, error, nonce = o, startedAt = g, endedAt = e] = entry;
  return {
    n,
    nonce,
    worker,
    startedAt: startedAt as EpochMs,
    endedAt: endedAt as EpochMs,
    outcome: outcomes[outcome] as AttemptEntry['outcome'],
    ...(error === undefined || error === null ? {} : { error }),
  };
}

function parsed(data: Buffer): Form | null {
  try {
    const form = JSON.parse(data.toString()) as Partial<Form> | null;
    const known = form?.v === recordFormat && states.includes(form.s as State);
    return known ? (form as Form) : null;
  } catch {
    return null;
  }
}
