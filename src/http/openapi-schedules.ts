// openapi-schedules.ts: the routes of schedule-routes.ts, written down.

import { limits } from '../domain/index.js';
import {
  answer,
  location,
  type Operation,
  ofReading,
  ofWriting,
  type Parameter,
  ref,
  textHeader,
} from './openapi-parts.js';
import { scheduleId, time } from './openapi-schemas.js';

const tag = 'Schedules';
const id: Parameter = { name: 'id', in: 'path', description: "The schedule's id", schema: scheduleId };
const ifMatch: Parameter = {
  name: 'If-Match',
  in: 'header',
  description: 'Only if it is still at that revision, in double quotes as the ETag has it; *: at any',
  schema: { type: 'string' },
};
const ticksAsked: readonly Parameter[] = [
  {
    name: 'count',
    in: 'query',
    description: 'How many ticks',
    schema: { type: 'integer', minimum: 1, maximum: limits.ticksMax, default: 5 },
  },
  { name: 'from', in: 'query', description: 'Ticks later than that; default: now', schema: time },
];
const etag = { ETag: textHeader('Its revision, in double quotes') };
const definitionProblems = ['SCHEDULE_INVALID', 'NAME_INVALID', 'PAYLOAD_TOO_LARGE'] as const;
const onOne = ['SCHEDULE_INVALID', 'SCHEDULE_NOT_FOUND', 'SCHEDULE_UNREADABLE', 'QUEUE_FORBIDDEN'] as const;
const shownNow = answer('As it then is.', ref('Schedule'), etag);
const act = { tag, scope: 'operate', parameters: [id], answers: { 200: shownNow } } as const;

/** By path and method, as OpenAPI has them. */
export const scheduleOperations: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  '/v1/schedules': {
    get: {
      id: 'listSchedules',
      summary: 'Schedules by id, a page at a time',
      tag,
      scope: 'read',
      parameters: [
        {
          name: 'limit',
          in: 'query',
          description: 'How many',
          schema: { type: 'integer', minimum: 1, maximum: limits.schedulesPageMax, default: 50 },
        },
        { name: 'cursor', in: 'query', description: 'As the page before has it', schema: scheduleId },
      ],
      answers: { 200: answer('A page.', ref('SchedulePage')) },
      problems: ofReading,
    },
    post: {
      id: 'createSchedule',
      summary: 'Makes a schedule; the same definition again is the same schedule',
      tag,
      scope: 'operate',
      body: { schema: ref('ScheduleDefinition'), required: true },
      answers: {
        200: answer('The same schedule was there.', ref('Schedule'), { ...location, ...etag }),
        201: answer('Made.', ref('Schedule'), { ...location, ...etag }),
      },
      problems: [
        ...ofWriting,
        ...definitionProblems,
        'SCHEDULE_CONFLICT',
        'SCHEDULE_LIMIT',
        'QUEUE_FORBIDDEN',
        'SCHEDULE_UNREADABLE',
      ],
    },
  },
  '/v1/schedules/{id}': {
    get: {
      id: 'getSchedule',
      summary: 'A schedule: its definition, and how far it has fired',
      tag,
      scope: 'read',
      parameters: [id],
      answers: { 200: answer('As it is now.', ref('Schedule'), etag) },
      problems: [...ofReading, ...onOne],
    },
    put: {
      id: 'updateSchedule',
      summary: 'Replaces its definition',
      description:
        'With a revision, in If-Match or in the body, only the one that was read. A change of its times holds from now on.',
      tag,
      scope: 'operate',
      parameters: [id, ifMatch],
      body: { schema: ref('ScheduleChange'), required: true },
      answers: { 200: shownNow },
      problems: [...ofWriting, ...onOne, ...definitionProblems, 'SCHEDULE_CHANGED', 'PRECONDITION_FAILED'],
    },
    delete: {
      id: 'removeSchedule',
      summary: 'Removes it; tasks that it has fired stay',
      tag,
      scope: 'operate',
      parameters: [id, ifMatch],
      answers: { 204: { description: 'Removed.' } },
      problems: [...ofWriting, ...onOne, 'PRECONDITION_FAILED'],
    },
  },
  '/v1/schedules/{id}/pause': {
    post: {
      ...act,
      id: 'pauseSchedule',
      summary: 'Nothing fires until it is resumed',
      problems: [...ofWriting, ...onOne],
    },
  },
  '/v1/schedules/{id}/resume': {
    post: {
      ...act,
      id: 'resumeSchedule',
      summary: 'Fires again, from the first tick after now on',
      problems: [...ofWriting, ...onOne],
    },
  },
  '/v1/schedules/{id}/run': {
    post: {
      id: 'runSchedule',
      summary: 'Submits a task of it now, apart from its ticks',
      description: 'The same key is the same task, `<id>@run-<key>`; without one it is a new one every time.',
      tag,
      scope: 'operate',
      parameters: [id],
      body: { schema: ref('Run'), required: false },
      answers: {
        200: answer('The task of that key was there.', ref('Accepted'), location),
        201: answer('Accepted.', ref('Accepted'), location),
      },
      problems: [...ofWriting, ...onOne, 'TASK_CONFLICT', 'TASK_ID_INVALID', 'RECORD_UNREADABLE'],
    },
  },
  '/v1/schedules/{id}/next': {
    get: {
      id: 'nextTicks',
      summary: 'Its ticks to come, paused or not',
      tag,
      scope: 'read',
      parameters: [id, ...ticksAsked],
      answers: { 200: answer('The ticks.', ref('Ticks')) },
      problems: [...ofReading, ...onOne],
    },
  },
  '/v1/schedules/preview': {
    post: {
      id: 'previewSchedule',
      summary: 'The ticks to come of a definition that is not stored',
      tag,
      scope: 'read',
      parameters: ticksAsked,
      body: { schema: ref('ScheduleDefinition'), required: true },
      answers: { 200: answer('The ticks.', ref('Ticks')) },
      problems: definitionProblems,
    },
  },
};
