export { type ApiErrorCode, ClaimkeeperApiError } from './api-error.js';
export { ClaimkeeperClient } from './client.js';
export type { ClientOptions } from './request.js';
export type { SchedulesClient, TicksAsked } from './schedules.js';
export type {
  Accepted,
  Attempt,
  Outcomes,
  Problem,
  Refused,
  Resolution,
  Schedule,
  ScheduleChange,
  ScheduleDefinition,
  State,
  Submission,
  Task,
  Worker,
} from './shapes.js';
