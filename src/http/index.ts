export { type Api, createApi } from './api.js';
export type { ApiOptions } from './app.js';
export type { OverviewService } from './overview-port.js';
export type { Readiness, SubmitOutcome, TaskService } from './port.js';
export type { Problem } from './problem.js';
export type { EventView, QueueView, SummaryView } from './summary-view.js';
export { type AttemptView, type TaskView, viewOf } from './view.js';
