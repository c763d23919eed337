// openapi-overview.ts: the routes of list-routes.ts, queue-routes.ts and event-routes.ts, written down, with their shapes.

import { limits, states } from '../domain/index.js';
import {
  answer,
  type JsonSchema,
  type Operation,
  ofReading,
  ofWriting,
  type Parameter,
  ref,
} from './openapi-parts.js';
import {
  count,
  exactly,
  flag,
  listOf,
  name,
  taskId,
  textOrNull,
  time,
  timeOrNull,
} from './openapi-schemas.js';

const inQuery = (name: string, description: string, schema: JsonSchema): Parameter => ({
  name,
  in: 'query',
  description,
  schema,
});
const moment: JsonSchema = { anyOf: [time, { type: 'integer', minimum: 0, description: 'ms since 1970' }] };
const rebuilding: JsonSchema = {
  ...flag,
  description: 'Redis has lost its data and is being filled from the ledger: something may be missing',
};
const filters: readonly Parameter[] = [
  inQuery('state', 'Only those in this state', ref('State')),
  inQuery('queue', 'Only those of this queue', name),
  inQuery('type', 'Only those of this type', name),
];
const ofViews = ['REDIS_UNAVAILABLE', 'CLOSED'] as const;

const queueAct = {
  tag: 'Queues',
  scope: 'operate',
  parameters: [{ name: 'queue', in: 'path', description: "The queue's name", schema: name }],
  answers: { 200: answer('As it then is.', ref('QueueSetting')) },
  problems: [...ofWriting, 'NAME_INVALID', 'QUEUE_FORBIDDEN'],
} as const;

/** By path and method, as OpenAPI has them. */
export const overviewOperations: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  '/v1/tasks': {
    get: {
      id: 'listTasks',
      summary: 'Tasks, the newest first, a page at a time',
      description: 'A key for some queues lists one queue at a time.',
      tag: 'Tasks',
      scope: 'read',
      parameters: [
        ...filters,
        inQuery('errorCode', 'Only those whose last attempt ended with this error', {
          type: 'string',
          pattern: '^[A-Z][A-Z0-9_]{0,63}$',
        }),
        inQuery('acceptedAfter', 'Only those accepted then or later', moment),
        inQuery('acceptedBefore', 'Only those accepted earlier than that', moment),
        inQuery('limit', 'How many', {
          type: 'integer',
          minimum: 1,
          maximum: limits.listTasksMax,
          default: 50,
        }),
        inQuery('cursor', 'As the page before has it', { type: 'string' }),
      ],
      answers: { 200: answer('A page.', ref('TaskPage')) },
      problems: [...ofViews, 'NAME_INVALID', 'QUEUE_FORBIDDEN'],
    },
  },
  '/v1/queues': {
    get: {
      id: 'listQueues',
      summary: 'Every queue that has tasks or is paused, with its counts',
      description: 'A key for some queues sees those.',
      tag: 'Queues',
      scope: 'read',
      answers: { 200: answer('The queues.', ref('Queues')) },
      problems: [...ofReading, 'REDIS_UNAVAILABLE'],
    },
  },
  '/v1/queues/{queue}/pause': {
    post: {
      ...queueAct,
      id: 'pauseQueue',
      summary: 'No worker takes tasks of the queue any more; those that run go on',
    },
  },
  '/v1/queues/{queue}/resume': {
    post: { ...queueAct, id: 'resumeQueue', summary: 'Lets the queue go on' },
  },
  '/v1/events': {
    get: {
      id: 'followEvents',
      summary: 'Changes of state as they happen, as server-sent events',
      description:
        'An event `task` has a `Change` as its data; `gap` says that some are no longer kept. Without an end: it goes on after `Last-Event-ID`.',
      tag: 'Tasks',
      scope: 'read',
      parameters: [
        ...filters,
        inQuery('after', 'From the event after this one on; 0: from the oldest that is kept', {
          type: 'string',
          pattern: '^[0-9]{1,16}(-[0-9]{1,16})?$',
        }),
        {
          name: 'Last-Event-ID',
          in: 'header',
          description: 'As `after`, which it overrules',
          schema: { type: 'string' },
        },
      ],
      answers: {
        200: {
          description: 'The stream.',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
      },
      problems: [...ofViews, 'NAME_INVALID', 'QUEUE_FORBIDDEN', 'FOLLOWERS_LIMIT'],
    },
  },
};

/** By their names in the document. */
export const overviewSchemas: Readonly<Record<string, JsonSchema>> = {
  Summary: exactly({
    id: taskId,
    type: name,
    queue: name,
    state: ref('State'),
    attempt: { type: 'integer', minimum: 1 },
    acceptedAt: time,
    startedAt: timeOrNull,
    finishedAt: timeOrNull,
    errorCode: { ...textOrNull, description: 'Of the last attempt that ended' },
    replays: count,
    worker: textOrNull,
  }),
  TaskPage: exactly({
    tasks: listOf(ref('Summary')),
    cursor: { ...textOrNull, description: 'Of the next page; null: this is the last' },
    rebuilding,
  }),
  Queue: exactly({
    queue: name,
    counts: exactly(Object.fromEntries(states.map((state) => [state, count]))),
    oldestDueMs: {
      type: ['number', 'null'],
      description: 'For how long the longest waiting of those that are due could have run; null: none is due',
    },
    paused: flag,
    pausedSince: timeOrNull,
  }),
  Queues: exactly({ queues: listOf(ref('Queue')), rebuilding }),
  QueueSetting: exactly({ queue: name, paused: flag, since: timeOrNull }),
  Change: exactly({
    at: { ...time, description: 'When it was seen' },
    from: {
      oneOf: [ref('State'), { type: 'null' }],
      description: 'The state before, as far as is known',
    },
    task: ref('Summary'),
  }),
};
