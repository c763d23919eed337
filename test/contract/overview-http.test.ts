// overview-http.test.ts: lists, queues and events over HTTP: their shapes, what they refuse, and how a stream begins and ends. The
// service behind them is a twin.

import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { FeedItem } from '../../src/delivery/index.js';
import {
  ClaimkeeperError,
  limits,
  type Name,
  type State,
  type TaskId,
  type TaskSummary,
} from '../../src/domain/index.js';
import { buildApp } from '../../src/http/app.js';
import { createApi } from '../../src/http/index.js';
import { type Clock, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { signalled } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { ManualClock } from '../support/manual-clock.js';
import { openToAll } from '../support/open-to-all.js';
import { checkEveryAnswer, violationsOfSchema } from '../support/openapi-answers.js';
import { TaskServiceTwin, twinNow } from '../support/task-service-twin.js';

checkEveryAnswer();

async function api(clock: Clock = systemClock) {
  const service = new TaskServiceTwin();
  const runtime = { clock, random: systemRandom, log: silentLogger };
  const server = createApi({ ...openToAll, tasks: service, runtime });
  onTestFinished(() => server.close());
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  const ask = async (path: string, method = 'GET', headers = {}) => {
    const response = await fetch(`${url}${path}`, { method, headers });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { service, server, url, ask };
}

function summary(id: string, state: State = 'waiting', queue = 'default'): TaskSummary {
  return {
    id: id as TaskId,
    type: 'mail' as Name,
    queue: queue as Name,
    state,
    attempt: 1,
    acceptedAt: twinNow,
    startedAt: null,
    finishedAt: null,
    errorCode: null,
    replays: 0,
    worker: null,
  };
}

const shown = {
  type: 'mail',
  queue: 'default',
  state: 'waiting',
  attempt: 1,
  acceptedAt: '2026-01-02T03:04:05.006Z',
  startedAt: null,
  finishedAt: null,
  errorCode: null,
  replays: 0,
  worker: null,
};

describe('GET /v1/tasks', () => {
  test('tasks as summaries, with times in ISO 8601, the cursor and whether it is whole', async () => {
    const { service, ask } = await api();
    service.summaries = [summary('a')];
    service.rebuilding = true;
    expect(await ask('/v1/tasks')).toEqual({
      status: 200,
      body: { tasks: [{ id: 'a', ...shown }], cursor: null, rebuilding: true },
    });
  });

  test('every parameter reaches the list as what it is', async () => {
    const { service, ask } = await api();
    const query =
      'state=failed&queue=q&type=t&errorCode=HANDLER_FAILED&limit=7&acceptedAfter=1&acceptedBefore=2026-01-02T03:04:05Z';
    expect((await ask(`/v1/tasks?${query}`)).status).toBe(200);
    expect(service.asked).toEqual([
      {
        ...{ state: 'failed', queue: 'q', type: 't', errorCode: 'HANDLER_FAILED', limit: 7 },
        ...{ acceptedAfter: 1, acceptedBefore: '2026-01-02T03:04:05Z' },
      },
    ]);
  });

  test.each([
    ['limit=0', 'limit', 400],
    [`limit=${limits.listTasksMax + 1}`, 'limit', 400],
    ['limit=many', 'limit', 400],
    ['limit=1.5', 'limit', 400],
    ['cursor=zzz', 'cursor', 400],
    ['cursor=', 'cursor', 400],
    ['state=done', 'state', 400],
    ['state=failed&state=waiting', 'state', 400],
    ['acceptedAfter=yesterday', 'acceptedAfter', 400],
    ['errorCode=a%20b', 'errorCode', 400],
    ['sate=failed', 'sate', 400],
    ['queue=a%2Fb', 'queue', 422],
    ['type=.x', 'type', 422],
  ])('?%s is refused and names %s', async (query, field, status) => {
    const { ask } = await api();
    const { body, ...answer } = await ask(`/v1/tasks?${query}`);
    expect(answer).toEqual({ status });
    expect(body).toMatchObject({ field, status });
  });

  test('what may have been meant is said', async () => {
    const { ask } = await api();
    expect((await ask('/v1/tasks?sate=failed')).body.detail).toContain('did you mean state?');
  });

  test('Redis away: 503, worth another try', async () => {
    const { service, ask } = await api();
    service.overviewFailure = new ClaimkeeperError('REDIS_UNAVAILABLE', 'it is away');
    for (const path of ['/v1/tasks', '/v1/queues', '/v1/events']) {
      expect(await ask(path)).toMatchObject({
        status: 503,
        body: { code: 'REDIS_UNAVAILABLE', retryable: true },
      });
    }
  });
});

describe('queues', () => {
  test('GET /v1/queues: counts, age and pause of each', async () => {
    const { service, ask } = await api();
    service.summaries = [summary('a'), summary('b', 'failed')];
    const { body } = await ask('/v1/queues');
    expect(body).toEqual({
      queues: [
        {
          queue: 'default',
          counts: { waiting: 1, running: 0, completed: 0, failed: 1, cancelled: 0, uncertain: 0 },
          oldestDueMs: 1_500,
          paused: false,
          pausedSince: null,
        },
      ],
      rebuilding: false,
    });
    expect(await ask('/v1/queues?state=x')).toMatchObject({ status: 400, body: { field: 'state' } });
  });

  test('pause and resume say how it is now; a name that is none is refused', async () => {
    const { service, ask } = await api();
    const since = '1970-01-01T00:00:00.000Z';
    expect(await ask('/v1/queues/mail/pause', 'POST')).toEqual({
      status: 200,
      body: { queue: 'mail', paused: true, since },
    });
    expect([...service.paused.keys()]).toEqual(['mail']);
    expect((await ask('/v1/queues/mail/resume', 'POST')).body).toMatchObject({ paused: false });
    expect(await ask('/v1/queues/.mail/pause', 'POST')).toMatchObject({
      status: 422,
      body: { code: 'NAME_INVALID' },
    });
  });
});

describe('GET /v1/events', () => {
  const change: FeedItem = {
    kind: 'event',
    id: '5-0',
    at: twinNow,
    from: 'waiting',
    task: summary('a', 'running'),
  };

  /** An open stream; its text so far is in `text()`. */
  async function open(url: string, path: string, headers = {}) {
    const asked = request(`${url}${path}`, { headers });
    asked.end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    let text = '';
    response.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    const ended = new Promise<void>((resolve) => response.once('close', resolve));
    onTestFinished(() => void asked.destroy());
    return { response, asked, text: () => text, ended };
  }

  test('each change is a message with its id; a gap and a quiet while are said', async () => {
    const { service, url } = await api();
    service.feed = [{ kind: 'gap', after: '1-0' }, change, { kind: 'quiet', id: '9-0' }];
    const { response, text } = await open(url, '/v1/events?after=1-0');
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(response.headers['cache-control']).toBe('no-store');
    const view = {
      at: '2026-01-02T03:04:05.006Z',
      from: 'waiting',
      task: { id: 'a', ...shown, state: 'running' },
    };
    await eventually(
      async () =>
        expect(text()).toBe(
          [
            'retry: 1000',
            'event: gap\ndata: {"after":"1-0"}',
            `id: 5-0\nevent: task\ndata: ${JSON.stringify(view)}`,
            ': heartbeat\nid: 9-0',
            '',
          ].join('\n\n'),
        ),
      { what: 'all messages are there' },
    );
    expect(violationsOfSchema('Change', JSON.stringify(view))).toEqual([]);
  });

  test('a client that does not read is cut off once its time is over, and not before', async () => {
    const clock = new ManualClock();
    const { service, url } = await api(clock);
    // More than the buffers on the way hold.
    service.feed = Array.from({ length: 100_000 }, () => change);
    const asked = request(`${url}/v1/events`);
    asked.on('error', () => undefined).end();
    onTestFinished(() => void asked.destroy());
    await once(asked, 'response');
    await eventually(() => expect(clock.nextDueInMs()).toBe(limits.requestMsMax), {
      what: 'the stream waits for its client',
    });
    await clock.advance(limits.requestMsMax - 1);
    expect(service.following).toBe(1);
    await clock.advance(1);
    await eventually(() => expect(service.following).toBe(0), { what: 'the stream is over' });
  });

  test('the header goes before the parameter, as for a client that comes back', async () => {
    const { service, url } = await api();
    await open(url, '/v1/events?after=1-0&queue=mail', { 'last-event-id': '7-3' });
    expect(service.asked).toEqual([{ after: '7-3', queue: 'mail' }]);
  });

  test.each([
    ['after=soon', 'after'],
    ['state=done', 'state'],
    ['errorCode=X', 'errorCode'],
  ])('?%s is refused as a problem document, not as a stream', async (query, field) => {
    const { ask } = await api();
    expect(await ask(`/v1/events?${query}`)).toMatchObject({ status: 400, body: { field } });
  });

  test('a client that goes away ends its stream', async () => {
    const { service, url } = await api();
    const { asked } = await open(url, '/v1/events');
    await eventually(async () => expect(service.following).toBe(1), { what: 'it follows' });
    asked.destroy();
    await eventually(async () => expect(service.following).toBe(0), { what: 'nobody follows' });
  });

  test('when the API stops, streams end in full, and the stop does not wait for their clients', async () => {
    const { service, server, url } = await api();
    const { response, ended } = await open(url, '/v1/events');
    await eventually(async () => expect(service.following).toBe(1), { what: 'it follows' });
    const startedAt = performance.now();
    await server.close();
    await ended;
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(response.complete).toBe(true);
    expect(service.following).toBe(0);
  });

  test('one that is asked for once the API has begun to stop ends at once, and the stop with it', async () => {
    const service = new TaskServiceTwin();
    const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
    const app = buildApp({ ...openToAll, tasks: service, runtime });
    const stopping = signalled();
    app.addHook('preClose', async () => stopping.resolve());
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    let answer = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part;
    });
    socket.write('GET /v1/events HTTP/1.1\r\nHost: x\r\n');
    await fetch(`${url}/livez`); // What was sent before it has arrived.
    const closed = app.close();
    await stopping.promise;
    socket.write('Connection: close\r\n\r\n');
    await once(socket, 'close');
    await closed;
    expect([answer.slice(0, 15), service.following]).toEqual(['HTTP/1.1 200 OK', 0]);
  });

  test('beyond their limit streams are refused, and again accepted when others have ended', async () => {
    const { ask, url } = await api();
    const streams = await Promise.all(
      Array.from({ length: limits.followersMax }, () => open(url, '/v1/events')),
    );
    expect(await ask('/v1/events')).toMatchObject({ status: 503, body: { code: 'FOLLOWERS_LIMIT' } });
    streams[0]?.asked.destroy();
    await eventually(async () => expect((await open(url, '/v1/events')).response.statusCode).toBe(200), {
      what: 'there is room again',
    });
  });

  test('HEAD is no way to hold a stream open', async () => {
    const { url } = await api();
    const response = await fetch(`${url}/v1/events`, { method: 'HEAD' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, OPTIONS']);
  });
});
