// task-routes.ts: tasks over HTTP: submitted one by one or in batches, looked up, replayed, cancelled, resolved.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  ClaimkeeperError,
  limits,
  parseResolution,
  parseTaskId,
  shown,
  type TaskId,
  type TaskRecord,
} from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import type { Caller } from './access.js';
import { type Overdue, withDeadline } from './deadline.js';
import { refuseBody } from './json.js';
import { idempotencyKeyOf, invalid, wholeNumberOf } from './parameters.js';
import type { SubmitOutcome, TaskService } from './port.js';
import { type Guarded, guarded } from './queue-guard.js';
import { outcomeView, viewOf } from './view.js';
import { Waits } from './waits.js';

type TaskRoute = { Params: { id: string } };

/** `onSubmitted` is told what became of submissions. */
export function addTaskRoutes(
  app: FastifyInstance,
  all: TaskService,
  runtime: Runtime,
  onSubmitted: (outcomes: readonly SubmitOutcome[]) => void,
): void {
  const waits = new Waits(app, runtime.clock);
  const inTime = <T>(work: Promise<T>, overdue: Overdue): Promise<T> => withDeadline(runtime, work, overdue);
  const submit = async (caller: Caller, inputs: readonly unknown[]): Promise<readonly SubmitOutcome[]> => {
    const outcomes = await inTime(guarded(all, caller).submitMany(inputs), 'OUTCOME_UNKNOWN');
    onSubmitted(outcomes);
    return outcomes;
  };
  const find = async (tasks: Guarded, id: TaskId): Promise<TaskRecord> => {
    const record = await inTime(tasks.get(id), 'ZOOKEEPER_UNAVAILABLE');
    if (record !== null) return record;
    throw new ClaimkeeperError('TASK_NOT_FOUND', `there is no task ${shown(id)}`);
  };

  app.post('/v1/tasks', { config: { scope: 'submit', query: [] } }, async (request, reply) => {
    const [outcome] = await submit(request.caller, [keyed(request)]);
    if (outcome === undefined) throw new Error('the service gave no outcome');
    if (outcome.kind === 'refused') throw outcome.error;
    reply.code(outcome.kind === 'created' ? 201 : 200).header('location', `/v1/tasks/${outcome.id}`);
    return outcomeView(outcome);
  });

  app.post(
    '/v1/tasks/batch',
    { config: { scope: 'submit', query: [] }, bodyLimit: limits.batchBytesMax },
    async (request) => {
      const outcomes = await submit(request.caller, batchOf(request.body));
      return { outcomes: outcomes.map(outcomeView) };
    },
  );

  app.get<TaskRoute>(
    '/v1/tasks/:id',
    { config: { scope: 'read', query: ['wait'] } },
    async ({ params, query, caller }, reply) => {
      const tasks = guarded(all, caller);
      const id = parseTaskId(params.id);
      const seconds = wholeNumberOf(query, 'wait', 0, limits.waitSecondsMax) ?? 0;
      let record = await find(tasks, id);
      if (seconds > 0 && (record.state === 'waiting' || record.state === 'running')) {
        await waits.during(reply, seconds, (over) => all.untilEnded(id, over));
        record = await find(tasks, id);
      }
      return viewOf(record, record.state === 'running' ? await all.progress(record) : null);
    },
  );

  app.post<TaskRoute>(
    '/v1/tasks/:id/replay',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }) => {
      const tasks = guarded(all, caller);
      refuseBody(body);
      return viewOf(await inTime(tasks.replay(parseTaskId(params.id)), 'OUTCOME_UNKNOWN'), null);
    },
  );

  app.post<TaskRoute>(
    '/v1/tasks/:id/cancel',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }) => {
      const tasks = guarded(all, caller);
      refuseBody(body);
      return viewOf(await inTime(tasks.cancel(parseTaskId(params.id)), 'OUTCOME_UNKNOWN'), null);
    },
  );

  app.post<TaskRoute>(
    '/v1/tasks/:id/resolve',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }) => {
      const tasks = guarded(all, caller);
      const id = parseTaskId(params.id);
      const { as, note } = parseResolution(body);
      return viewOf(await inTime(tasks.resolve(id, as, note), 'OUTCOME_UNKNOWN'), null);
    },
  );
}

/** The body, under the id that `Idempotency-Key` gives where it has none. @throws ClaimkeeperError `REQUEST_INVALID` */
function keyed(request: FastifyRequest): unknown {
  const { body } = request;
  const key = idempotencyKeyOf(request);
  if (key === undefined || typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const { id } = body as { id?: unknown };
  if (id !== undefined && id !== key) {
    throw invalid('id', `the id is ${shown(id)}, the Idempotency-Key ${shown(key)}: give one, or the same`);
  }
  return { ...body, id: parseKey(key) };
}

function parseKey(key: string): TaskId {
  try {
    return parseTaskId(key);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalid('Idempotency-Key', `Idempotency-Key becomes the task's id, and ${why}`);
  }
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
