export type { Brand, EpochMs, MonotonicMs } from './brand.js';
export { decodeRecord, encodeRecord } from './encoding.js';
export { ClaimkeeperError, type ErrorCode, errorRegistry, NonRetryable, RetryAfter } from './errors.js';
export type { FleetMember } from './fleet.js';
export {
  bucketOf,
  type Name,
  type Nonce,
  parseName,
  parseScheduleId,
  parseTaskId,
  type ScheduleId,
  shown,
  type TaskId,
  type WorkerId,
} from './ids.js';
export {
  type ApiKey,
  coversQueue,
  decodeKey,
  encodeKey,
  hashOfSecret,
  isSecretOf,
  type KeyId,
  type KeyInput,
  type KeyScope,
  keyScopes,
  keyText,
  newKey,
  parseKeyId,
  parseKeyInput,
  parseKeyText,
} from './key.js';
export { limits } from './limits.js';
export {
  cursorAt,
  type Filter,
  type FollowInput,
  type FollowQuery,
  type ListInput,
  type ListQuery,
  type Place,
  parseFollowing,
  parseListing,
} from './listing.js';
export { nearest, parseOptions } from './options.js';
export {
  type AttemptEntry,
  type AttemptError,
  type ClaimRef,
  type Held,
  type Hint,
  hintOf,
  newRecord,
  type Result,
  recordFormat,
  resultOf,
  type State,
  states,
  type TaskRecord,
} from './record.js';
export { parseResolution, type Resolution, resolutionSchema } from './resolution.js';
export { defaultRetryPolicy, type RetryPolicy, retryDelayMs } from './retry.js';
export {
  type Cursor,
  decodeCursor,
  decodeSchedule,
  defaultMisfire,
  encodeCursor,
  encodeSchedule,
  firesAlike,
  type Misfire,
  nextTicks,
  parseSchedule,
  runId,
  type Schedule,
  type ScheduleContent,
  type ScheduleInput,
  type SkipReason,
  sameContent,
  scheduleFormat,
  scheduleSchema,
  taskOfTick,
  tickId,
  ticksOf,
} from './schedule.js';
export type { CreatedSchedule, SchedulePage, ScheduleView } from './schedule-view.js';
export { dueSince, type News, summaryOf, type TaskSummary } from './summary.js';
export {
  defaultPolicy,
  type Json,
  type OnInterrupted,
  type Policy,
  type PolicyOverride,
  parseSubmission,
  policySchema,
  resolvePolicy,
  type Submission,
  type SubmissionInput,
  submissionSchema,
} from './task.js';
export { type Move, type RecordEvent, type Refusal, table, transition, type Verdict } from './transitions.js';
