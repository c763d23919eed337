// evidence.ts: what a chaos run leaves behind, one folder a run, and what each of its files says. Owns the shapes; they are
// written while the run goes (drive.ts, witness-process.ts) and judged once it is over (verdict.ts).
//
//   run.json         RunFacts             faults.ndjson   FaultLine per fault    answers.ndjson  AnswerLine per call
//   witness.ndjson   WitnessLine          trust.ndjson    TrustLine              ledger.ndjson   LedgerLine per record left
//   zookeeper/<n>    each server's data folder, transaction logs included
//
// Times are epoch ms of this machine's undisturbed clock: each is taken by the process that writes the line, and that process
// is never under a fault; where one is not, it says so.

export type Role = 'worker' | 'scheduler' | 'api';

/** One life of a process: a restart begins another. */
export type ProcessLife = {
  /** As in {@link FaultLine.on}: `worker-2`. */
  readonly name: string;
  readonly role: Role;
  readonly pid: number;
  readonly from: number;
  /** `Infinity` is written as null: it lived until the end. */
  readonly to: number | null;
  readonly end: 'running' | 'killed' | 'stopped' | 'crashed';
};

export type RunFacts = {
  readonly seed: number;
  /** What repeats the run. */
  readonly command: string;
  readonly from: number;
  /** When the last fault had ended and everything was mended. */
  readonly healedAt: number;
  /** When every task had ended, no claim stood and Redis held no delivery; null: not within the time given. */
  readonly settledAt: number | null;
  readonly to: number;
  readonly sessionTimeoutMs: number;
  readonly graceMs: number;
  readonly dedupWindowMs: number;
  readonly handlerMsMax: number;
  /** Tasks per second that the driver set out to submit, storms left aside: the least of throughput is measured by it. */
  readonly loadPerSecond?: number;
  readonly processes: readonly ProcessLife[];
  readonly versions: Readonly<Record<string, string>>;
  /**
   * Claims that stood, deliveries that Redis held, and processes that had not ended when all was over: what leaked; and what
   * processes logged as errors, which no fault excuses.
   */
  readonly leftOver: readonly string[];
};

/** `on`: a process's name, `zookeeper-1`, `redis`, `redis-replica`, a task id, or `*`. */
export type FaultLine = {
  readonly id: number;
  readonly kind: string;
  readonly on: string;
  readonly from: number;
  readonly to: number;
  readonly note?: string;
};

/** A call on the API, with its answer. Not answered, or cut off: `status` is null. */
export type AnswerLine = {
  readonly call: 'submit' | 'replay' | 'cancel' | 'resolve';
  readonly task: string;
  /** Hash of what was submitted; the same id with other content is another body. */
  readonly body?: string;
  readonly at: number;
  readonly until: number;
  readonly status: number | null;
  readonly code?: string;
};

/**
 * Written and fsynced by the witness before it answers. `start`: a handler was called; `effect`: the outside world was
 * changed; `refused`: it was asked for an effect and compared fences, or had testified that this attempt will not happen;
 * `testified`: it answered a `verify` hook.
 */
export type WitnessLine = {
  readonly kind: 'start' | 'effect' | 'refused' | 'testified';
  readonly task: string;
  readonly type: string;
  readonly attempt: number;
  /** Of the claim; 0 where it is not known (`testified`). */
  readonly fence: number;
  readonly pid: number;
  /** When the sender sent it, by its own clock, which may be disturbed. */
  readonly sentAt: number;
  readonly at: number;
  /** Of a `start`: what this call of the handler is going to do. */
  readonly plan?: string;
  /** Of `testified`. */
  readonly answer?: 'completed' | 'notExecuted' | 'unknown';
};

/** A process's trust in its session, as its log says it: `at` is its own clock's, which a `clock-jump` disturbs. */
export type TrustLine = {
  readonly pid: number;
  readonly session: string | null;
  readonly trusted: boolean;
  readonly at: number;
};

export type LedgerLine = { readonly version: number; readonly record: unknown };
