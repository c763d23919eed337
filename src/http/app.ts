// app.ts: the API as one application. Owns HTTP itself: what is refused before a route is reached, and how errors are
// answered; the routes are in files of their own, and what a task is and may do belongs to the service behind them (port.ts).

import type { Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { ClaimkeeperError, limits, shown } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { type Access, anybody, assertScope, challengeOf, identify } from './access.js';
import { addDocumentRoutes } from './document-routes.js';
import { addEventRoutes } from './event-routes.js';
import { addHealthRoutes } from './health-routes.js';
import { parseBody } from './json.js';
import { addListRoutes } from './list-routes.js';
import { Methods } from './methods.js';
import { Metrics } from './metrics.js';
import { addMetricsRoutes } from './metrics-routes.js';
import { refuseUnknownQuery } from './parameters.js';
import type { TaskService } from './port.js';
import { asClaimkeeperError, ofParser, problemOf, problemType, retryAfterSeconds } from './problem.js';
import { addQueueRoutes } from './queue-routes.js';
import { RateLimit } from './rate-limit.js';
import { addScheduleRoutes } from './schedule-routes.js';
import { requireScopes } from './scope.js';
import { addTaskRoutes } from './task-routes.js';
import { addWorkerRoutes } from './worker-routes.js';

export type ApiOptions = {
  readonly tasks: TaskService;
  readonly runtime: Runtime;
  readonly access: Access;
  /** Requests per key, or per address without one; 0: any number. */
  readonly rateLimitPerSecond: number;
};

/** Node bounds the URL and the headers together. */
const headerBytesMax = 16 * 1024;
/** How often Node looks for requests that are overdue. */
const overdueEveryMs = 2_000;

export function buildApp(options: ApiOptions): FastifyInstance {
  const { tasks, runtime } = options;
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
    if (error.status === 401) reply.header('www-authenticate', challengeOf(error));
    if ((error.status === 503 || error.status === 429) && error.retryable)
      reply.header('retry-after', retryAfterSeconds);
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
  const methods = new Methods(app);
  app.setNotFoundHandler(({ method, url }, reply) => {
    const allow = methods.of(url);
    if (allow === null) {
      return sendProblem(
        new ClaimkeeperError('ROUTE_NOT_FOUND', `there is no ${method} ${shown(url)}`),
        reply,
      );
    }
    reply.header('allow', allow);
    if (method === 'OPTIONS') return reply.code(204).send();
    const message = `${shown(url)} does not take ${method}: it takes ${allow}`;
    return sendProblem(new ClaimkeeperError('METHOD_NOT_ALLOWED', message), reply);
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store');
    refuseWithoutHost(request);
    refuseForeignPage(request);
  });
  answerWhatNodeWouldNot(app);
  requireScopes(app);
  admitCallers(app, options);
  app.addHook('onRequest', async (request) => refuseUnknownQuery(request));

  const metrics = new Metrics(tasks);
  metrics.watch(app);
  addTaskRoutes(app, tasks, runtime, (outcomes) => metrics.count(outcomes));
  addListRoutes(app, tasks, runtime);
  addQueueRoutes(app, tasks, runtime);
  addEventRoutes(app, tasks, runtime, options.access);
  addScheduleRoutes(app, tasks, runtime);
  addWorkerRoutes(app, tasks, runtime);
  addHealthRoutes(app, tasks);
  addMetricsRoutes(app, metrics);
  addDocumentRoutes(app);
  return app;
}

/** What is open is neither counted nor asked for a key: what watches over processes has none. */
function admitCallers(app: FastifyInstance, options: ApiOptions): void {
  const { runtime, access, rateLimitPerSecond } = options;
  const rate = new RateLimit(rateLimitPerSecond, runtime.clock);
  app.decorateRequest('caller');
  app.addHook('onRequest', async (request) => {
    request.caller = anybody;
    const { scope } = request.routeOptions.config;
    if (scope === 'open') return;
    const identity = identify(request, access, runtime.clock.now());
    const refused = identity instanceof ClaimkeeperError;
    // Counted before it is refused: whoever tries keys has as few tries as anybody.
    rate.take(refused ? anybody : identity, request.ip);
    if (request.is404) return;
    if (refused) throw identity;
    if (scope !== undefined) assertScope(identity, scope);
    request.caller = identity;
  });
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
  // Of a tunnel Node has let go of the socket: nobody else would hear of its end, or bring it about.
  socket.on('error', () => undefined);
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}
