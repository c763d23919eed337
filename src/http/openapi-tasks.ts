// openapi-tasks.ts: the routes of task-routes.ts, written down.

import { limits } from '../domain/index.js';
import { answer, location, type Operation, ofReading, ofWriting, ref } from './openapi-parts.js';
import { taskId } from './openapi-schemas.js';

const tag = 'Tasks';
const id = { name: 'id', in: 'path', description: "The task's id", schema: taskId } as const;

const act = {
  tag,
  scope: 'operate',
  parameters: [id],
  answers: { 200: answer('As it then is.', ref('Task')) },
} as const;
const ofActs = [
  ...ofWriting,
  'TASK_ID_INVALID',
  'TASK_NOT_FOUND',
  'MOVE_REFUSED',
  'QUEUE_FORBIDDEN',
  'RECORD_UNREADABLE',
] as const;

/** By path and method, as OpenAPI has them. */
export const taskOperations: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  '/v1/tasks': {
    post: {
      id: 'submitTask',
      summary: 'Accepts a task',
      description: 'Once it is answered 201 or 200, the task is in the ledger and is not lost.',
      tag,
      scope: 'submit',
      parameters: [
        {
          name: 'Idempotency-Key',
          in: 'header',
          description: "The task's id, where the body has none; where both are given they must be the same",
          schema: { type: 'string', maxLength: limits.taskIdCharsMax + 2 },
        },
      ],
      body: { schema: ref('KeyedSubmission'), required: true },
      answers: {
        200: answer('The same task was there.', ref('Accepted'), location),
        201: answer('Accepted.', ref('Accepted'), location),
      },
      problems: [
        ...ofWriting,
        ...([
          'TASK_ID_INVALID',
          'NAME_INVALID',
          'SUBMISSION_INVALID',
          'PAYLOAD_TOO_LARGE',
          'TASK_CONFLICT',
          'QUEUE_FORBIDDEN',
        ] as const),
        'RECORD_UNREADABLE',
      ],
    },
  },
  '/v1/tasks/batch': {
    post: {
      id: 'submitTasks',
      summary: `Accepts up to ${limits.batchTasksMax} tasks`,
      description: 'One outcome each, in order; one that is refused harms no other.',
      tag,
      scope: 'submit',
      body: { schema: ref('Batch'), required: true },
      answers: { 200: answer('What became of each.', ref('Outcomes')) },
      problems: [...ofWriting, 'BATCH_TOO_LARGE'],
    },
  },
  '/v1/tasks/{id}': {
    get: {
      id: 'getTask',
      summary: 'A task with its state, its attempts and its result',
      tag,
      scope: 'read',
      parameters: [
        id,
        {
          name: 'wait',
          in: 'query',
          description: `Seconds to wait for it to end (completed, failed, cancelled, uncertain): answered then, or when they are over. A process lets ${limits.waitsOpenMax} requests wait at once`,
          schema: { type: 'integer', minimum: 0, maximum: limits.waitSecondsMax, default: 0 },
        },
      ],
      answers: { 200: answer('As it is now.', ref('Task')) },
      problems: [
        ...ofReading,
        ...([
          'REDIS_UNAVAILABLE',
          'TASK_ID_INVALID',
          'TASK_NOT_FOUND',
          'RECORD_UNREADABLE',
          'WAITS_EXHAUSTED',
          'QUEUE_FORBIDDEN',
        ] as const),
      ],
    },
  },
  '/v1/tasks/{id}/replay': {
    post: {
      ...act,
      id: 'replayTask',
      summary: 'Runs a failed, cancelled or uncertain task again',
      problems: ofActs,
    },
  },
  '/v1/tasks/{id}/cancel': {
    post: {
      ...act,
      id: 'cancelTask',
      summary: 'Cancels a task that waits, asks one that runs to stop',
      problems: ofActs,
    },
  },
  '/v1/tasks/{id}/resolve': {
    post: {
      ...act,
      id: 'resolveTask',
      summary: 'Says what happened to an uncertain task',
      body: { schema: ref('Resolution'), required: true },
      problems: ofActs,
    },
  },
};
