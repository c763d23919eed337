// schedule-routes.ts: schedules over HTTP: made, looked up, changed at a revision, paused, resumed, run, removed, and their
// ticks to come.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ClaimkeeperError, limits, parseScheduleId, type ScheduleView, shown } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import type { Caller } from './access.js';
import { type Overdue, withDeadline } from './deadline.js';
import { refuseBody } from './json.js';
import { ifMatchOf, invalid, textOf, timeOf, wholeNumberOf } from './parameters.js';
import type { TaskService } from './port.js';
import { guarded } from './queue-guard.js';
import type { ScheduleService, TicksAsked } from './schedule-port.js';
import { scheduleViewOf } from './schedule-view.js';
import { iso, outcomeView } from './view.js';

type ScheduleRoute = { Params: { id: string } };

const pageDefault = 50;

export function addScheduleRoutes(app: FastifyInstance, tasks: TaskService, runtime: Runtime): void {
  const of: Of = (caller) => guarded(tasks, caller).schedules;
  const inTime = <T>(work: Promise<T>, overdue: Overdue): Promise<T> => withDeadline(runtime, work, overdue);

  app.post('/v1/schedules', { config: { scope: 'operate', query: [] } }, async ({ body, caller }, reply) => {
    const { created, schedule } = await inTime(of(caller).create(body), 'OUTCOME_UNKNOWN');
    reply.code(created ? 201 : 200).header('location', `/v1/schedules/${schedule.id}`);
    return shownWithTag(schedule, reply);
  });

  app.get(
    '/v1/schedules',
    { config: { scope: 'read', query: ['limit', 'cursor'] } },
    async ({ query, caller }) => {
      const limit = wholeNumberOf(query, 'limit', 1, limits.schedulesPageMax) ?? pageDefault;
      const cursor = textOf(query, 'cursor');
      const after = cursor === undefined ? {} : { after: cursorOf(cursor) };
      const page = await inTime(of(caller).list({ ...after, limit }), 'ZOOKEEPER_UNAVAILABLE');
      return {
        schedules: page.map(scheduleViewOf),
        cursor: page.length < limit ? null : (page.at(-1)?.id ?? null),
      };
    },
  );

  app.get<ScheduleRoute>(
    '/v1/schedules/:id',
    { config: { scope: 'read', query: [] } },
    async ({ params, caller }, reply) => {
      const id = parseScheduleId(params.id);
      const schedule = await inTime(of(caller).get(id), 'ZOOKEEPER_UNAVAILABLE');
      if (schedule !== null) return shownWithTag(schedule, reply);
      throw new ClaimkeeperError('SCHEDULE_NOT_FOUND', `there is no schedule ${id}`, { field: 'id' });
    },
  );

  app.put<ScheduleRoute>(
    '/v1/schedules/:id',
    { config: { scope: 'operate', query: [] } },
    async (request, reply) => {
      const id = parseScheduleId(request.params.id);
      const { input, revision } = changeOf(id, request);
      const change = of(request.caller).update(input, revision === undefined ? {} : { revision });
      return shownWithTag(await atRevision(request, inTime(change, 'OUTCOME_UNKNOWN')), reply);
    },
  );

  app.delete<ScheduleRoute>(
    '/v1/schedules/:id',
    { config: { scope: 'operate', query: [] } },
    async (request, reply) => {
      refuseBody(request.body);
      const revision = ifMatchOf(request);
      const id = parseScheduleId(request.params.id);
      const removal = of(request.caller).remove(id, revision === undefined ? {} : { revision });
      await atRevision(request, inTime(removal, 'OUTCOME_UNKNOWN'));
      return reply.code(204).send();
    },
  );

  addActs(app, of, inTime);
  addTicks(app, of, inTime);
}

type Of = (caller: Caller) => ScheduleService;
type InTime = <T>(work: Promise<T>, overdue: Overdue) => Promise<T>;

function addActs(app: FastifyInstance, of: Of, inTime: InTime): void {
  app.post<ScheduleRoute>(
    '/v1/schedules/:id/pause',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }, reply) => {
      refuseBody(body);
      const paused = of(caller).pause(parseScheduleId(params.id));
      return shownWithTag(await inTime(paused, 'OUTCOME_UNKNOWN'), reply);
    },
  );

  app.post<ScheduleRoute>(
    '/v1/schedules/:id/resume',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }, reply) => {
      refuseBody(body);
      const resumed = of(caller).resume(parseScheduleId(params.id));
      return shownWithTag(await inTime(resumed, 'OUTCOME_UNKNOWN'), reply);
    },
  );

  app.post<ScheduleRoute>(
    '/v1/schedules/:id/run',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }, reply) => {
      const run = of(caller).runNow(parseScheduleId(params.id), keyIn(body));
      const { created, ...task } = await inTime(run, 'OUTCOME_UNKNOWN');
      reply.code(created ? 201 : 200).header('location', `/v1/tasks/${task.id}`);
      return outcomeView({ kind: created ? 'created' : 'same', ...task });
    },
  );
}

function addTicks(app: FastifyInstance, of: Of, inTime: InTime): void {
  app.get<ScheduleRoute>(
    '/v1/schedules/:id/next',
    { config: { scope: 'read', query: ['count', 'from'] } },
    async ({ params, query, caller }) => {
      const ticks = of(caller).next(parseScheduleId(params.id), ticksAsked(query));
      return { ticks: (await inTime(ticks, 'ZOOKEEPER_UNAVAILABLE')).map(iso) };
    },
  );

  app.post(
    '/v1/schedules/preview',
    { config: { scope: 'read', query: ['count', 'from'] } },
    async ({ body, query, caller }) => ({ ticks: of(caller).preview(body, ticksAsked(query)).map(iso) }),
  );
}

function shownWithTag(schedule: ScheduleView, reply: FastifyReply): object {
  reply.header('etag', `"${schedule.revision}"`);
  return scheduleViewOf(schedule);
}

function ticksAsked(query: unknown): TicksAsked {
  const count = wholeNumberOf(query, 'count', 1, limits.ticksMax);
  const from = timeOf(query, 'from');
  return { ...(count === undefined ? {} : { count }), ...(from === undefined ? {} : { from }) };
}

/** A page's `cursor` is the id of its last schedule. @throws ClaimkeeperError `REQUEST_INVALID` */
function cursorOf(cursor: string): string {
  try {
    return parseScheduleId(cursor);
  } catch {
    throw invalid(
      'cursor',
      `cursor: ${shown(cursor)} was not given by this API: use "cursor" of the page before`,
    );
  }
}

/** The id may be left out of the body; the revision is in it or in `If-Match`. @throws ClaimkeeperError `REQUEST_INVALID` */
function changeOf(id: string, request: FastifyRequest): { input: unknown; revision: string | undefined } {
  const ifMatch = ifMatchOf(request);
  const { body } = request;
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return { input: body, revision: ifMatch };
  const { revision, ...definition } = body as { revision?: unknown; id?: unknown };
  if (definition.id !== undefined && definition.id !== id) {
    throw invalid(
      'id',
      `the body is of schedule ${shown(definition.id)}, the path of ${shown(id)}: leave the id out`,
    );
  }
  if (revision !== undefined && typeof revision !== 'string') {
    throw invalid('revision', `revision: ${shown(revision)} is no text: give it as it was read`);
  }
  if (revision !== undefined && ifMatch !== undefined && revision !== ifMatch) {
    throw invalid(
      'revision',
      `the revision is ${shown(revision)}, If-Match says ${shown(ifMatch)}: give one`,
    );
  }
  return { input: { ...definition, id }, revision: revision ?? ifMatch };
}

/** HTTP has a status of its own for a change that `If-Match` forbids. */
async function atRevision<T>(request: FastifyRequest, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const stale = error instanceof ClaimkeeperError && error.code === 'SCHEDULE_CHANGED';
    if (!stale || ifMatchOf(request) === undefined) throw error;
    throw new ClaimkeeperError('PRECONDITION_FAILED', error.message, { field: 'If-Match' });
  }
}

/** @throws ClaimkeeperError `REQUEST_INVALID` */
function keyIn(body: unknown): { readonly key?: string } {
  if (body === undefined) return {};
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  const unknown = isObject ? Object.keys(body).find((key) => key !== 'key') : undefined;
  const message = 'a run takes no body, or { "key": "text" }: the same key is the same task';
  if (!isObject || unknown !== undefined) throw invalid(unknown ?? 'key', message);
  const { key } = body as { key?: unknown };
  if (key === undefined) return {};
  if (typeof key !== 'string') throw invalid('key', message);
  return { key };
}
