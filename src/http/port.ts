// port.ts: what the API asks of the product. The library's `Claimkeeper` fits; the tests' twin is theirs.

import type {
  ClaimkeeperError,
  EpochMs,
  FleetMember,
  Json,
  Resolution,
  State,
  TaskId,
  TaskRecord,
} from '../domain/index.js';
import type { OverviewService } from './overview-port.js';
import type { ScheduleService } from './schedule-port.js';

export type SubmitOutcome =
  | {
      /** `same`: a task of that id and content was accepted before. */
      readonly kind: 'created' | 'same';
      readonly id: TaskId;
      readonly state: State;
      /** Until then the same id means the same task. */
      readonly dedupUntil: EpochMs;
    }
  | { readonly kind: 'refused'; readonly error: ClaimkeeperError };

export interface TaskService extends OverviewService {
  /** Inputs as they came, validated by `parseSubmission`. One outcome per input, in order; never rejects for one's fault. */
  submitMany(inputs: readonly unknown[]): Promise<readonly SubmitOutcome[]>;
  get(id: string): Promise<TaskRecord | null>;
  /** What that attempt of the task last said of how far it is; null: nothing. */
  progress(attempt: Pick<TaskRecord, 'id' | 'attempt'>): Promise<Json | null>;
  /** @throws ClaimkeeperError `TASK_NOT_FOUND`, `MOVE_REFUSED`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED` */
  replay(id: string): Promise<TaskRecord>;
  /** @throws ClaimkeeperError as {@link replay} */
  cancel(id: string): Promise<TaskRecord>;
  /** @throws ClaimkeeperError as {@link replay} */
  resolve(id: string, as: Resolution['as'], note: string): Promise<TaskRecord>;
  readonly schedules: ScheduleService;
  /** The workers that are alive. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
  fleet(): Promise<readonly FleetMember[]>;
  /**
   * Resolves once the task has ended (completed, failed, cancelled, uncertain), or is not there, or `signal` aborts.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  untilEnded(id: string, signal: AbortSignal): Promise<void>;
  stats(): ServiceStats;
  ready(): Readiness;
}

/** `ready`: tasks can be accepted. The others say in a word how each server is; Redis being away does not forbid it. */
export type Readiness = { readonly ready: boolean; readonly zookeeper: string; readonly redis: string };

/** Counters of the life of the process. */
export type ServiceStats = {
  /** Group commit: transactions go to ZooKeeper in multis. */
  readonly commits: {
    readonly multis: number;
    readonly operations: number;
    readonly transactions: number;
    readonly refusedMultis: number;
  };
  /** Deliveries that were given up; the reconciler repeats them. */
  readonly deliveriesDropped: number;
  readonly viewWordsDropped: number;
};
