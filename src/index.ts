export {
  Claimkeeper,
  connect,
  type FleetMember,
  type Readiness,
  type SubmitManyOutcome,
  type Submitted,
} from './claimkeeper.js';
export {
  ClaimkeeperError,
  type ErrorCode,
  errorRegistry,
  type Json,
  type KeyInput,
  type KeyScope,
  type Misfire,
  NonRetryable,
  type OnInterrupted,
  RetryAfter,
  type RetryPolicy,
  type ScheduleInput,
  type SkipReason,
  type State,
  type SubmissionInput,
  type TaskRecord,
} from './domain/index.js';
export type { CreatedKey, Keys, KeyView } from './keys.js';
export type { ConnectOptions, WorkerSettings } from './options.js';
export { createLogger, type Logger } from './runtime/index.js';
export type { CreatedSchedule, Schedules, ScheduleView } from './schedules.js';
export {
  type BreakerPolicy,
  defineTask,
  type HandledTask,
  type TaskContext,
  type TaskType,
  type TaskTypeOptions,
  type VerifyVerdict,
} from './worker/index.js';
