// http-conventions.test.ts: what the API does with schedules, revisions, idempotency keys, waits, methods, metrics and its own
// documents. The service behind it is a twin; every answer is held to the OpenAPI document.

import files from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  ClaimkeeperError,
  type ErrorCode,
  errorRegistry,
  limits,
  type Name,
  type TaskId,
  type WorkerId,
} from '../../src/domain/index.js';
import { buildApp } from '../../src/http/app.js';
import { createApi } from '../../src/http/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { signalled } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { openToAll } from '../support/open-to-all.js';
import { checkEveryAnswer } from '../support/openapi-answers.js';
import { TaskServiceTwin, twinNow } from '../support/task-service-twin.js';

checkEveryAnswer();
const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };

type Method = NonNullable<InjectOptions['method']>;
type Send = (
  method: Method,
  url: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<LightMyRequestResponse>;

function here(): { app: FastifyInstance; service: TaskServiceTwin; send: Send } {
  const service = new TaskServiceTwin();
  const app = buildApp({ ...openToAll, tasks: service, runtime });
  onTestFinished(() => app.close());
  const send: Send = (method, url, body, headers = {}) =>
    app.inject({ method, url, headers, ...(body === undefined ? {} : { payload: body as object }) });
  return { app, service, send };
}

function expectProblem(response: LightMyRequestResponse, code: ErrorCode, field?: string): void {
  expect(response.json()).toMatchObject({ code, ...(field === undefined ? {} : { field }) });
  expect(response.statusCode).toBe(errorRegistry[code].status);
}

const report = {
  id: 'report',
  cron: '0 6 * * *',
  task: { type: 'report', payload: { of: 1 }, timeoutMs: 500 },
};

describe('schedules', () => {
  test('are made once: 201 with their place and revision, 200 for the same again, 409 for another of that id', async () => {
    const { send } = here();
    const made = await send('POST', '/v1/schedules', report);
    expect([made.statusCode, made.headers.location, made.headers.etag]).toEqual([
      201,
      '/v1/schedules/report',
      '"key.0"',
    ]);
    expect(made.json()).toEqual({
      id: 'report',
      cron: '0 6 * * *',
      timeZone: 'UTC',
      task: { type: 'report', queue: 'default', payload: { of: 1 }, priority: 0, timeoutMs: 500 },
      misfire: { policy: 'once', afterMs: 60_000, ticksMax: 100, ageMsMax: 86_400_000 },
      jitterMs: 0,
      startAt: null,
      endAt: null,
      overlap: 'allow',
      paused: false,
      revision: 'key.0',
      since: '2026-01-02T03:04:05.006Z',
      createdAt: '2026-01-02T03:04:05.006Z',
      updatedAt: '2026-01-02T03:04:05.006Z',
      next: '2026-01-02T06:00:00.000Z',
      last: null,
      skipped: null,
    });
    expect((await send('POST', '/v1/schedules', report)).statusCode).toBe(200);
    expectProblem(
      await send('POST', '/v1/schedules', { ...report, cron: '0 7 * * *' }),
      'SCHEDULE_CONFLICT',
      'id',
    );
  });

  test('what was read can be written back', async () => {
    const { send } = here();
    const { task, ...made } = (await send('POST', '/v1/schedules', { ...report, startAt: 0 })).json();
    const { cron, timeZone, misfire, jitterMs, startAt, overlap, paused, revision } = made;
    const back = { cron, timeZone, misfire, jitterMs, startAt, overlap, paused, revision, task };
    const changed = await send('PUT', '/v1/schedules/report', back);
    expect(changed.json()).toMatchObject({ task, cron, startAt });
  });

  test('are changed and removed at the revision that was read: 412 by If-Match, 409 by the field', async () => {
    const { send, service } = here();
    await send('POST', '/v1/schedules', report);
    const { id: _, ...change } = { ...report, cron: '0 7 * * *' };
    const changed = await send('PUT', '/v1/schedules/report', change, { 'if-match': '"key.0"' });
    expect([changed.statusCode, changed.headers.etag, changed.json().cron]).toEqual([
      200,
      '"key.1"',
      '0 7 * * *',
    ]);
    const stale = { 'if-match': '"key.0"' };
    expectProblem(
      await send('PUT', '/v1/schedules/report', change, stale),
      'PRECONDITION_FAILED',
      'If-Match',
    );
    const byField = await send('PUT', '/v1/schedules/report', { ...change, revision: 'key.0' });
    expectProblem(byField, 'SCHEDULE_CHANGED', 'revision');
    expectProblem(await send('DELETE', '/v1/schedules/report', undefined, stale), 'PRECONDITION_FAILED');
    expect(service.schedules.held.size).toBe(1);
    const removed = await send('DELETE', '/v1/schedules/report', undefined, { 'if-match': '"key.1"' });
    expect([removed.statusCode, removed.body]).toEqual([204, '']);
    expect(service.schedules.held.size).toBe(0);
  });

  test.each([
    ['another id', { ...report, id: 'other' }, {}, 'REQUEST_INVALID', 'id'],
    ['two revisions', { ...report, revision: 'a' }, { 'if-match': '"b"' }, 'REQUEST_INVALID', 'revision'],
    ['a revision that is no text', { ...report, revision: 1 }, {}, 'REQUEST_INVALID', 'revision'],
    ['a weak revision', report, { 'if-match': 'W/"key.0"' }, 'REQUEST_INVALID', 'If-Match'],
    ['a bare revision', report, { 'if-match': 'key.0' }, 'REQUEST_INVALID', 'If-Match'],
    ['a list of revisions', report, { 'if-match': '"a", "b"' }, 'REQUEST_INVALID', 'If-Match'],
    ['an unknown field', { ...report, colour: 1 }, {}, 'SCHEDULE_INVALID', 'colour'],
    ['a list', [report], {}, 'SCHEDULE_INVALID', undefined],
  ] as const)('a change with %s is refused', async (_name, body, headers, code, field) => {
    const { send } = here();
    await send('POST', '/v1/schedules', report);
    expectProblem(await send('PUT', '/v1/schedules/report', body, headers), code, field);
    expect((await send('GET', '/v1/schedules/report')).json()).toMatchObject({ revision: 'key.0' });
  });

  test('any revision will do for *', async () => {
    const { send } = here();
    await send('POST', '/v1/schedules', report);
    expect((await send('PUT', '/v1/schedules/report', report, { 'if-match': '*' })).statusCode).toBe(200);
  });

  test('are paused, resumed and run; the same key is the same task', async () => {
    const { send } = here();
    await send('POST', '/v1/schedules', report);
    expect((await send('POST', '/v1/schedules/report/pause')).json()).toMatchObject({
      paused: true,
      next: null,
    });
    expect((await send('POST', '/v1/schedules/report/resume')).json()).toMatchObject({ paused: false });
    const run = await send('POST', '/v1/schedules/report/run', { key: 'k1' });
    expect([run.statusCode, run.headers.location]).toEqual([201, '/v1/tasks/report@run-k1']);
    expect(run.json()).toMatchObject({ kind: 'created', id: 'report@run-k1', state: 'waiting' });
    expect((await send('POST', '/v1/schedules/report/run', { key: 'k1' })).statusCode).toBe(200);
    expect((await send('POST', '/v1/schedules/report/run')).statusCode).toBe(201);
    expectProblem(await send('POST', '/v1/schedules/report/run', { key: 'a b' }), 'SCHEDULE_INVALID', 'key');
    expectProblem(await send('POST', '/v1/schedules/report/run', { keys: 'a' }), 'REQUEST_INVALID', 'keys');
    expectProblem(await send('POST', '/v1/schedules/report/pause', {}), 'REQUEST_INVALID');
  });

  test('show their ticks to come, stored or not', async () => {
    const { send, service } = here();
    await send('POST', '/v1/schedules', report);
    const two = ['2026-01-02T06:00:00.000Z', '2026-01-03T06:00:00.000Z'];
    expect((await send('GET', '/v1/schedules/report/next?count=2')).json()).toEqual({ ticks: two });
    const later = '/v1/schedules/report/next?count=1&from=2026-01-02T06:00:00Z';
    expect((await send('GET', later)).json()).toEqual({ ticks: [two[1]] });
    const preview = await send('POST', '/v1/schedules/preview?count=2', { ...report, id: 'x' });
    expect(preview.json()).toEqual({ ticks: two });
    expect(service.schedules.held.size).toBe(1);
    expectProblem(
      await send('POST', '/v1/schedules/preview', { ...report, cron: '61 * * * *' }),
      'SCHEDULE_INVALID',
      'cron',
    );
  });

  test('are listed by id, a page at a time, each once', async () => {
    const { send } = here();
    const ids = ['a', 'b', 'c', 'd', 'e'];
    for (const id of ids) await send('POST', '/v1/schedules', { ...report, id });
    const seen: string[] = [];
    let url = '/v1/schedules?limit=2';
    for (let pages = 0; pages < 4; pages += 1) {
      const page = (await send('GET', url)).json() as { schedules: { id: string }[]; cursor: string | null };
      seen.push(...page.schedules.map(({ id }) => id));
      if (page.cursor === null) break;
      url = `/v1/schedules?limit=2&cursor=${page.cursor}`;
    }
    expect(seen).toEqual(ids);
  });

  test.each([
    ['/v1/schedules?limit=0', 'limit'],
    ['/v1/schedules?limit=201', 'limit'],
    ['/v1/schedules?limit=1&limit=2', 'limit'],
    ['/v1/schedules?cursor=a%2Fb', 'cursor'],
    ['/v1/schedules?limmit=1', 'limmit'],
    ['/v1/schedules/report?x=1', 'x'],
    ['/v1/schedules/report/next?count=1001', 'count'],
    ['/v1/schedules/report/next?from=tomorrow', 'from'],
    ['/v1/tasks/a?wait=31', 'wait'],
    ['/v1/tasks/a?wait=1.5', 'wait'],
    ['/v1/tasks/a?wait=', 'wait'],
    ['/livez?loud', 'loud'],
  ])('GET %s is refused and names the parameter', async (url, field) => {
    const { send } = here();
    await send('POST', '/v1/schedules', report);
    expectProblem(await send('GET', url), 'REQUEST_INVALID', field);
  });

  test.each([
    ['GET', '/v1/schedules/none'],
    ['PUT', '/v1/schedules/none'],
    ['DELETE', '/v1/schedules/none'],
    ['POST', '/v1/schedules/none/pause'],
    ['POST', '/v1/schedules/none/resume'],
    ['POST', '/v1/schedules/none/run'],
    ['GET', '/v1/schedules/none/next'],
  ] as const)('%s %s: there is none', async (method, url) => {
    const { send } = here();
    const { id: _, ...body } = report;
    expectProblem(await send(method, url, method === 'PUT' ? body : undefined), 'SCHEDULE_NOT_FOUND', 'id');
  });
});

describe('workers', () => {
  test('are shown with what they run', async () => {
    const { send, service } = here();
    expect((await send('GET', '/v1/workers')).json()).toEqual({ workers: [] });
    service.workers = [
      {
        id: 'w1' as WorkerId,
        pid: 7,
        host: 'h',
        queues: ['default' as Name],
        types: ['email' as Name],
        concurrency: 10,
        startedAt: twinNow,
        session: '00ff',
        tasks: ['welcome:1' as TaskId],
      },
    ];
    const { workers } = (await send('GET', '/v1/workers')).json();
    expect(workers).toEqual([{ ...service.workers[0], startedAt: '2026-01-02T03:04:05.006Z' }]);
  });
});

describe('methods', () => {
  test.each([
    ['GET', '/v1/tasks/batch/x', 404, undefined],
    ['GET', '/v1/tasks/a/replay', 405, 'OPTIONS, POST'],
    ['DELETE', '/v1/tasks/a', 405, 'GET, HEAD, OPTIONS'],
    ['PATCH', '/v1/schedules/a', 405, 'DELETE, GET, HEAD, OPTIONS, PUT'],
    ['POST', '/livez?x=1', 405, 'GET, HEAD, OPTIONS'],
    ['OPTIONS', '/v1/schedules', 204, 'GET, HEAD, OPTIONS, POST'],
    ['OPTIONS', '/nowhere', 404, undefined],
  ] as const)('%s %s is %i', async (method, url, status, allow) => {
    const { send } = here();
    const response = await send(method, url);
    expect([response.statusCode, response.headers.allow]).toEqual([status, allow]);
  });

  test('HEAD is GET without the body', async () => {
    const { send } = here();
    await send('POST', '/v1/tasks', { id: 'a', type: 't' });
    const [head, get] = [await send('HEAD', '/v1/tasks/a'), await send('GET', '/v1/tasks/a')];
    expect([head.statusCode, head.body, head.headers['content-length']]).toEqual([
      200,
      '',
      String(get.body.length),
    ]);
    expect((await send('HEAD', '/v1/tasks/none')).statusCode).toBe(404);
  });
});

describe('Idempotency-Key', () => {
  const submit = (body: object, key: string) =>
    here().send('POST', '/v1/tasks', body, { 'idempotency-key': key });

  test.each(['welcome:7', '"welcome:7"'])('%s is the id of a task that has none', async (key) => {
    const response = await submit({ type: 't' }, key);
    expect([response.statusCode, response.headers.location]).toEqual([201, '/v1/tasks/welcome:7']);
    expect((await submit({ type: 't', id: 'welcome:7' }, key)).statusCode).toBe(201);
  });

  test('another id than in the body is refused, and both are named', async () => {
    const response = await submit({ type: 't', id: 'a' }, 'b');
    expectProblem(response, 'REQUEST_INVALID', 'id');
    expect(response.json().detail).toMatch(/"a".*"b"/);
  });

  test.each(['a b', 'a,b', '"a', '', '.a', 'a/b', 'x'.repeat(129)])('%j is refused', async (key) => {
    expectProblem(await submit({ type: 't' }, key), 'REQUEST_INVALID', 'Idempotency-Key');
  });
});

describe('waiting for a task to end', () => {
  async function waiting(seconds = 30) {
    const { send, service, app } = here();
    await send('POST', '/v1/tasks', { id: 'a', type: 't' });
    const asked = send('GET', `/v1/tasks/a?wait=${seconds}`);
    await eventually(() => expect(service.waiting.size).toBe(1), { what: 'the request waits' });
    return { send, service, app, asked };
  }

  test('it is answered when the task ends, as it then is', async () => {
    const { service, asked } = await waiting();
    service.end('a', 'uncertain');
    expect((await asked).json()).toMatchObject({ id: 'a', state: 'uncertain' });
  });

  test('it is answered when the time is over', async () => {
    const { asked } = await waiting(1);
    expect((await asked).json()).toMatchObject({ id: 'a', state: 'waiting' });
  });

  test('one that has ended is not waited for, and neither is one that is not there', async () => {
    const { send, service } = here();
    await send('POST', '/v1/tasks', { id: 'a', type: 't' });
    service.end('a', 'failed');
    expect((await send('GET', '/v1/tasks/a?wait=30')).json()).toMatchObject({ state: 'failed' });
    expectProblem(await send('GET', '/v1/tasks/b?wait=30'), 'TASK_NOT_FOUND');
  });

  test('ZooKeeper being away ends it', async () => {
    const { send, service } = here();
    await send('POST', '/v1/tasks', { id: 'a', type: 't' });
    service.untilEnded = () => Promise.reject(new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', 'no quorum'));
    const response = await send('GET', '/v1/tasks/a?wait=30');
    expectProblem(response, 'ZOOKEEPER_UNAVAILABLE');
    expect(response.headers['retry-after']).toBe('1');
  });

  test('so many wait at once and no more; one that ends makes room', async () => {
    const { send, service } = here();
    const ends: (() => void)[] = [];
    service.untilEnded = (_id, signal) =>
      new Promise((resolve) => {
        ends.push(resolve);
        signal.addEventListener('abort', () => resolve());
      });
    await send('POST', '/v1/tasks', { id: 'a', type: 't' });
    const all = Array.from({ length: limits.waitsOpenMax }, () => send('GET', '/v1/tasks/a?wait=30'));
    await eventually(() => expect(ends).toHaveLength(limits.waitsOpenMax), { what: 'all of them wait' });
    const refused = await send('GET', '/v1/tasks/a?wait=30');
    expectProblem(refused, 'WAITS_EXHAUSTED', 'wait');
    expect(refused.headers['retry-after']).toBe('1');
    expect((await send('GET', '/v1/tasks/a')).statusCode).toBe(200);
    ends[0]?.();
    await Promise.race(all);
    const next = send('GET', '/v1/tasks/a?wait=1');
    await eventually(() => expect(ends).toHaveLength(limits.waitsOpenMax + 1), {
      what: 'the next one waits',
    });
    for (const end of ends) end();
    expect((await next).statusCode).toBe(200);
    await Promise.all(all);
  }, 60_000);

  test('it ends when the client leaves, and when the API stops', async () => {
    const service = new TaskServiceTwin();
    const api = createApi({ ...openToAll, tasks: service, runtime });
    onTestFinished(() => api.close());
    const url = await api.listen({ host: '127.0.0.1', port: 0 });
    await service.submitMany([{ id: 'a', type: 't' }]);
    const leaving = httpRequest(`${url}/v1/tasks/a?wait=30`).on('error', () => undefined);
    leaving.end();
    await eventually(() => expect(service.waiting.size).toBe(1), { what: 'the request waits' });
    leaving.destroy();
    await eventually(() => expect(service.waiting.size).toBe(0), { what: 'it waits no longer' });
    const asked = fetch(`${url}/v1/tasks/a?wait=30`);
    await eventually(() => expect(service.waiting.size).toBe(1), { what: 'another waits' });
    const closed = api.close();
    expect(await (await asked).json()).toMatchObject({ state: 'waiting' });
    await closed;
  });

  describe('that begins late, its task having been long in coming', () => {
    async function looking() {
      const service = new TaskServiceTwin();
      await service.submitMany([{ id: 'a', type: 't' }]);
      const app = buildApp({ ...openToAll, tasks: service, runtime });
      const [stopping, left, looked, found] = [signalled(), signalled(), signalled(), signalled()];
      app.addHook('preClose', async () => stopping.resolve());
      app.server.on('request', (_request, response) => response.once('close', () => left.resolve()));
      onTestFinished(() => app.close());
      const url = await app.listen({ host: '127.0.0.1', port: 0 });
      const counted = { looks: 0, waits: 0 };
      const get = service.get.bind(service);
      service.get = async (id) => {
        counted.looks += 1;
        looked.resolve();
        await found.promise;
        return get(id);
      };
      service.untilEnded = async () => {
        counted.waits += 1;
      };
      const asked = httpRequest(`${url}/v1/tasks/a?wait=30`);
      const answered = new Promise<number | undefined>((resolve) => {
        asked.on('error', () => resolve(undefined));
        asked.on('response', (response) => resolve(response.resume().statusCode));
      });
      asked.end();
      await looked.promise;
      return { app, asked, answered, counted, stopping, left, found };
    }

    test('none is begun for a client that has left', async () => {
      const { asked, counted, left, found } = await looking();
      asked.destroy();
      await left.promise;
      found.resolve();
      await eventually(() => expect(counted).toEqual({ looks: 2, waits: 0 }), { what: 'it is over' });
    });

    test('none is begun once the API has begun to stop: the answer is what there is now', async () => {
      const { app, answered, counted, stopping, found } = await looking();
      const closed = app.close();
      await stopping.promise;
      found.resolve();
      expect([await answered, counted]).toEqual([200, { looks: 2, waits: 0 }]);
      await closed;
    });
  });
});

describe('metrics', () => {
  test('count requests by route and status, and submissions by outcome; nobody can make up a series', async () => {
    const { send, service } = here();
    await send('POST', '/v1/tasks', { id: 'a', type: 't' });
    await send('POST', '/v1/tasks/batch', {
      tasks: [
        { id: 'a', type: 't' },
        { id: '.x', type: 't' },
      ],
    });
    for (let i = 0; i < 50; i += 1) await send('GET', `/v1/tasks/task-${i}`);
    for (let i = 0; i < 50; i += 1) await send('GET', `/nowhere/${i}`);
    service.counters = {
      commits: { multis: 3, operations: 9, transactions: 5, refusedMultis: 1 },
      deliveriesDropped: 4,
      viewWordsDropped: 5,
    };
    service.readiness = { ready: false, zookeeper: 'suspended', redis: 'away' };
    const { body, headers } = await send('GET', '/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain; version=0.0.4/);
    const lines = body.split('\n');
    const duration = 'claimkeeper_http_request_duration_seconds_count';
    expect(lines).toEqual(
      expect.arrayContaining([
        'claimkeeper_submissions_total{outcome="created"} 1',
        'claimkeeper_submissions_total{outcome="same"} 1',
        'claimkeeper_submissions_total{outcome="TASK_ID_INVALID"} 1',
        `${duration}{method="GET",route="/v1/tasks/:id",status="404"} 50`,
        `${duration}{method="GET",route="none",status="404"} 50`,
        `${duration}{method="POST",route="/v1/tasks",status="201"} 1`,
        'claimkeeper_commit_multis_total 3',
        'claimkeeper_commit_operations_total 9',
        'claimkeeper_commit_transactions_total 5',
        'claimkeeper_commit_refused_multis_total 1',
        'claimkeeper_deliveries_dropped_total 4',
        'claimkeeper_view_words_dropped_total 5',
        'claimkeeper_zookeeper_session{state="suspended"} 1',
        'claimkeeper_zookeeper_session{state="connected"} 0',
        'claimkeeper_redis_ready 0',
      ]),
    );
    expect(body).toContain('process_cpu_seconds_total');
    expect(lines.filter((line) => line.startsWith(duration))).toHaveLength(4);
    const again = (await send('GET', '/metrics')).body;
    expect(again).toContain('claimkeeper_commit_multis_total 3');
  });
});

describe('documents for people', () => {
  test('the page is made of files of this process alone, and may load no others', async () => {
    const { send } = here();
    const page = await send('GET', '/docs');
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    const asked = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url = '']) => url);
    const files = asked.filter((url) => !url.startsWith('data:'));
    expect(files.length).toBeGreaterThan(2);
    for (const url of files) {
      expect(url).toMatch(/^\/docs\//);
      expect((await send('GET', url)).statusCode).toBe(200);
    }
    expectProblem(await send('GET', '/docs/..%2f..%2fpackage.json'), 'ROUTE_NOT_FOUND');
    expectProblem(await send('GET', '/docs/index.html'), 'ROUTE_NOT_FOUND');
  });

  test('its files are read once, however often they are asked for', async () => {
    const { send } = here();
    const real = files.readFile;
    let reads = 0;
    files.readFile = ((...args: Parameters<typeof real>) => {
      reads += 1;
      return real(...args);
    }) as typeof real;
    syncBuiltinESMExports();
    onTestFinished(() => {
      files.readFile = real;
      syncBuiltinESMExports();
    });
    const bodies = [];
    for (let n = 0; n < 3; n += 1) bodies.push((await send('GET', '/docs/swagger-ui.css')).body);
    expect([reads, new Set(bodies).size]).toEqual([1, 1]);
  });
});
