// story.ts: what is known of a simulation once it is over: everything that was written, done, started and broken, in one
// order. Owns the words; collecting them is chronicle.ts, judging them invariants.ts.

import type { TaskId, TaskRecord } from '../../src/domain/index.js';

type Happening = {
  /** Its place in the story. */
  readonly seq: number;
  /** In ms of the world's clock since the beginning. */
  readonly at: number;
};

/** A record was made (`before` null), moved, or deleted (`after` null). */
export type Change = Happening & {
  readonly id: TaskId;
  /** The process that wrote it. */
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
export type Start = Happening & Attempt & { readonly claimStood: boolean; readonly deaf: boolean };
/** A handler changed the outside world. */
export type Effect = Happening & Attempt;

type Attempt = {
  readonly task: TaskId;
  readonly attempt: number;
  readonly fence: number;
  readonly worker: string;
};

/** On one process, or on all (`*`). */
export type Fault = { readonly kind: string; readonly on: string; readonly from: number; to: number };

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
};
