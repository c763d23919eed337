// task-routes.ts: tasks over HTTP: submitted one by one or in batches, looked up, replayed, cancelled, resolved.

import type { FastifyInstance } from 'fastify';
import { ClaimkeeperError, limits, parseResolution, parseTaskId, shown } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { type Overdue, withDeadline } from './deadline.js';
import { refuseBody } from './json.js';
import type { SubmitOutcome, TaskService } from './port.js';
import { problemOf } from './problem.js';
import { guarded } from './queue-guard.js';
import { iso, viewOf } from './view.js';

type TaskRoute = { Params: { id: string } };

export function addTaskRoutes(app: FastifyInstance, all: TaskService, runtime: Runtime): void {
  const inTime = <T>(work: Promise<T>, overdue: Overdue): Promise<T> => withDeadline(runtime, work, overdue);

  app.post('/v1/tasks', { config: { scope: 'submit' } }, async (request, reply) => {
    const tasks = guarded(all, request.caller);
    const [outcome] = await inTime(tasks.submitMany([request.body]), 'OUTCOME_UNKNOWN');
    if (outcome === undefined) throw new Error('the service gave no outcome');
    if (outcome.kind === 'refused') throw outcome.error;
    reply.code(outcome.kind === 'created' ? 201 : 200).header('location', `/v1/tasks/${outcome.id}`);
    return outcomeView(outcome);
  });

  app.post(
    '/v1/tasks/batch',
    { config: { scope: 'submit' }, bodyLimit: limits.batchBytesMax },
    async (request) => {
      const tasks = guarded(all, request.caller);
      const outcomes = await inTime(tasks.submitMany(batchOf(request.body)), 'OUTCOME_UNKNOWN');
      return { outcomes: outcomes.map(outcomeView) };
    },
  );

  app.get<TaskRoute>('/v1/tasks/:id', { config: { scope: 'read' } }, async ({ params, caller }) => {
    const tasks = guarded(all, caller);
    const id = parseTaskId(params.id);
    const record = await inTime(tasks.get(id), 'ZOOKEEPER_UNAVAILABLE');
    if (record === null) throw new ClaimkeeperError('TASK_NOT_FOUND', `there is no task ${shown(id)}`);
    return viewOf(record, record.state === 'running' ? await tasks.progress(id) : null);
  });

  app.post<TaskRoute>(
    '/v1/tasks/:id/replay',
    { config: { scope: 'operate' } },
    async ({ params, body, caller }) => {
      const tasks = guarded(all, caller);
      refuseBody(body);
      return viewOf(await inTime(tasks.replay(parseTaskId(params.id)), 'OUTCOME_UNKNOWN'), null);
    },
  );

  app.post<TaskRoute>(
    '/v1/tasks/:id/cancel',
    { config: { scope: 'operate' } },
    async ({ params, body, caller }) => {
      const tasks = guarded(all, caller);
      refuseBody(body);
      return viewOf(await inTime(tasks.cancel(parseTaskId(params.id)), 'OUTCOME_UNKNOWN'), null);
    },
  );

  app.post<TaskRoute>(
    '/v1/tasks/:id/resolve',
    { config: { scope: 'operate' } },
    async ({ params, body, caller }) => {
      const tasks = guarded(all, caller);
      const id = parseTaskId(params.id);
      const { as, note } = parseResolution(body);
      return viewOf(await inTime(tasks.resolve(id, as, note), 'OUTCOME_UNKNOWN'), null);
    },
  );
}

function batchOf(body: unknown): readonly unknown[] {
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  const keys = isObject ? Object.keys(body) : [];
  const unknown = keys.find((key) => key !== 'tasks');
  if (unknown !== undefined) {
    const message = `a batch has no field ${shown(unknown)}: send { "tasks": [ … ] }`;
    throw new ClaimkeeperError('REQUEST_INVALID', message, { field: unknown.slice(0, 200) });
  }
  const inputs = isObject ? (body as { tasks?: unknown }).tasks : undefined;
  if (!Array.isArray(inputs)) {
    const message = 'a batch is an object with a list of tasks: send { "tasks": [ … ] }';
    throw new ClaimkeeperError('REQUEST_INVALID', message, { field: 'tasks' });
  }
  if (inputs.length > limits.batchTasksMax) {
    const message = `the batch has ${inputs.length} tasks, the limit is ${limits.batchTasksMax}: send several`;
    throw new ClaimkeeperError('BATCH_TOO_LARGE', message, { field: 'tasks' });
  }
  return inputs;
}

function outcomeView(outcome: SubmitOutcome): object {
  if (outcome.kind === 'refused') return { kind: outcome.kind, error: problemOf(outcome.error) };
  const { kind, id, state, dedupUntil } = outcome;
  return { kind, id, state, dedupUntil: iso(dedupUntil) };
}
