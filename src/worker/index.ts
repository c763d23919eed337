export type { Ending } from './run.js';
export {
  type BreakerPolicy,
  defineTask,
  type HandledTask,
  type TaskContext,
  type TaskType,
  type TaskTypeOptions,
  type VerifyVerdict,
} from './task-type.js';
export { type Delivery, type Source, Worker, type WorkerEvents, type WorkerOptions } from './worker.js';
