// app.ts: the API's routes. Owns HTTP: methods, statuses, headers, deadlines; what a task is and may do belongs to the
// service behind it (port.ts), and what a valid submission is to the domain.

import type { Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { ClaimkeeperError, limits, parseResolution, parseTaskId, shown } from '../domain/index.js';
import { delay, type Runtime } from '../runtime/index.js';
import { parseBody } from './json.js';
import type { SubmitOutcome, TaskService } from './port.js';
import { asClaimkeeperError, ofParser, problemOf, problemType } from './problem.js';
import { iso, viewOf } from './view.js';

export type ApiOptions = {
  readonly tasks: TaskService;
  readonly runtime: Runtime;
};

type TaskRoute = { Params: { id: string } };

/** An answer that is overdue: a write may have been made, a read not. */
type Overdue = 'OUTCOME_UNKNOWN' | 'ZOOKEEPER_UNAVAILABLE';

const retryAfterSeconds = '1';
/** Node bounds the URL and the headers together. */
const headerBytesMax = 16 * 1024;
/** How often Node looks for requests that are overdue. */
const overdueEveryMs = 2_000;

export function buildApp({ tasks, runtime }: ApiOptions): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: limits.requestBytesMax,
    requestTimeout: limits.requestMsMax,
    return503OnClosing: false,
    // An id that is too long is answered as an id that is not valid.
    routerOptions: { maxParamLength: headerBytesMax },
    // A missing Host is refused below: Node's own refusal is no problem document.
    http: {
      maxHeaderSize: headerBytesMax,
      connectionsCheckingInterval: overdueEveryMs,
      requireHostHeader: false,
    },
    frameworkErrors: (error, _request, reply: FastifyReply) => sendProblem(error, reply),
    clientErrorHandler: (error, socket) => answerParser(ofParser(error.code), socket),
  });
  const sendProblem = (thrown: unknown, reply: FastifyReply): FastifyReply => {
    const error = asClaimkeeperError(thrown);
    if (error.code === 'INTERNAL') {
      runtime.log.error(
        { err: thrown, method: reply.request.method, url: reply.request.url },
        'a request failed',
      );
    }
    if (error.status === 503 && error.retryable) reply.header('retry-after', retryAfterSeconds);
    return reply
      .code(error.status)
      .type(problemType)
      .send(JSON.stringify(problemOf(error)));
  };

  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    async (_: FastifyRequest, text: string) => parseBody(text),
  );
  app.setErrorHandler((error, _request, reply) => sendProblem(error, reply));
  app.setNotFoundHandler((request, reply) => {
    const message = `there is no ${request.method} ${shown(request.url)}`;
    return sendProblem(new ClaimkeeperError('ROUTE_NOT_FOUND', message), reply);
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store');
    refuseWithoutHost(request);
    refuseForeignPage(request);
  });
  answerWhatNodeWouldNot(app);

  addTaskRoutes(app, tasks, runtime);
  addHealthRoutes(app, tasks);
  return app;
}

function addTaskRoutes(app: FastifyInstance, tasks: TaskService, runtime: Runtime): void {
  const inTime = <T>(work: Promise<T>, overdue: Overdue): Promise<T> => withDeadline(runtime, work, overdue);

  app.post('/v1/tasks', async (request, reply) => {
    const [outcome] = await inTime(tasks.submitMany([request.body]), 'OUTCOME_UNKNOWN');
    if (outcome === undefined) throw new Error('the service gave no outcome');
    if (outcome.kind === 'refused') throw outcome.error;
    reply.code(outcome.kind === 'created' ? 201 : 200).header('location', `/v1/tasks/${outcome.id}`);
    return outcomeView(outcome);
  });

  app.post('/v1/tasks/batch', { bodyLimit: limits.batchBytesMax }, async (request) => {
    const outcomes = await inTime(tasks.submitMany(batchOf(request.body)), 'OUTCOME_UNKNOWN');
    return { outcomes: outcomes.map(outcomeView) };
  });

  app.get<TaskRoute>('/v1/tasks/:id', async ({ params }) => {
    const id = parseTaskId(params.id);
    const record = await inTime(tasks.get(id), 'ZOOKEEPER_UNAVAILABLE');
    if (record === null) throw new ClaimkeeperError('TASK_NOT_FOUND', `there is no task ${shown(id)}`);
    return viewOf(record, record.state === 'running' ? await tasks.progress(id) : null);
  });

  app.post<TaskRoute>('/v1/tasks/:id/replay', async ({ params, body }) => {
    refuseBody(body);
    return viewOf(await inTime(tasks.replay(parseTaskId(params.id)), 'OUTCOME_UNKNOWN'), null);
  });

  app.post<TaskRoute>('/v1/tasks/:id/cancel', async ({ params, body }) => {
    refuseBody(body);
    return viewOf(await inTime(tasks.cancel(parseTaskId(params.id)), 'OUTCOME_UNKNOWN'), null);
  });

  app.post<TaskRoute>('/v1/tasks/:id/resolve', async ({ params, body }) => {
    const id = parseTaskId(params.id);
    const { as, note } = parseResolution(body);
    return viewOf(await inTime(tasks.resolve(id, as, note), 'OUTCOME_UNKNOWN'), null);
  });
}

function addHealthRoutes(app: FastifyInstance, tasks: TaskService): void {
  app.get('/livez', async () => ({ status: 'alive' }));

  app.get('/readyz', async (_request, reply) => {
    const { ready, zookeeper, redis } = tasks.ready();
    reply.code(ready ? 200 : 503);
    if (!ready) reply.header('retry-after', retryAfterSeconds);
    return { status: ready ? 'ready' : 'not ready', zookeeper, redis };
  });
}

function refuseBody(body: unknown): void {
  if (body !== undefined) throw new ClaimkeeperError('REQUEST_INVALID', 'this route takes no body');
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

async function withDeadline<T>({ clock }: Runtime, work: Promise<T>, overdue: Overdue): Promise<T> {
  const over = new AbortController();
  const late = delay(clock, limits.requestMsMax, over.signal).then(() => null);
  const answer = await Promise.race([work.then((value) => ({ value })), late]).finally(() => over.abort());
  if (answer !== null) return answer.value;
  throw new ClaimkeeperError(overdue, `there was no answer within ${limits.requestMsMax} ms`);
}

/** Requests that Node answers itself, or not at all, unless someone listens. */
function answerWhatNodeWouldNot({ server }: FastifyInstance): void {
  server.on('connect', ({ url = '' }, socket: Socket) => {
    answerParser(new ClaimkeeperError('ROUTE_NOT_FOUND', `there is no CONNECT ${shown(url)}`), socket);
  });
  server.on('checkExpectation', ({ headers, socket }) => {
    const message = `the expectation ${shown(headers.expect)} cannot be met: leave "Expect" out`;
    answerParser(new ClaimkeeperError('REQUEST_INVALID', message), socket);
  });
}

/** @throws ClaimkeeperError `REQUEST_INVALID` */
function refuseWithoutHost({ raw, headers }: FastifyRequest): void {
  if (headers.host !== undefined || raw.httpVersion === '1.0') return;
  throw new ClaimkeeperError('REQUEST_INVALID', 'the request has no "Host" header');
}

/** A web page elsewhere may send a POST here without asking first; browsers say from where. */
function refuseForeignPage({ method, headers }: FastifyRequest): void {
  const { origin, host } = headers;
  if (method === 'GET' || method === 'HEAD' || origin === undefined) return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new ClaimkeeperError('ORIGIN_REFUSED', `a page of ${shown(origin)} may not write to this API`);
}

function answerParser(error: ClaimkeeperError, socket: Socket): void {
  if (socket.destroyed || !socket.writable) return;
  const body = JSON.stringify(problemOf(error));
  const head = [
    `HTTP/1.1 ${error.status} ${error.code}`,
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
