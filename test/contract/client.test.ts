// client.test.ts: the package's client for the API: what it asks and what it makes of the answers, against an API whose service
// is a twin; that it is for any runtime; and that its types are the document's.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ClaimkeeperApiError, ClaimkeeperClient, type ClientOptions } from '../../src/client/index.js';
import { ClaimkeeperError, type Name, type TaskId } from '../../src/domain/index.js';
import { createApi } from '../../src/http/index.js';
import { openApiDocument } from '../../src/http/openapi.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { openToAll } from '../support/open-to-all.js';
import { checkEveryAnswer } from '../support/openapi-answers.js';
import { codeOnly, importsOf, readSources } from '../support/source-text.js';
import { TaskServiceTwin, twinNow } from '../support/task-service-twin.js';
import { typesOf } from '../support/types-of-openapi.js';

checkEveryAnswer();

async function here(options: Partial<ClientOptions> = {}) {
  const service = new TaskServiceTwin();
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const api = createApi({ ...openToAll, tasks: service, runtime });
  onTestFinished(() => api.close());
  const url = await api.listen({ host: '127.0.0.1', port: 0 });
  return { service, url, client: new ClaimkeeperClient({ url, ...options }) };
}

/** Answers what it is told, one after the other, the last for ever. */
async function scripted(
  answers: readonly { status: number; headers?: Record<string, string>; body: string }[],
) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push(`${request.method} ${request.url}`);
    request.resume();
    response.writeHead(answer?.status ?? 500, answer?.headers).end(answer?.body);
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function problem(code: string, status = 503) {
  const type = `urn:claimkeeper:error:${code}`;
  return JSON.stringify({ type, title: 't', status, detail: 'so it is', code, retryable: true });
}

const away = { status: 503, headers: { 'retry-after': '0' }, body: problem('ZOOKEEPER_UNAVAILABLE') };
const accepted = { status: 201, body: '{"kind":"created","id":"a","state":"waiting","dedupUntil":"x"}' };

describe('tasks', () => {
  test('are submitted, one by one and many, looked up, cancelled, replayed and resolved', async () => {
    const { client } = await here();
    expect(await client.submit({ id: 'a', type: 't', payload: { n: 1 } })).toMatchObject({
      kind: 'created',
      id: 'a',
    });
    const outcomes = await client.submitMany([
      { id: 'a', type: 't', payload: { n: 1 } },
      { id: 'a', type: 'other' },
    ]);
    expect(outcomes).toMatchObject([{ kind: 'same' }, { kind: 'refused', error: { code: 'TASK_CONFLICT' } }]);
    expect(await client.get('a')).toMatchObject({ id: 'a', state: 'waiting', payload: { n: 1 } });
    expect(await client.cancel('a')).toMatchObject({ state: 'cancelled' });
    await client.submitMany([
      { id: 'failed-1', type: 't' },
      { id: 'uncertain-1', type: 't' },
    ]);
    expect(await client.replay('failed-1')).toMatchObject({ replays: 1 });
    expect(await client.resolve('uncertain-1', { as: 'failed', note: 'so' })).toMatchObject({
      state: 'failed',
    });
    expect(await client.workers()).toEqual([]);
  });

  test('are waited for, until they end or the time is over', async () => {
    const { client, service } = await here();
    await client.submit({ id: 'a', type: 't' });
    expect(await client.wait('a', { seconds: 1 })).toMatchObject({ state: 'waiting' });
    const ended = client.wait('a');
    await eventually(() => expect(service.waiting.size).toBe(1), { what: 'it waits' });
    service.end('a', 'completed');
    expect(await ended).toMatchObject({ state: 'completed' });
  });

  test('a longer wait is several of what the API allows', async () => {
    const { url, asked } = await scripted([{ status: 200, body: '{"id":"a","state":"running"}' }]);
    expect(await new ClaimkeeperClient({ url }).wait('a', { seconds: 70 })).toMatchObject({
      state: 'running',
    });
    expect(asked).toEqual(['GET /v1/tasks/a?wait=30', 'GET /v1/tasks/a?wait=30', 'GET /v1/tasks/a?wait=10']);
  });

  test('an id goes as it is, whatever is in it', async () => {
    const { client } = await here();
    const id = 'a:b@c~d-_.e';
    await client.submit({ id, type: 't' });
    expect(await client.get(id)).toMatchObject({ id });
    await expect(client.get('a/b?c#d')).rejects.toMatchObject({ code: 'TASK_ID_INVALID', field: 'id' });
    for (const bad of ['', '.', '..']) {
      await expect(client.get(bad)).rejects.toMatchObject({
        code: 'TASK_ID_INVALID',
        status: 422,
        field: 'id',
      });
    }
  });
});

describe('schedules', () => {
  const report = { id: 'report', cron: '0 6 * * *', task: { type: 'report' } };

  test('are made, changed at a revision, steered, and removed', async () => {
    const { client } = await here();
    const { schedules } = client;
    const made = await schedules.create(report);
    expect(made).toMatchObject({ id: 'report', revision: 'key.0', paused: false });
    const changed = await schedules.update('report', { cron: '0 7 * * *', task: report.task }, made.revision);
    expect(changed.cron).toBe('0 7 * * *');
    const stale = schedules.update('report', { cron: '0 8 * * *', task: report.task }, made.revision);
    await expect(stale).rejects.toMatchObject({ code: 'PRECONDITION_FAILED', status: 412, retryable: false });
    expect(await schedules.pause('report')).toMatchObject({ paused: true });
    expect(await schedules.resume('report')).toMatchObject({ paused: false });
    expect(await schedules.run('report', 'k')).toMatchObject({ kind: 'created', id: 'report@run-k' });
    const asked = { count: 1, from: '2026-01-02T03:04:05+00:00' };
    expect(await schedules.next('report', asked)).toEqual(['2026-01-02T07:00:00.000Z']);
    expect(await schedules.preview(report, asked)).toEqual(['2026-01-02T06:00:00.000Z']);
    await schedules.remove('report');
    await expect(schedules.get('report')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
  });

  test('are listed over several pages', async () => {
    const { client } = await here();
    const ids = Array.from({ length: 201 }, (_, i) => `s${String(i).padStart(3, '0')}`);
    await Promise.all(ids.map((id) => client.schedules.create({ ...report, id })));
    const found: string[] = [];
    for await (const { id } of client.schedules.list()) found.push(id);
    expect(found).toEqual(ids);
  });
});

describe('errors', () => {
  test('have the code, status, field and advice of the API', async () => {
    const { client } = await here();
    const bad = client.submit({ id: 'a', type: 't', priority: 2_000 });
    const error = await bad.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ClaimkeeperApiError);
    expect(error).toMatchObject({
      code: 'SUBMISSION_INVALID',
      status: 422,
      retryable: false,
      field: 'priority',
    });
  });

  test('nobody there, and somebody else there, are API_UNREACHABLE', async () => {
    const nobody = new ClaimkeeperClient({ url: 'http://127.0.0.1:1' });
    await expect(nobody.get('a')).rejects.toMatchObject({ code: 'API_UNREACHABLE', retryable: true });
    for (const answer of [
      { status: 200, body: '<html>' },
      { status: 502, body: '{"error":"bad gateway"}' },
      { status: 503, body: '' },
    ]) {
      const { url, asked } = await scripted([answer]);
      await expect(new ClaimkeeperClient({ url }).get('a')).rejects.toMatchObject({
        code: 'API_UNREACHABLE',
      });
      expect(asked).toHaveLength(1);
    }
  });

  test('a redirection is not followed, as that may make a GET of a POST', async () => {
    const there = await scripted([{ status: 200, body: accepted.body }]);
    for (const status of [301, 302, 303, 307, 308]) {
      const { url } = await scripted([{ status, headers: { location: `${there.url}/v1/tasks` }, body: '' }]);
      const client = new ClaimkeeperClient({ url });
      const refused = { code: 'API_UNREACHABLE', message: expect.stringContaining('it redirects') };
      await expect(client.submit({ id: 'a', type: 't' })).rejects.toMatchObject(refused);
      await expect(client.events().next()).rejects.toMatchObject(refused);
    }
    expect(there.asked).toEqual([]);
  });

  test('fewer outcomes than tasks, or none, are no answer', async () => {
    const tasks = ['a', 'b'].map((id) => ({ id, type: 't' }));
    for (const body of [`{"outcomes":[${accepted.body}]}`, '{"outcomes":[]}', '{}']) {
      const { url, asked } = await scripted([{ status: 200, body }]);
      const refused = new ClaimkeeperClient({ url }).submitMany(tasks);
      await expect(refused).rejects.toMatchObject({ code: 'API_UNREACHABLE', retryable: true });
      expect(asked).toHaveLength(1);
    }
  });

  test('no answer in time is API_UNREACHABLE', async () => {
    const { client, service } = await here({ timeoutMs: 50 });
    service.get = () => new Promise(() => undefined);
    await expect(client.get('a')).rejects.toThrow('no answer within 50 ms');
  });
});

describe('a 503 that says when to ask again', () => {
  test('is asked again, as often as was said and no more', async () => {
    const { url, asked } = await scripted([away, away, accepted]);
    expect(await new ClaimkeeperClient({ url }).submit({ id: 'a', type: 't' })).toMatchObject({
      kind: 'created',
    });
    expect(asked).toHaveLength(3);
    const never = await scripted([away]);
    const client = new ClaimkeeperClient({ url: never.url, retry: { attempts: 2 } });
    await expect(client.get('a')).rejects.toMatchObject({ code: 'ZOOKEEPER_UNAVAILABLE' });
    expect(never.asked).toHaveLength(2);
  });

  test('is not when that is later than was allowed, and not without it', async () => {
    for (const headers of [{ 'retry-after': '6' }, {}]) {
      const { url, asked } = await scripted([{ ...away, headers }, accepted]);
      await expect(new ClaimkeeperClient({ url }).get('a')).rejects.toMatchObject({ status: 503 });
      expect(asked).toHaveLength(1);
    }
  });

  test('where the outcome is unknown, only what may be done twice is', async () => {
    const unknown = { ...away, body: problem('OUTCOME_UNKNOWN') };
    const submit = await scripted([unknown, accepted]);
    await new ClaimkeeperClient({ url: submit.url }).submit({ id: 'a', type: 't' });
    const replay = await scripted([unknown, accepted]);
    await expect(new ClaimkeeperClient({ url: replay.url }).replay('a')).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
    });
    const run = await scripted([unknown, accepted]);
    await expect(new ClaimkeeperClient({ url: run.url }).schedules.run('a')).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
    });
    await new ClaimkeeperClient({ url: run.url }).schedules.run('a', 'key');
    expect([submit.asked.length, replay.asked.length, run.asked.length]).toEqual([2, 1, 2]);
  });

  test('comes from the API itself while ZooKeeper is away', async () => {
    const { client, service } = await here();
    service.failure = new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', 'no quorum');
    const get = service.get.bind(service);
    let asked = 0;
    service.get = (id) => {
      asked += 1;
      if (asked === 2) service.failure = null;
      return get(id);
    };
    await expect(client.get('a')).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
    expect(asked).toBe(2);
  });
});

describe('a 429', () => {
  const limited = { status: 429, headers: { 'retry-after': '0' }, body: problem('RATE_LIMITED', 429) };

  test('is waited out, and is no attempt', async () => {
    const { url, asked } = await scripted([limited, limited, limited, limited, accepted]);
    const client = new ClaimkeeperClient({ url, retry: { attempts: 1 } });
    expect(await client.submit({ id: 'a', type: 't' })).toMatchObject({ kind: 'created' });
    expect(asked).toHaveLength(5);
  });

  test('is given up where it takes longer than an answer may', async () => {
    const { url, asked } = await scripted([{ ...limited, headers: { 'retry-after': '2' } }]);
    const client = new ClaimkeeperClient({ url, timeoutMs: 1_000 });
    await expect(client.get('a')).rejects.toMatchObject({ code: 'RATE_LIMITED', status: 429 });
    expect(asked).toHaveLength(1);
  });
});

describe('lists, queues and events', () => {
  const task = {
    ...{ id: 'a' as TaskId, type: 'mail' as Name, queue: 'default' as Name, state: 'failed' as const },
    ...{ attempt: 1, acceptedAt: twinNow, startedAt: null, finishedAt: null, errorCode: null },
    ...{ replays: 0, worker: null },
  };

  test('tasks are listed as asked for, queues are counted, paused and resumed', async () => {
    const { client, service } = await here();
    service.summaries = [task];
    const page = await client.list({ state: 'failed', limit: 5 });
    expect(page).toMatchObject({ tasks: [{ id: 'a' }], cursor: null, rebuilding: false });
    expect(service.asked).toEqual([{ state: 'failed', limit: 5 }]);
    expect(await client.pauseQueue('default')).toMatchObject({ queue: 'default', paused: true });
    expect((await client.queues()).queues).toMatchObject([{ queue: 'default', paused: true }]);
    expect(await client.resumeQueue('default')).toMatchObject({ paused: false });
    await expect(client.pauseQueue('')).rejects.toMatchObject({ code: 'NAME_INVALID', field: 'queue' });
  });

  test('events come as they are, until nobody reads or it is said to end', async () => {
    const { client, service } = await here();
    service.feed = [
      { kind: 'gap', after: '1-0' },
      { kind: 'quiet', id: '4-0' },
      { kind: 'event', id: '5-0', at: twinNow, from: 'running', task },
    ];
    const items = [];
    for await (const item of client.events({ queue: 'default' }, { after: '1-0' })) {
      items.push(item);
      if (item.kind === 'event') break;
    }
    expect(items).toMatchObject([
      { kind: 'quiet', id: null },
      { kind: 'gap' },
      { kind: 'quiet', id: '4-0' },
      { kind: 'event', id: '5-0', change: { from: 'running', task: { id: 'a' } } },
    ]);
    expect(service.asked).toEqual([{ queue: 'default', after: '1-0' }]);
    await eventually(() => expect(service.following).toBe(0), { what: 'the request has ended' });
    const over = new AbortController();
    for await (const { kind } of client.events({}, { signal: over.signal }))
      if (kind === 'event') over.abort();
    await eventually(() => expect(service.following).toBe(0), { what: 'the second has ended, too' });
  });

  test('a stream that is refused throws as any call does', async () => {
    const { client } = await here();
    const refused = client.events({ queue: '.x' }).next();
    await expect(refused).rejects.toMatchObject({ code: 'NAME_INVALID', status: 422 });
    const nobody = new ClaimkeeperClient({ url: 'http://127.0.0.1:1' });
    await expect(nobody.events().next()).rejects.toMatchObject({ code: 'API_UNREACHABLE' });
  });

  test('a key goes with every request, that of a stream included', async () => {
    const seen: (string | undefined)[] = [];
    const answering: typeof fetch = async (_url, { headers } = {}) => {
      seen.push((headers as Record<string, string>).authorization);
      return new Response('{"queues":[],"rebuilding":false}');
    };
    const client = new ClaimkeeperClient({ url: 'http://a.example', apiKey: 'ck_x', fetch: answering });
    await client.queues();
    await client.events().next();
    expect(seen).toEqual(['Bearer ck_x', 'Bearer ck_x']);
  });
});

describe('the client is for any runtime', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const sources = readSources(root, ['src/client'], ['.ts']);

  test('it imports nothing but itself, and names nothing that is Node.js alone', () => {
    expect(sources.size).toBeGreaterThan(4);
    for (const [path, text] of sources) {
      expect([path, importsOf(text).filter((module) => !module.startsWith('./'))]).toEqual([path, []]);
      expect([
        path,
        codeOnly(text).match(/\b(process|Buffer|require|global|__dirname|setImmediate)\b/g),
      ]).toEqual([path, null]);
    }
  });

  test('the package exports it', () => {
    const { exports } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
      exports: Record<string, { default: string; types: string }>;
    };
    expect(exports['./client']).toEqual({
      types: './dist/src/client/index.d.ts',
      default: './dist/src/client/index.js',
    });
  });

  test('its types are what the OpenAPI document says, word for word', () => {
    const plain = (text: string): string =>
      text
        .replaceAll(/\/\*\*|\*\/|\n \*/g, '')
        .replaceAll(/[\s|]+/g, ' ')
        .trim();
    const written = (sources.get('src/client/shapes.ts') ?? '').replace(/^\/\/.*\n/, '');
    expect(plain(written)).toBe(plain(typesOf(openApiDocument().components.schemas)));
  });
});
