// story.ts: what is known of a fleet's history once it is over, be it simulated or a chaos run's: everything that was
// written, done, started and broken, in one order. Owns the words; collecting them is the simulation's chronicle.ts and the
// chaos run's story-from-evidence.ts, judging them invariants.ts.
//
// What a source cannot see is null, or left out where the whole of it is meant: the checks that need it are then counted as
// not made, and not as passed.

import type { Held, ScheduleContent, TaskId, TaskRecord } from '../../src/domain/index.js';

type Happening = {
  /** Its place in the story. */
  readonly seq: number;
  /** In ms of the world's clock. */
  readonly at: number;
};

/** A record was made (`before` null), moved, or deleted (`after` null). */
export type Change = Happening & {
  readonly id: TaskId;
  /** The process that wrote it: a worker's id; `desk` or `office` for those who submit and operate. */
  readonly by: string;
  /** Of the znode, after the change. */
  readonly version: number;
  readonly before: TaskRecord | null;
  readonly after: TaskRecord | null;
  /** The transaction checked the term of the leader. */
  readonly guarded: boolean;
  /** For how long the claim that `before` names had been gone, in ms; null: it stood, or there is none. */
  readonly claimGoneMs: number | null;
  /** The claim that `after` names stands. */
  readonly claimStands: boolean;
};

/** A handler was called. */
export type Start = Happening &
  Attempt & {
    /** At that very moment; null: not observed. */
    readonly claimStood: boolean | null;
    /** It was going to ignore its signal; null: it honours it, and may wait for what does not. */
    readonly deaf: boolean | null;
  };

/** A handler changed the outside world. */
export type Effect = Happening &
  Attempt & {
    /** The receiver remembers the highest fence of the task, and should have refused a lower one; left out: it does not compare. */
    readonly compared?: true;
  };

type Attempt = {
  readonly task: TaskId;
  readonly attempt: number;
  readonly fence: number;
  readonly worker: string;
};

/** On one process, by its worker's id where it is one, or on all (`*`). */
export type Fault = { readonly kind: string; readonly on: string; readonly from: number; to: number };

/** A submit and how it was answered. `unanswered`: it may have been accepted. */
export type Submit = {
  readonly task: TaskId;
  /** Tells apart what was submitted. */
  readonly body: string;
  readonly answer: 'created' | 'same' | 'conflict' | 'unanswered';
};

/** A session that the server ended because it had not heard of it in time. */
export type LeaseEnd = {
  readonly worker: string;
  readonly session: string;
  readonly expiredAt: number;
  /** When the process began to distrust the session; null: not before it had expired, or never. */
  readonly distrustedAt: number | null;
  /** The two could not hear each other, and the process itself was not disturbed: not frozen, not killed, its clock not set. */
  readonly purePartition: boolean;
};

/** How long it took until all was over, once everything was mended. */
export type Settling = { readonly withinMs: number; readonly tookMs: number | null };

export type Story = {
  readonly seed: number;
  readonly graceMs: number;
  readonly dedupWindowMs: number;
  /** Submits that were answered: the task is accepted. */
  readonly acknowledged: ReadonlySet<TaskId>;
  readonly changes: readonly Change[];
  readonly starts: readonly Start[];
  readonly effects: readonly Effect[];
  readonly faults: readonly Fault[];
  /** The records at the end, those that retention took included. */
  readonly records: ReadonlyMap<TaskId, TaskRecord>;
  readonly claimsLeft: readonly string[];
  /** What had not come to its end in the time given. */
  readonly unsettled: readonly string[];
  /** Lines of the product's log that speak of a defect. */
  readonly defects: readonly string[];
  readonly transcript: readonly string[];
  readonly submits?: readonly Submit[];
  readonly leases?: readonly LeaseEnd[];
  readonly settling?: Settling;
  /** Schedules whose definition was never changed, by id. */
  readonly schedules?: ReadonlyMap<string, ScheduleContent>;
  /** As the product itself gave it at the end, while `records` are what the ensemble remembers. */
  readonly ledger?: ReadonlyMap<TaskId, Held>;
};
