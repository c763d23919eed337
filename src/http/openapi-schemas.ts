// openapi-schemas.ts: the shapes that the API takes and gives, as JSON Schema. What it takes comes from the schemas that
// validate it, with what their parsers look at beyond; what it gives is written down here.

import { z } from 'zod';
import {
  errorRegistry,
  limits,
  policySchema,
  resolutionSchema,
  scheduleSchema,
  states,
  submissionSchema,
} from '../domain/index.js';
import { type JsonSchema, ref } from './openapi-parts.js';

const idAlphabet = 'A-Za-z0-9._:@~-';
const nameAlphabet = 'A-Za-z0-9._-';

export const taskId: JsonSchema = {
  type: 'string',
  pattern: `^(?!\\.)[${idAlphabet}]{1,${limits.taskIdCharsMax}}$`,
  description: 'Idempotency key: the same id with the same content is the same task',
  examples: ['welcome:17'],
};
export const scheduleId: JsonSchema = {
  type: 'string',
  pattern: `^(?!\\.)[${idAlphabet}]{1,${limits.scheduleIdCharsMax}}$`,
  examples: ['report'],
};
export const name: JsonSchema = {
  type: 'string',
  pattern: `^(?!\\.)[${nameAlphabet}]{1,${limits.nameCharsMax}}$`,
  examples: ['email'],
};
const json: JsonSchema = { description: 'Any JSON value', examples: [{ to: 'ada@example.org' }] };
const payload: JsonSchema = {
  description: `Any JSON value up to ${limits.payloadBytesMax} bytes, nested up to ${limits.payloadDepthMax} levels`,
  examples: [{ to: 'ada@example.org' }],
};
const text: JsonSchema = { type: 'string' };
export const count: JsonSchema = { type: 'integer', minimum: 0 };
export const flag: JsonSchema = { type: 'boolean' };
export const time: JsonSchema = { type: 'string', format: 'date-time' };
export const timeOrNull: JsonSchema = { type: ['string', 'null'], format: 'date-time' };
export const textOrNull: JsonSchema = { type: ['string', 'null'] };
const anyTime = (description: string): JsonSchema => ({
  description,
  anyOf: [time, { type: 'number', minimum: 0, maximum: 8.64e15, description: 'ms since 1970' }],
});
const moment = `ISO 8601 with an offset, or ms since 1970`;

/** All of them are there, and no others. */
export function exactly(properties: Readonly<Record<string, JsonSchema>>, more: JsonSchema = {}): JsonSchema {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
    ...more,
  };
}

export function listOf(items: JsonSchema): JsonSchema {
  return { type: 'array', items };
}

type Properties = Record<string, JsonSchema>;

/** Of a strict object; what its schema leaves to a parser is given by `more`. */
function taken(schema: z.ZodObject, required: readonly string[], more: Properties): JsonSchema {
  const { properties } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const own = { ...(properties as Properties), ...more };
  return { type: 'object', properties: own, required, additionalProperties: false };
}

const taskFields: Properties = {
  type: name,
  queue: { ...name, default: 'default', examples: ['default'] },
  payload,
};
const policy = z.toJSONSchema(policySchema, { io: 'input' }).properties as Properties;

const submissionFields: Properties = {
  id: taskId,
  ...taskFields,
  priority: {
    type: 'integer',
    minimum: 0,
    maximum: limits.priorityMax,
    default: 0,
    description: '0: most urgent',
  },
  runAt: anyTime(`Not before this time: ${moment}. Not together with delayMs`),
};
const submissionRules: JsonSchema = {
  not: { required: ['delayMs', 'runAt'] },
  examples: [{ id: 'welcome:17', type: 'email', payload: { to: 'ada@example.org' } }],
};
const scheduleExample = {
  cron: '0 6 * * MON-FRI',
  timeZone: 'Europe/Berlin',
  task: { type: 'report', payload: { of: 'yesterday' } },
};

function definition(required: readonly string[], more: Properties = {}): JsonSchema {
  return taken(scheduleSchema, required, {
    id: scheduleId,
    cron: {
      type: 'string',
      maxLength: limits.cronCharsMax,
      description: 'Five fields, or six with the second first',
      examples: ['0 6 * * MON-FRI'],
    },
    timeZone: { type: 'string', maxLength: 100, default: 'UTC', description: 'IANA name' },
    task: {
      type: 'object',
      properties: { ...taskFields, priority: submissionFields.priority as JsonSchema, ...policy },
      required: ['type'],
      additionalProperties: false,
      description: 'What each tick submits',
    },
    startAt: anyTime(`No tick before it: ${moment}`),
    endAt: anyTime(`No tick at or after it: ${moment}`),
    ...more,
  });
}

const attempt = exactly({
  n: { type: 'integer', minimum: 1 },
  worker: text,
  startedAt: time,
  endedAt: time,
  outcome: { enum: ['succeeded', 'failed', 'unsettled', 'interrupted', 'notExecuted'] },
  error: { oneOf: [exactly({ code: text, message: text }), { type: 'null' }] },
});

const task: JsonSchema = exactly({
  id: taskId,
  type: name,
  queue: name,
  payload: json,
  priority: count,
  state: ref('State'),
  attempt: { type: 'integer', minimum: 1, description: 'Next (waiting), now (running) or last' },
  attempts: {
    ...listOf(ref('Attempt')),
    maxItems: limits.attemptsKept,
    description: 'Ended ones, the oldest first',
  },
  onInterrupted: { enum: ['park', 'verify', 'rerun', null] },
  notBefore: timeOrNull,
  acceptedAt: time,
  startedAt: timeOrNull,
  finishedAt: timeOrNull,
  worker: textOrNull,
  progress: json,
  cancelRequested: flag,
  replays: count,
  note: textOrNull,
});

const schedule = exactly({
  id: scheduleId,
  cron: text,
  timeZone: text,
  task: {
    type: 'object',
    properties: { type: name, queue: name, payload: json, priority: count, ...policy },
    required: ['type', 'queue', 'payload', 'priority'],
    additionalProperties: false,
  },
  misfire: exactly({
    policy: { enum: ['skip', 'once', 'all'] },
    afterMs: count,
    ticksMax: count,
    ageMsMax: count,
  }),
  jitterMs: count,
  startAt: timeOrNull,
  endAt: timeOrNull,
  overlap: { enum: ['allow', 'skip'] },
  paused: flag,
  revision: { ...text, description: 'Names this state of the definition; in quotes it is the ETag' },
  since: { ...time, description: 'No tick up to then fires' },
  createdAt: time,
  updatedAt: time,
  next: { ...timeOrNull, description: 'The first tick that is not decided' },
  last: { oneOf: [exactly({ tick: time, task: text }), { type: 'null' }] },
  skipped: { oneOf: [exactly({ tick: time, why: { enum: ['late', 'overlap'] } }), { type: 'null' }] },
});

const worker = exactly({
  id: text,
  pid: count,
  host: text,
  queues: listOf(name),
  types: listOf(name),
  concurrency: count,
  startedAt: time,
  session: { ...text, description: 'Its ZooKeeper session' },
  tasks: { ...listOf(taskId), description: 'What it has claimed now' },
});

const problem: JsonSchema = {
  type: 'object',
  description: 'RFC 9457',
  properties: {
    type: { type: 'string', pattern: '^urn:claimkeeper:error:[A-Z_]+$' },
    title: text,
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string', minLength: 1, description: 'What was wrong this time, and what to do' },
    code: { enum: Object.keys(errorRegistry), description: 'Keeps its meaning for ever' },
    retryable: { ...flag, description: 'Whether the same request may succeed later' },
    field: { ...text, description: 'The field, parameter or header at fault, where there is one' },
  },
  required: ['type', 'title', 'status', 'detail', 'code', 'retryable'],
  additionalProperties: false,
};

/** By their names in the document. */
export function schemas(): Readonly<Record<string, JsonSchema>> {
  return {
    State: { enum: states },
    Submission: { ...taken(submissionSchema, ['id', 'type'], submissionFields), ...submissionRules },
    KeyedSubmission: {
      ...taken(submissionSchema, ['type'], submissionFields),
      ...submissionRules,
      description: 'The id may come from Idempotency-Key instead',
    },
    Batch: exactly({
      tasks: { ...listOf({}), maxItems: limits.batchTasksMax, description: 'Each a Submission' },
    }),
    Accepted: exactly({
      kind: { enum: ['created', 'same'] },
      id: taskId,
      state: ref('State'),
      dedupUntil: { ...time, description: 'Until then at least, the same id means this task' },
    }),
    Refused: exactly({ kind: { const: 'refused' }, error: ref('Problem') }),
    Outcomes: exactly({ outcomes: listOf({ oneOf: [ref('Accepted'), ref('Refused')] }) }),
    Task: {
      ...task,
      properties: { ...(task.properties as Properties), result: json, resultOmittedBytes: count },
    },
    Attempt: attempt,
    Resolution: taken(resolutionSchema, ['as', 'note'], {
      note: {
        type: 'string',
        pattern: '\\S',
        maxLength: limits.errorMessageCharsMax,
        description: 'How you know',
      },
    }),
    ScheduleDefinition: {
      ...definition(['id', 'cron', 'task']),
      examples: [{ id: 'report', ...scheduleExample }],
    },
    ScheduleChange: {
      ...definition(['cron', 'task'], {
        revision: { ...text, description: 'Only if it is still at that revision' },
      }),
      examples: [scheduleExample],
    },
    Schedule: schedule,
    SchedulePage: exactly({
      schedules: listOf(ref('Schedule')),
      cursor: { ...textOrNull, description: 'Of the next page; null: this is the last' },
    }),
    Run: {
      type: 'object',
      properties: {
        key: {
          type: 'string',
          pattern: `^[${nameAlphabet.replace('-', '~-')}]{1,${limits.runKeyCharsMax}}$`,
        },
      },
      additionalProperties: false,
    },
    Ticks: exactly({ ticks: listOf(time) }),
    Worker: worker,
    Workers: exactly({ workers: listOf(ref('Worker')) }),
    Liveness: exactly({ status: { const: 'alive' } }),
    Readiness: exactly({ status: { enum: ['ready', 'not ready'] }, zookeeper: text, redis: text }),
    Problem: problem,
  };
}
