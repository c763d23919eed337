export { type Api, createApi } from './api.js';
export type { ApiOptions } from './app.js';
export type { Readiness, ServiceStats, SubmitOutcome, TaskService } from './port.js';
export type { Problem } from './problem.js';
export type { RunOutcome, ScheduleService, TicksAsked } from './schedule-port.js';
export type { ScheduleView } from './schedule-view.js';
export { type AttemptView, type TaskView, viewOf } from './view.js';
export type { WorkerView } from './worker-routes.js';
