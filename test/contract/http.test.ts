// http.test.ts: the API's shapes: which status, headers and body every outcome has, and that nothing a client may send is
// answered with anything but a problem document of the error registry. The service behind it is a twin.

import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  ClaimkeeperError,
  type EpochMs,
  type ErrorCode,
  errorRegistry,
  limits,
  type Nonce,
  newRecord,
  parseSubmission,
  type TaskRecord,
  type WorkerId,
} from '../../src/domain/index.js';
import { buildApp } from '../../src/http/app.js';
import { createApi, viewOf } from '../../src/http/index.js';
import {
  type Clock,
  type Logger,
  type Runtime,
  silentLogger,
  systemRandom,
} from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { openToAll } from '../support/open-to-all.js';
import { checkEveryAnswer, violationsOf, violationsOnWire } from '../support/openapi-answers.js';
import { TaskServiceTwin, twinNow } from '../support/task-service-twin.js';

checkEveryAnswer();
const now = twinNow;

/** Its timers go off at once when it is `hasty`: deadlines are over before anything is done. */
function testRuntime(log: Logger = silentLogger, hasty = false): Runtime {
  const clock: Clock = {
    now: () => now,
    monotonic: () => 0 as never,
    after(_delayMs, fn) {
      const timer = hasty ? setImmediate(fn) : null;
      return { cancel: () => timer !== null && clearImmediate(timer) };
    },
    atEndOfTurn: (fn) => void setImmediate(fn),
  };
  return { clock, random: systemRandom, log };
}

type Here = {
  readonly app: FastifyInstance;
  readonly service: TaskServiceTwin;
  send(method: 'GET' | 'POST', url: string, body?: unknown): Promise<LightMyRequestResponse>;
};

function here(runtime = testRuntime()): Here {
  const service = new TaskServiceTwin();
  const app = buildApp({ ...openToAll, tasks: service, runtime });
  onTestFinished(() => app.close());
  return {
    app,
    service,
    async send(method, url, body) {
      const payload = typeof body === 'string' ? body : JSON.stringify(body);
      const json = { payload, headers: { 'content-type': 'application/json' } };
      const injected: InjectOptions = { method, url, ...(body === undefined ? {} : json) };
      const response = await app.inject(injected);
      const { statusCode: status, headers } = response;
      // Some are answered before the application sees them.
      expect(violationsOf({ method, url, status, headers, body: response.body })).toEqual([]);
      return response;
    },
  };
}

function expectProblem(response: LightMyRequestResponse, code: ErrorCode, field?: string): void {
  expect(response.json()).toEqual({
    type: `urn:claimkeeper:error:${code}`,
    title: errorRegistry[code].text,
    status: errorRegistry[code].status,
    detail: expect.stringMatching(/./),
    code,
    retryable: errorRegistry[code].retryable,
    ...(field === undefined ? {} : { field }),
  });
  expect(response.statusCode).toBe(errorRegistry[code].status);
  expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
}

const welcome = { id: 'welcome:1', type: 'email', payload: { to: 'a@example.org' } };

describe('POST /v1/tasks', () => {
  test('a new task: 201, its location, and how long its id is remembered', async () => {
    const { send } = here();
    const response = await send('POST', '/v1/tasks', welcome);
    expect(response.statusCode).toBe(201);
    expect(response.headers.location).toBe('/v1/tasks/welcome:1');
    expect(response.json()).toEqual({
      kind: 'created',
      id: 'welcome:1',
      state: 'waiting',
      dedupUntil: '2026-01-03T03:04:05.006Z',
    });
  });

  test('the same again: 200; the same id with other content: 409', async () => {
    const { send } = here();
    await send('POST', '/v1/tasks', welcome);
    const same = await send('POST', '/v1/tasks', welcome);
    expect(same.statusCode).toBe(200);
    expect(same.json()).toMatchObject({ kind: 'same', id: 'welcome:1' });
    expectProblem(await send('POST', '/v1/tasks', { ...welcome, payload: 2 }), 'TASK_CONFLICT');
  });

  test.each([
    ['an unknown field', { ...welcome, colour: 'red' }, 'SUBMISSION_INVALID', 'colour'],
    ['a value out of range', { ...welcome, priority: 1_001 }, 'SUBMISSION_INVALID', 'priority'],
    ['an id with a slash', { ...welcome, id: 'a/b' }, 'TASK_ID_INVALID', 'id'],
    ['an id with a NUL', { ...welcome, id: 'a\u0000b' }, 'TASK_ID_INVALID', 'id'],
    ['an id that is an array', { ...welcome, id: [[['a']]] }, 'TASK_ID_INVALID', 'id'],
    ['a type that is no name', { ...welcome, type: '../x' }, 'NAME_INVALID', 'type'],
    [
      'a payload over its limit',
      { ...welcome, payload: 'x'.repeat(65 * 1_024) },
      'PAYLOAD_TOO_LARGE',
      'payload',
    ],
    ['a list', [welcome], 'SUBMISSION_INVALID', undefined],
    ['null', 'null', 'SUBMISSION_INVALID', undefined],
    ['an empty body', '', 'SUBMISSION_INVALID', undefined],
  ] as const)('refuses %s', async (_name, body, code, field) => {
    const { send, service } = here();
    expectProblem(await send('POST', '/v1/tasks', body), code, field);
    expect(service.tasks.size).toBe(0);
  });

  test.each([
    ['no JSON', '{"id":', 'REQUEST_INVALID'],
    ['a key __proto__', '{"id":"a","type":"t","__proto__":{"x":1}}', 'REQUEST_INVALID'],
    ['an escaped key __proto__', '{"id":"a","type":"t","payload":{"\\u005f_proto__":1}}', 'REQUEST_INVALID'],
    ['a nesting of fifty thousand levels', `${'['.repeat(50_000)}${']'.repeat(50_000)}`, 'REQUEST_INVALID'],
    ['a deep id', `{"id":${'['.repeat(50_000)}${']'.repeat(50_000)},"type":"t"}`, 'REQUEST_INVALID'],
    ['a body over its limit', JSON.stringify('x'.repeat(limits.requestBytesMax)), 'BODY_TOO_LARGE'],
  ] as const)('refuses a body that is %s before any field is looked at', async (_name, body, code) => {
    const { send } = here();
    expectProblem(await send('POST', '/v1/tasks', body), code);
  });

  test('takes a payload at its deepest, with brackets in strings, and refuses one level more', async () => {
    const { send } = here();
    const nested = (levels: number) => `${'['.repeat(levels)}"[[[[{{\\"["${']'.repeat(levels)}`;
    const body = (levels: number) => `{"id":"d${levels}","type":"t","payload":${nested(levels)}}`;
    expect((await send('POST', '/v1/tasks', body(limits.payloadDepthMax - 1))).statusCode).toBe(201);
    const deeper = await send('POST', '/v1/tasks', body(limits.payloadDepthMax));
    expect(deeper.json()).toMatchObject({ code: 'SUBMISSION_INVALID' });
  });

  test('refuses a body that is not said to be JSON, as web pages may send it unasked', async () => {
    const { app } = here();
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
      const payload = JSON.stringify(welcome);
      const response = await app.inject({
        method: 'POST',
        url: '/v1/tasks',
        payload,
        headers: { 'content-type': type },
      });
      expectProblem(response, 'MEDIA_TYPE_UNSUPPORTED');
    }
  });

  test('refuses a web page of another origin, and takes one of its own', async () => {
    const { app } = here();
    const from = (origin: string) =>
      app.inject({
        method: 'POST',
        url: '/v1/tasks',
        payload: welcome,
        headers: { origin, host: 'localhost:8080' },
      });
    expectProblem(await from('https://elsewhere.example'), 'ORIGIN_REFUSED');
    expectProblem(await from('null'), 'ORIGIN_REFUSED');
    expect((await from('http://localhost:8080')).statusCode).toBe(201);
  });
});

describe('POST /v1/tasks/batch', () => {
  test('answers per task and in order: one that is refused harms no other', async () => {
    const { send } = here();
    await send('POST', '/v1/tasks', welcome);
    const tasks = [{ id: 'b1', type: 't' }, { id: 'bad id', type: 't' }, welcome, { ...welcome, payload: 0 }];
    const response = await send('POST', '/v1/tasks/batch', { tasks });
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual({
      outcomes: [
        { kind: 'created', id: 'b1', state: 'waiting', dedupUntil: expect.any(String) },
        { kind: 'refused', error: expect.objectContaining({ code: 'TASK_ID_INVALID', status: 422 }) },
        { kind: 'same', id: 'welcome:1', state: 'waiting', dedupUntil: expect.any(String) },
        { kind: 'refused', error: expect.objectContaining({ code: 'TASK_CONFLICT', status: 409 }) },
      ],
    });
  });

  test('takes a thousand tasks, and not one more', async () => {
    const { send, service } = here();
    const tasks = Array.from({ length: 1_001 }, (_, i) => ({ id: `t${i}`, type: 't' }));
    expectProblem(await send('POST', '/v1/tasks/batch', { tasks }), 'BATCH_TOO_LARGE', 'tasks');
    expect(service.tasks.size).toBe(0);
    expect((await send('POST', '/v1/tasks/batch', { tasks: tasks.slice(1) })).statusCode).toBe(200);
    expect(service.tasks.size).toBe(1_000);
  });

  test('takes a body over the limit of a single task, up to its own', async () => {
    const { send } = here();
    const tasks = Array.from({ length: 100 }, (_, i) => ({
      id: `t${i}`,
      type: 't',
      payload: 'x'.repeat(60_000),
    }));
    expect((await send('POST', '/v1/tasks/batch', { tasks })).statusCode).toBe(200);
    const over = JSON.stringify('x'.repeat(limits.batchBytesMax));
    expectProblem(await send('POST', '/v1/tasks/batch', over), 'BODY_TOO_LARGE');
  });

  test.each([
    ['a bare list', [welcome], 'tasks'],
    ['another field', { tasks: [], queue: 'q' }, 'queue'],
    ['no list', { tasks: welcome }, 'tasks'],
    ['null', 'null', 'tasks'],
  ] as const)('refuses %s', async (_name, body, field) => {
    const { send } = here();
    expectProblem(await send('POST', '/v1/tasks/batch', body), 'REQUEST_INVALID', field);
  });
});

describe('GET /v1/tasks/:id and replay', () => {
  test('shows a task with its attempts, times in ISO 8601', () => {
    const task = parseSubmission({ ...welcome, onInterrupted: 'verify' }, now);
    const record: TaskRecord = {
      ...newRecord(task, 'n' as Nonce, now),
      state: 'completed',
      attempt: 2,
      startedAt: (now + 1_000) as EpochMs,
      finishedAt: (now + 2_000) as EpochMs,
      result: { value: [1] },
      attempts: [
        {
          n: 1,
          nonce: 'n' as Nonce,
          worker: 'w1' as WorkerId,
          startedAt: now,
          endedAt: (now + 500) as EpochMs,
          outcome: 'failed',
          error: { code: 'HANDLER_FAILED', message: 'no route' },
        },
      ],
    };
    expect(viewOf(record, { half: true })).toEqual({
      id: 'welcome:1',
      type: 'email',
      queue: 'default',
      payload: { to: 'a@example.org' },
      priority: 0,
      state: 'completed',
      attempt: 2,
      attempts: [
        {
          n: 1,
          worker: 'w1',
          startedAt: '2026-01-02T03:04:05.006Z',
          endedAt: '2026-01-02T03:04:05.506Z',
          outcome: 'failed',
          error: { code: 'HANDLER_FAILED', message: 'no route' },
        },
      ],
      onInterrupted: 'verify',
      notBefore: null,
      acceptedAt: '2026-01-02T03:04:05.006Z',
      startedAt: '2026-01-02T03:04:06.006Z',
      finishedAt: '2026-01-02T03:04:07.006Z',
      worker: null,
      progress: { half: true },
      cancelRequested: false,
      replays: 0,
      note: null,
      result: [1],
    });
    expect(viewOf({ ...record, result: { omittedBytes: 9 } }, null)).toMatchObject({ resultOmittedBytes: 9 });
  });

  test('finds a task under its id as it is and percent-encoded', async () => {
    const { send } = here();
    await send('POST', '/v1/tasks', welcome);
    for (const url of ['/v1/tasks/welcome:1', '/v1/tasks/welcome%3A1', '/v1/tasks/%77elcome:1']) {
      const response = await send('GET', url);
      expect(response.statusCode).toBe(200);
      expect(response.json()).toMatchObject({ id: 'welcome:1', state: 'waiting', attempts: [] });
      expect(response.headers['cache-control']).toBe('no-store');
    }
  });

  test('finds a task with the longest id', async () => {
    const { send } = here();
    const id = ':'.repeat(limits.taskIdCharsMax);
    await send('POST', '/v1/tasks', { id, type: 't' });
    expect((await send('GET', `/v1/tasks/${encodeURIComponent(id)}`)).json()).toMatchObject({ id });
  });

  test.each([
    ['/v1/tasks/unknown', 'TASK_NOT_FOUND'],
    ['/v1/tasks/a%2Fb', 'TASK_ID_INVALID'],
    ['/v1/tasks/..%2f..%2fetc', 'TASK_ID_INVALID'],
    ['/v1/tasks/%00', 'TASK_ID_INVALID'],
    ['/v1/tasks/%E2%82%AC', 'TASK_ID_INVALID'],
    ['/v1/tasks/%zz', 'REQUEST_INVALID'],
    ['/v1/tasks/%ff', 'REQUEST_INVALID'],
    [`/v1/tasks/${'x'.repeat(10_000)}`, 'TASK_ID_INVALID'],
    ['/v1/tasks/', 'TASK_ID_INVALID'],
    ['/v1/tasks/a/b', 'ROUTE_NOT_FOUND'],
    ['/v1', 'ROUTE_NOT_FOUND'],
    ['/', 'ROUTE_NOT_FOUND'],
  ] as const)('GET %s is %s', async (url, code) => {
    const { send } = here();
    expectProblem(await send('GET', url), code, code === 'TASK_ID_INVALID' ? 'id' : undefined);
  });

  test('a replay answers with the task as it then is', async () => {
    const { send } = here();
    await send('POST', '/v1/tasks', { id: 'failed-1', type: 't' });
    const response = await send('POST', '/v1/tasks/failed-1/replay');
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({ id: 'failed-1', state: 'waiting', attempt: 2, replays: 1 });
  });

  test('a replay of no task is 404, one that the state does not allow 409, one with a body 400', async () => {
    const { send } = here();
    expectProblem(await send('POST', '/v1/tasks/unknown/replay'), 'TASK_NOT_FOUND');
    await send('POST', '/v1/tasks', welcome);
    expectProblem(await send('POST', '/v1/tasks/welcome:1/replay'), 'MOVE_REFUSED');
    expectProblem(await send('POST', '/v1/tasks/welcome:1/replay', { force: true }), 'REQUEST_INVALID');
  });

  test('a cancel answers with the task as it then is, and takes no body', async () => {
    const { send } = here();
    await send('POST', '/v1/tasks', welcome);
    const response = await send('POST', '/v1/tasks/welcome:1/cancel');
    expect([response.statusCode, response.json()]).toMatchObject([200, { state: 'cancelled' }]);
    expectProblem(await send('POST', '/v1/tasks/welcome:1/cancel', {}), 'REQUEST_INVALID');
    expectProblem(await send('POST', '/v1/tasks/unknown/cancel'), 'TASK_NOT_FOUND');
  });

  test('an uncertain task is resolved as what the operator says, with the note', async () => {
    const { send } = here();
    await send('POST', '/v1/tasks', { id: 'uncertain-1', type: 't' });
    const body = { as: 'failed', note: 'the bank has no such transfer' };
    const response = await send('POST', '/v1/tasks/uncertain-1/resolve', body);
    expect([response.statusCode, response.json()]).toMatchObject([200, { state: 'failed', note: body.note }]);
    await send('POST', '/v1/tasks', welcome);
    expectProblem(await send('POST', '/v1/tasks/welcome:1/resolve', body), 'MOVE_REFUSED');
  });

  test.each([
    [undefined, undefined],
    [{ as: 'completed' }, 'note'],
    [{ as: 'completed', note: '  ' }, 'note'],
    [{ as: 'completed', note: 'x'.repeat(501) }, 'note'],
    [{ as: 'cancelled', note: 'so' }, 'as'],
    [{ as: 'failed', note: 'so', force: true }, 'force'],
  ])('a resolution of %j is refused', async (body, field) => {
    const { send } = here();
    await send('POST', '/v1/tasks', { id: 'uncertain-1', type: 't' });
    expectProblem(await send('POST', '/v1/tasks/uncertain-1/resolve', body), 'REQUEST_INVALID', field);
  });
});

describe('failures behind the API', () => {
  test.each([
    ['ZOOKEEPER_UNAVAILABLE', 'GET', '/v1/tasks/a'],
    ['REDIS_UNAVAILABLE', 'GET', '/v1/tasks/a'],
    ['OUTCOME_UNKNOWN', 'POST', '/v1/tasks'],
  ] as const)('%s is 503 and says when to ask again', async (code, method, url) => {
    const { send, service } = here();
    service.failure = new ClaimkeeperError(code, 'no quorum');
    const response = await send(method, url, method === 'POST' ? welcome : undefined);
    expectProblem(response, code);
    expect(response.headers['retry-after']).toMatch(/^\d+$/);
  });

  test('a failure that asking again does not mend has no Retry-After', async () => {
    const { send, service } = here();
    service.failure = new ClaimkeeperError('GENERATION_CHANGED', 'restored');
    const response = await send('POST', '/v1/tasks', welcome);
    expectProblem(response, 'GENERATION_CHANGED');
    expect(response.headers['retry-after']).toBeUndefined();
  });

  test('a defect is 500, logged, and its message does not leave', async () => {
    const errors: object[] = [];
    const log = { ...silentLogger, error: (fields: object) => void errors.push(fields) };
    const { send, service } = here(testRuntime(log));
    service.failure = new TypeError('secret of the house');
    const response = await send('GET', '/v1/tasks/a');
    expectProblem(response, 'INTERNAL');
    expect(response.body).not.toContain('secret');
    expect(errors).toEqual([{ err: service.failure, method: 'GET', url: '/v1/tasks/a' }]);
  });

  test('a service that does not answer is overdue: a write has an unknown outcome, a read is unavailable', async () => {
    const { send, service } = here(testRuntime(silentLogger, true));
    service.submitMany = () => new Promise(() => undefined);
    service.get = () => new Promise(() => undefined);
    expectProblem(await send('POST', '/v1/tasks', welcome), 'OUTCOME_UNKNOWN');
    expectProblem(await send('POST', '/v1/tasks/batch', { tasks: [] }), 'OUTCOME_UNKNOWN');
    expectProblem(await send('GET', '/v1/tasks/a'), 'ZOOKEEPER_UNAVAILABLE');
  });
});

describe('health', () => {
  test('alive is alive, whatever is missing', async () => {
    const { send, service } = here();
    service.readiness = { ready: false, zookeeper: 'connecting', redis: 'away' };
    expect((await send('GET', '/livez')).statusCode).toBe(200);
  });

  test.each([
    [{ ready: true, zookeeper: 'connected', redis: 'ready' }, 200, 'ready'],
    [{ ready: true, zookeeper: 'connected', redis: 'away' }, 200, 'ready'],
    [{ ready: false, zookeeper: 'suspended', redis: 'ready' }, 503, 'not ready'],
  ])('readiness %j is %i, and says how each server is', async (readiness, code, status) => {
    const { send, service } = here();
    service.readiness = readiness;
    const response = await send('GET', '/readyz');
    expect(response.statusCode).toBe(code);
    expect(response.json()).toEqual({ status, zookeeper: readiness.zookeeper, redis: readiness.redis });
  });
});

describe('on a socket', () => {
  const head = 'POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

  async function listening() {
    const service = new TaskServiceTwin();
    const api = createApi({ ...openToAll, tasks: service, runtime: testRuntime() });
    onTestFinished(() => api.close());
    const url = new URL(await api.listen({ host: '127.0.0.1', port: 0 }));
    return { api, service, url };
  }

  function raw(port: number, text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let answer = '';
      const socket = connect({ host: '127.0.0.1', port });
      socket.setEncoding('utf8').on('data', (part: string) => {
        answer += part;
      });
      socket.on('error', reject).on('close', () => {
        const violations = answer === '' ? [] : violationsOnWire(text, answer);
        if (violations.length === 0) resolve(answer);
        else reject(new Error(violations.join('\n')));
      });
      socket.write(text);
    });
  }

  test('listens where it was told, serves, and closes twice', async () => {
    const { api, url } = await listening();
    expect(url.hostname).toBe('127.0.0.1');
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify(welcome);
    const response = await fetch(new URL('/v1/tasks', url), { method: 'POST', headers, body });
    expect(response.status).toBe(201);
    const found = await fetch(new URL(response.headers.get('location') ?? '', url));
    expect(await found.json()).toMatchObject({ id: 'welcome:1' });
    await Promise.all([api.close(), api.close()]);
    await expect(fetch(new URL('/livez', url))).rejects.toThrow();
  });

  test('what is no HTTP, or has too long a URL, is answered with a problem and the connection ends', async () => {
    const { url } = await listening();
    const noHttp = await raw(Number(url.port), 'HELO there\r\n\r\n');
    expect(noHttp).toMatch(/^HTTP\/1.1 400 /);
    expect(noHttp).toContain('"code":"REQUEST_INVALID"');
    const long = await raw(
      Number(url.port),
      `GET /v1/tasks/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    expect(long).toMatch(/^HTTP\/1.1 431 /);
    expect(long).toContain('"code":"HEADERS_TOO_LARGE"');
  });

  test.each([
    ['said nothing', ''],
    ['sent half of its headers', 'POST /v1/tasks HTTP/1.1\r\nHost: x\r\n'],
    ['sent half of its body', `${head}Content-Length: 100\r\n\r\n{"id":`],
  ])('a client that has %s does not keep it from closing', async (_name, text) => {
    const { api, url } = await listening();
    const socket = connect({ host: '127.0.0.1', port: Number(url.port) });
    const ended = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve));
    socket.resume().write(text);
    await fetch(new URL('/livez', url)); // What was sent before it has arrived.
    await api.close();
    await ended;
  });

  test('a client that keeps its connection does not keep it from closing once it is answered', async () => {
    const { api, service, url } = await listening();
    const reached = withResolvers<undefined>();
    const answer = withResolvers<null>();
    service.get = () => {
      reached.resolve(undefined);
      return answer.promise;
    };
    const answered = raw(Number(url.port), 'GET /v1/tasks/a HTTP/1.1\r\nHost: x\r\n\r\n');
    await reached.promise;
    const closed = api.close();
    answer.resolve(null);
    expect(await answered).toMatch(/^HTTP\/1.1 404 /);
    await closed;
  });

  test.each([
    ['a request for a tunnel', 'CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n', 404],
    ['a request without a Host', 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['an unknown expectation', `${head}Content-Length: 2\r\nExpect: luck\r\n\r\n{}`, 400],
  ])('%s is answered with a problem', async (_name, text, status) => {
    const { url } = await listening();
    const answer = await raw(Number(url.port), text);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toContain('application/problem+json');
  });

  describe('a client that asks for a tunnel', () => {
    const tunnel = 'CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n';

    /** The client's end of the connection; the server's, once the request is there. */
    async function asking(onAsked: (client: Socket) => void) {
      const service = new TaskServiceTwin();
      const app = buildApp({ ...openToAll, tasks: service, runtime: testRuntime() });
      onTestFinished(() => app.close());
      const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
      const client = connect({ host: '127.0.0.1', port: Number(url.port), allowHalfOpen: true });
      onTestFinished(() => void client.destroy());
      client.on('error', () => undefined).resume();
      const asked = new Promise<Socket>((resolve) => {
        app.server.prependListener('connect', (_request, socket: Socket) => {
          onAsked(client);
          resolve(socket);
        });
      });
      client.write(tunnel);
      return asked;
    }

    test('and resets the connection ends nothing but that', async () => {
      const uncaught: unknown[] = [];
      const note = (error: unknown): void => void uncaught.push(error);
      process.on('uncaughtException', note);
      onTestFinished(() => void process.off('uncaughtException', note));
      const server = await asking((client) => client.resetAndDestroy());
      await eventually(() => expect(server.destroyed).toBe(true), { what: 'the connection is over' });
      await new Promise((resolve) => setImmediate(resolve)); // An error is said after that.
      expect([uncaught, server.errored === null]).toEqual([[], false]);
    });

    test('and never ends its side is disconnected all the same', async () => {
      const server = await asking(() => undefined);
      await eventually(() => expect(server.destroyed).toBe(true), { what: 'the connection is over' });
    });
  });

  test('answers what is being asked before it closes', async () => {
    const { api, service, url } = await listening();
    const reached = withResolvers<undefined>();
    const answer = withResolvers<null>();
    service.get = () => {
      reached.resolve(undefined);
      return answer.promise;
    };
    const status = new Promise<number | undefined>((resolve, reject) => {
      httpRequest(new URL('/v1/tasks/a', url), (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end();
    });
    await reached.promise;
    const closed = api.close();
    answer.resolve(null);
    expect(await status).toBe(404);
    await closed;
  });
});

function withResolvers<T>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
