export { PausableSource } from './pausable.js';
export type { Ending } from './run.js';
export type { Delivery, Source } from './source.js';
export {
  type BreakerPolicy,
  defineTask,
  type HandledTask,
  type TaskContext,
  type TaskType,
  type TaskTypeOptions,
  type VerifyVerdict,
} from './task-type.js';
export { Worker, type WorkerEvents, type WorkerOptions } from './worker.js';
