export {
  Claimkeeper,
  connect,
  type Readiness,
  type Stats,
  type SubmitManyOutcome,
  type Submitted,
} from './claimkeeper.js';
export type { FeedItem, TaskEvent } from './delivery/index.js';
export {
  ClaimkeeperError,
  type CreatedSchedule,
  type ErrorCode,
  errorRegistry,
  type FleetMember,
  type FollowInput,
  type Json,
  type KeyInput,
  type KeyScope,
  type ListInput,
  type Misfire,
  NonRetryable,
  type OnInterrupted,
  RetryAfter,
  type RetryPolicy,
  type ScheduleInput,
  type SchedulePage,
  type ScheduleView,
  type SkipReason,
  type State,
  type SubmissionInput,
  type TaskRecord,
  type TaskSummary,
} from './domain/index.js';
export type { CreatedKey, Keys, KeyView } from './keys.js';
export type { QueueSetting } from './ledger/index.js';
export type { ConnectOptions, WorkerSettings } from './options.js';
export type { QueueList, QueueView, TaskList } from './overview.js';
export { createLogger, type Logger } from './runtime/index.js';
export type { Schedules } from './schedules.js';
export {
  type BreakerPolicy,
  defineTask,
  type HandledTask,
  type TaskContext,
  type TaskType,
  type TaskTypeOptions,
  type VerifyVerdict,
} from './worker/index.js';
