export { type ApiErrorCode, ClaimkeeperApiError } from './api-error.js';
export { ClaimkeeperClient, type EventFilter, type ListFilter } from './client.js';
export type { StreamItem } from './events.js';
export type { ClientOptions } from './request.js';
export type { SchedulesClient, TicksAsked } from './schedules.js';
export type {
  Accepted,
  Attempt,
  Change,
  Outcomes,
  Problem,
  Queue,
  QueueSetting,
  Queues,
  Refused,
  Resolution,
  Schedule,
  ScheduleChange,
  ScheduleDefinition,
  State,
  Submission,
  Summary,
  Task,
  TaskPage,
  Worker,
} from './shapes.js';
