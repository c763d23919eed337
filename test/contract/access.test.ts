// access.test.ts: who is let in: every key on every route that the application has, keys that are none, queues that a key
// does not cover, and callers that ask too often. The service behind the API is a twin, its clock the test's.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { FastifyInstance, LightMyRequestResponse, RouteOptions } from 'fastify';
import Fastify from 'fastify';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type ApiKey,
  type EpochMs,
  hashOfSecret,
  type KeyScope,
  keyScopes,
  keyText,
  parseKeyId,
  type TaskSummary,
} from '../../src/domain/index.js';
import { buildApp } from '../../src/http/app.js';
import { requireScopes } from '../../src/http/scope.js';
import { type Clock, silentLogger, systemRandom } from '../../src/runtime/index.js';
import { signalled } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { violationsOf } from '../support/openapi-answers.js';
import { TaskServiceTwin, twinNow } from '../support/task-service-twin.js';

const secret = 's'.repeat(43);
const id = parseKeyId('0123456789abcdef');
const presented = `Bearer ${keyText(id, secret)}`;

function keyWith(more: Partial<ApiKey> = {}): ApiKey {
  const hash = hashOfSecret(secret);
  const scopes = [...keyScopes];
  return { id, name: 'k', hash, scopes, queues: ['*'], createdAt: twinNow, expiresAt: null, ...more };
}

function summaryOf(task: string): object {
  const times = { acceptedAt: twinNow, startedAt: null, finishedAt: null };
  const rest = { attempt: 1, errorCode: null, replays: 0, worker: null };
  return { id: task, type: 't', state: 'waiting', ...times, ...rest };
}

/** Of whoever is let in at a gate. */
const admittedStatus = 299;

type Here = {
  readonly app: FastifyInstance;
  readonly service: TaskServiceTwin;
  readonly time: { nowMs: number; monotonicMs: number };
  readonly book: Map<string, ApiKey>;
  ask(
    method: string,
    url: string,
    authorization?: string,
    body?: unknown,
    remoteAddress?: string,
  ): Promise<LightMyRequestResponse>;
};

function here(options: { key?: ApiKey; required?: boolean; perSecond?: number } = {}): Here {
  const { key = keyWith(), required = true, perSecond = 0 } = options;
  const time = { nowMs: twinNow as number, monotonicMs: 0 };
  const clock: Clock = {
    now: () => time.nowMs as EpochMs,
    monotonic: () => time.monotonicMs as never,
    after: () => ({ cancel: () => undefined }),
    atEndOfTurn: (fn) => void setImmediate(fn),
  };
  const service = new TaskServiceTwin();
  const book = new Map([[key.id as string, key]]);
  const access = { keys: { find: (each: string) => book.get(each) ?? null }, required };
  const runtime = { clock, random: systemRandom, log: silentLogger };
  const app = buildApp({ tasks: service, runtime, access, rateLimitPerSecond: perSecond });
  onTestFinished(() => app.close());
  // Whatever is answered is described, but for what the test's own gates answer.
  const ask: Here['ask'] = async (method, url, authorization, body, remoteAddress = '127.0.0.1') => {
    const payload = body === undefined ? {} : { payload: body as object };
    const headers = authorization === undefined ? {} : { authorization };
    const asked = { method: method as 'GET', url, headers, remoteAddress, ...payload };
    const response = await app.inject(asked);
    const { statusCode: status, headers: answered } = response;
    const answer = { method, url, status, headers: answered, body: response.body };
    if (status !== admittedStatus) expect(violationsOf(answer)).toEqual([]);
    return response;
  };
  return { app, service, time, book, ask };
}

/** The application with its routes as they are declared; whoever is admitted to one is answered `admittedStatus`, and nothing is done. */
function gates(options: Parameters<typeof here>[0] = {}): Here & { readonly routes: RouteOptions[] } {
  const routes: RouteOptions[] = [];
  const onNew = (message: unknown): void => {
    const { fastify } = message as { fastify: FastifyInstance };
    fastify.addHook('onRoute', (route) => void routes.push(route));
    fastify.addHook('preParsing', async (_request, reply) => reply.code(admittedStatus).send('admitted'));
  };
  subscribe('fastify.initialization', onNew);
  const made = here(options);
  unsubscribe('fastify.initialization', onNew);
  return { ...made, routes };
}

const subsets = Array.from({ length: 2 ** keyScopes.length }, (_, bits) =>
  keyScopes.filter((_scope, i) => (bits >> i) % 2 === 1),
);

describe('every route', () => {
  test.each(subsets.map((scopes) => [scopes]))(
    'with a key of %j: those of its scopes, those that are open, no other',
    async (scopes) => {
      const { ask, routes } = gates({ key: keyWith({ scopes }) });
      expect(routes.length).toBeGreaterThan(6);
      for (const { method, url, config } of routes) {
        const scope = config?.scope;
        const response = await ask(String(method), url.replaceAll(/:\w+/g, 'x'), presented);
        const admitted = scope === 'open' || scopes.includes(scope as KeyScope);
        expect([method, url, response.statusCode]).toEqual([method, url, admitted ? admittedStatus : 403]);
        if (admitted || method === 'HEAD') continue;
        const { code, detail } = response.json();
        expect([code, detail]).toEqual(['SCOPE_MISSING', expect.stringContaining(`scope "${scope}"`)]);
      }
    },
  );

  test('without a key: 401 that says how, but for those that are open', async () => {
    const { ask, routes } = gates();
    for (const { method, url, config } of routes) {
      const response = await ask(String(method), url.replaceAll(/:\w+/g, 'x'));
      expect([method, url, response.statusCode]).toEqual([
        method,
        url,
        config?.scope === 'open' ? admittedStatus : 401,
      ]);
      if (response.statusCode !== 401) continue;
      expect(response.headers['www-authenticate']).toBe('Bearer realm="claimkeeper"');
      if (method !== 'HEAD')
        expect(response.json()).toMatchObject({ code: 'KEY_REQUIRED', retryable: false });
    }
  });

  test('where none is required: all without a key; a key that is shown is held to its scopes', async () => {
    const { ask, routes } = gates({ required: false, key: keyWith({ scopes: ['read'] }) });
    for (const { method, url, config } of routes) {
      const path = url.replaceAll(/:\w+/g, 'x');
      expect((await ask(String(method), path)).statusCode).toBe(admittedStatus);
      const admitted = config?.scope === 'open' || config?.scope === 'read';
      expect((await ask(String(method), path, presented)).statusCode).toBe(admitted ? admittedStatus : 403);
    }
  });

  test('all scopes are taken by some', () => {
    const taken = new Set(gates().routes.map(({ config }) => config?.scope));
    expect(taken).toEqual(new Set(['open', ...keyScopes]));
  });

  test('one that declares no scope keeps the application from starting', async () => {
    const app = Fastify();
    requireScopes(app);
    app.get('/fine', { config: { scope: 'open' } }, async () => 'fine');
    app.get('/forgotten', async () => 'everything');
    await expect(app.ready()).rejects.toThrow('the route /forgotten declares no scope');
  });
});

describe('a key that is presented', () => {
  test.each([
    ['another scheme', `Basic ${Buffer.from('a:b').toString('base64')}`],
    ['no scheme', keyText(id, secret)],
    ['nothing', ''],
    ['the scheme alone', 'Bearer'],
    ['the scheme and blanks', 'Bearer   '],
    ['half a key', `Bearer ck_${id}`],
    ['a key and more', `${presented} more`],
    ['two keys', `${presented}, ${presented}`],
    ['a tab for a blank', presented.replace(' ', '\t')],
    ['a wrong secret', `Bearer ${keyText(id, 'x'.repeat(43))}`],
    ['an unknown id', `Bearer ${keyText(parseKeyId('f'.repeat(16)), secret)}`],
    ['a name of every object', 'Bearer ck___proto___s'],
    ['a long text', `Bearer ck_${'x'.repeat(10_000)}`],
    ['what is no ASCII', 'Bearer ck_\u00e9'],
  ])('as %s is refused, and not quoted; also where none is required', async (_name, header) => {
    for (const required of [true, false]) {
      const response = await here({ required }).ask('GET', '/v1/tasks/x', header);
      expect(response.json()).toMatchObject({ code: 'KEY_INVALID', status: 401 });
      expect(response.headers['www-authenticate']).toBe('Bearer realm="claimkeeper", error="invalid_token"');
      const given = header.replace(/^\w+\s+/, '');
      if (given.length > 10) expect(response.body).not.toContain(given);
    }
  });

  test('an unknown id is answered as a wrong secret is, to the letter', async () => {
    const { ask } = here();
    const wrong = await ask('GET', '/v1/tasks/x', `Bearer ${keyText(id, 'x'.repeat(43))}`);
    const unknown = await ask('GET', '/v1/tasks/x', `Bearer ${keyText(parseKeyId('f'.repeat(16)), secret)}`);
    expect(unknown.body).toBe(wrong.body);
  });

  test('its scheme is written in any case', async () => {
    expect((await here().ask('GET', '/v1/tasks/x', presented.replace('Bearer', 'bearer'))).statusCode).toBe(
      404,
    );
  });

  test('counts until the moment it expires, and only its holder learns that it did', async () => {
    const { ask, time } = here({ key: keyWith({ expiresAt: (twinNow + 1_000) as EpochMs }) });
    time.nowMs = twinNow + 999;
    expect((await ask('GET', '/v1/tasks/x', presented)).statusCode).toBe(404);
    time.nowMs = twinNow + 1_000;
    const expired = await ask('GET', '/v1/tasks/x', presented);
    expect([expired.statusCode, expired.json()]).toMatchObject([401, { code: 'KEY_EXPIRED' }]);
    const forged = await ask('GET', '/v1/tasks/x', `Bearer ${keyText(id, 'x'.repeat(43))}`);
    expect(forged.json()).toMatchObject({ code: 'KEY_INVALID' });
  });

  test('counts no more once it is not among the keys', async () => {
    const { ask, book } = here();
    expect((await ask('GET', '/v1/tasks/x', presented)).statusCode).toBe(404);
    book.clear();
    expect((await ask('GET', '/v1/tasks/x', presented)).json()).toMatchObject({ code: 'KEY_INVALID' });
  });

  test('is asked for before a body is read', async () => {
    const { app } = here();
    const headers = { 'content-type': 'application/json' };
    const response = await app.inject({ method: 'POST', url: '/v1/tasks', headers, payload: '{"id":' });
    expect(response.statusCode).toBe(401);
  });
});

describe('a key for some queues', () => {
  const mail = { id: 'm', type: 't', queue: 'mail-eu' };
  const bank = { id: 'failed-b', type: 't', queue: 'bank' };
  const forMail = { key: keyWith({ queues: ['mail-*'] }), required: false };

  test('submits into them, and into no other, the default included', async () => {
    const { ask, service } = here(forMail);
    expect((await ask('POST', '/v1/tasks', presented, mail)).statusCode).toBe(201);
    for (const task of [bank, { id: 'd', type: 't' }]) {
      const response = await ask('POST', '/v1/tasks', presented, task);
      expect([response.statusCode, response.json()]).toMatchObject([
        403,
        { code: 'QUEUE_FORBIDDEN', field: 'queue' },
      ]);
    }
    expect([...service.tasks.keys()]).toEqual(['m']);
  });

  test('lists, counts, pauses and follows them, and no other', async () => {
    const { ask, app, service } = here(forMail);
    const summary = { ...summaryOf('m'), queue: 'mail-eu' } as TaskSummary;
    const foreign = { ...summaryOf('b'), queue: 'bank' } as TaskSummary;
    service.summaries = [summary, foreign];
    const event = { kind: 'event', id: '1-0', at: twinNow, from: null } as const;
    service.feed = [
      { ...event, task: foreign },
      { ...event, id: '2-0', task: summary },
    ];
    for (const url of ['/v1/tasks', '/v1/tasks?queue=bank']) {
      expect((await ask('GET', url, presented)).json()).toMatchObject({
        code: 'QUEUE_FORBIDDEN',
        field: 'queue',
      });
    }
    expect((await ask('GET', '/v1/tasks?queue=mail-eu', presented)).statusCode).toBe(200);
    const { queues } = (await ask('GET', '/v1/queues', presented)).json();
    expect(queues.map(({ queue }: { queue: string }) => queue)).toEqual(['mail-eu']);
    for (const act of ['pause', 'resume']) {
      expect((await ask('POST', `/v1/queues/bank/${act}`, presented)).statusCode).toBe(403);
      expect((await ask('POST', `/v1/queues/mail-eu/${act}`, presented)).statusCode).toBe(200);
    }
    const following = ask('GET', '/v1/events', presented);
    await eventually(() => expect(service.following).toBe(1), { what: 'the stream has begun' });
    await app.close();
    const { body } = await following;
    expect(body).toContain('2-0');
    expect(body).not.toContain('bank');
  });

  test('waits for no task of another', async () => {
    const { ask, service } = here(forMail);
    for (const task of [bank, mail]) await ask('POST', '/v1/tasks', undefined, task);
    const refused = await ask('GET', `/v1/tasks/${bank.id}?wait=30`, presented);
    expect(refused.json()).toMatchObject({ code: 'QUEUE_FORBIDDEN' });
    const own = ask('GET', `/v1/tasks/${mail.id}?wait=30`, presented);
    await eventually(() => expect([...service.waiting.keys()]).toEqual(['m']), { what: 'it waits' });
    service.end('m', 'completed');
    expect((await own).json()).toMatchObject({ state: 'completed' });
  });

  test('reads a task of its own once, and once more after a wait', async () => {
    const { ask, service } = here(forMail);
    await ask('POST', '/v1/tasks', undefined, mail);
    service.ended.set('m', 'running');
    service.said.set('m:1', { half: true });
    service.said.set('m:2', 'of another attempt');
    let reads = 0;
    const get = service.get.bind(service);
    service.get = (id) => {
      reads += 1;
      return get(id);
    };
    const { progress } = (await ask('GET', '/v1/tasks/m', presented)).json();
    expect([progress, reads]).toEqual([{ half: true }, 1]);
    const waiting = ask('GET', '/v1/tasks/m?wait=30', presented);
    await eventually(() => expect(service.waiting.size).toBe(1), { what: 'it waits' });
    service.end('m', 'completed');
    expect((await waiting).json()).toMatchObject({ state: 'completed' });
    expect(reads).toBe(3);
  });

  describe('schedules', () => {
    const times = { cron: '0 6 * * *' };
    const own = { id: 'own', ...times, task: { type: 't', queue: 'mail-eu' } };
    const foreign = { id: 'foreign', ...times, task: { type: 't', queue: 'bank' } };
    const refusal = { code: 'QUEUE_FORBIDDEN', status: 403 };

    test('are made and moved into them, and into no other, the default included', async () => {
      const { ask, service } = here(forMail);
      for (const definition of [foreign, { ...foreign, task: { type: 't' } }]) {
        const response = await ask('POST', '/v1/schedules', presented, definition);
        expect(response.json()).toMatchObject({ ...refusal, field: 'task.queue' });
      }
      expect((await ask('POST', '/v1/schedules', presented, own)).statusCode).toBe(201);
      const { id: _id, ...moved } = { ...own, task: foreign.task };
      const response = await ask('PUT', '/v1/schedules/own', presented, moved);
      expect(response.json()).toMatchObject({ ...refusal, field: 'task.queue' });
      const { id: _own, ...later } = { ...own, cron: '0 7 * * *' };
      expect((await ask('PUT', '/v1/schedules/own', presented, later)).statusCode).toBe(200);
      expect([...service.schedules.held.keys()]).toEqual(['own']);
    });

    test.each([
      ['GET', '', undefined],
      ['GET', '/next', undefined],
      ['PUT', '', { ...times, task: own.task }],
      ['POST', '/pause', undefined],
      ['POST', '/resume', undefined],
      ['POST', '/run', undefined],
      ['DELETE', '', undefined],
    ] as const)('%s …%s of one for another is refused, and nothing is done', async (method, act, body) => {
      const { ask, service } = here(forMail);
      for (const definition of [own, foreign]) await ask('POST', '/v1/schedules', undefined, definition);
      const before = await service.schedules.get('foreign');
      const response = await ask(method, `/v1/schedules/foreign${act}`, presented, body);
      expect(response.json()).toMatchObject(refusal);
      expect(response.body).not.toContain('bank');
      expect(await service.schedules.get('foreign')).toEqual(before);
      expect((await ask(method, `/v1/schedules/own${act}`, presented, body)).statusCode).toBeLessThan(300);
    });

    test('are listed without the others, in whole pages', async () => {
      const { ask, service } = here(forMail);
      for (const n of [1, 2, 3, 4, 5, 6]) {
        const task = n % 3 === 0 ? own.task : foreign.task;
        await ask('POST', '/v1/schedules', undefined, { id: `s${n}`, ...times, task });
      }
      const page = async (query: string): Promise<unknown[]> => {
        const { schedules, cursor } = (await ask('GET', `/v1/schedules?${query}`, presented)).json();
        return [...schedules.map(({ id }: { id: string }) => id), cursor];
      };
      expect(await page('limit=1')).toEqual(['s3', 's3']);
      expect(await page('limit=1&cursor=s3')).toEqual(['s6', 's6']);
      expect(await page('limit=1&cursor=s6')).toEqual([null]);
      expect(await page('limit=50')).toEqual(['s3', 's6', null]);
      expect(service.schedules.lists).toBe(4);
    });

    test('are previewed whatever their queue, for nothing is stored', async () => {
      const { ask } = here(forMail);
      const response = await ask('POST', '/v1/schedules/preview?count=1', presented, foreign);
      expect([response.statusCode, response.json().ticks]).toMatchObject([200, [expect.any(String)]]);
    });
  });

  test('of a batch each task is judged for itself, in order', async () => {
    const { ask, service } = here(forMail);
    const tasks = [bank, mail, null, { ...mail, id: 'no id' }, { ...bank, id: 'b2' }, { ...mail, id: 'm2' }];
    const { outcomes } = (await ask('POST', '/v1/tasks/batch', presented, { tasks })).json();
    expect(
      outcomes.map((each: { kind: string; error?: { code: string } }) => each.error?.code ?? each.kind),
    ).toEqual([
      'QUEUE_FORBIDDEN',
      'created',
      'QUEUE_FORBIDDEN',
      'TASK_ID_INVALID',
      'QUEUE_FORBIDDEN',
      'created',
    ]);
    expect([...service.tasks.keys()]).toEqual(['m', 'm2']);
  });

  test.each([
    ['GET', '', undefined],
    ['POST', '/replay', undefined],
    ['POST', '/cancel', undefined],
    ['POST', '/resolve', { as: 'failed', note: 'so' }],
  ] as const)(
    '%s …%s of a task of another is refused, and its queue not named',
    async (method, act, body) => {
      const { ask, service } = here(forMail);
      const touched: string[] = [];
      for (const name of ['replay', 'cancel', 'resolve'] as const) {
        const real = service[name].bind(service) as (...args: unknown[]) => Promise<never>;
        service[name] = async (...args: unknown[]) => {
          touched.push(name);
          return real(...args);
        };
      }
      await ask('POST', '/v1/tasks', undefined, bank);
      const response = await ask(method, `/v1/tasks/${bank.id}${act}`, presented, body);
      expect([response.statusCode, response.json()]).toMatchObject([403, { code: 'QUEUE_FORBIDDEN' }]);
      expect(response.body).not.toContain('bank');
      expect(touched).toEqual([]);
      await ask('POST', '/v1/tasks', undefined, { ...bank, id: 'failed-uncertain', queue: 'mail-us' });
      const own = await ask(method, `/v1/tasks/failed-uncertain${act}`, presented, body);
      expect(own.statusCode).not.toBe(403);
    },
  );
});

describe('a stream of events', () => {
  const until = (twinNow + 1_000) as EpochMs;

  test.each([
    ['as long as its key counts', () => undefined, true],
    ['until its key is revoked', ({ book }: Here) => book.clear(), false],
    [
      'until its key has expired',
      ({ time }: Here) => {
        time.nowMs = until;
      },
      false,
    ],
  ] as const)('goes on %s', async (_name, change, goesOn) => {
    const place = here({ key: keyWith({ expiresAt: until }) });
    const [first, changed] = [signalled(), signalled()];
    const event = { kind: 'event', at: twinNow, from: null, task: summaryOf('a') as TaskSummary } as const;
    place.service.events = async () =>
      (async function* () {
        yield { ...event, id: '1-0' };
        first.resolve();
        await changed.promise;
        yield { ...event, id: '2-0' };
      })();
    const answer = place.ask('GET', '/v1/events', presented);
    await first.promise;
    change(place);
    changed.resolve();
    const { body } = await answer;
    expect([body.includes('1-0'), body.includes('2-0')]).toEqual([true, goesOn]);
  });
});

describe('a rate limit', () => {
  test("lets a second's worth through at once, and no more until time has passed", async () => {
    const { ask, time } = here({ perSecond: 3, required: false });
    const codes = async (n: number): Promise<number[]> => {
      const answers = await Promise.all(Array.from({ length: n }, () => ask('GET', '/v1/tasks/x')));
      return answers.map(({ statusCode }) => statusCode);
    };
    expect(await codes(5)).toEqual([404, 404, 404, 429, 429]);
    const refused = await ask('GET', '/v1/tasks/x');
    expect(refused.json()).toMatchObject({ code: 'RATE_LIMITED', retryable: true, status: 429 });
    expect(refused.headers['retry-after']).toBe('1');
    expect(refused.headers['content-type']).toContain('application/problem+json');
    time.monotonicMs += 334;
    expect(await codes(2)).toEqual([404, 429]);
    time.monotonicMs += 60_000;
    expect(await codes(4)).toEqual([404, 404, 404, 429]);
  });

  test('counts a key apart from others and from its address', async () => {
    const { ask, book } = here({ perSecond: 1, required: false });
    const other = keyWith({ id: parseKeyId('f'.repeat(16)) });
    book.set(other.id, other);
    for (const header of [undefined, presented, `Bearer ${keyText(other.id, secret)}`]) {
      expect((await ask('GET', '/v1/tasks/x', header)).statusCode).toBe(404);
      expect((await ask('GET', '/v1/tasks/x', header)).statusCode).toBe(429);
    }
    expect((await ask('GET', '/v1/tasks/x', presented, undefined, '10.0.0.9')).statusCode).toBe(429);
  });

  test.each([
    ['10.0.0.1', '10.0.0.2', false],
    ['::ffff:10.0.0.1', '10.0.0.1', true],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::9', true],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['2001:db8::1', '2001:db8:0:0:ffff::1', true],
    ['::1', '::2', true],
  ])('%s and %s are counted as one: %s', async (one, two, same) => {
    const { ask } = here({ perSecond: 1, required: false });
    await ask('GET', '/v1/tasks/x', undefined, undefined, one);
    const second = await ask('GET', '/v1/tasks/x', undefined, undefined, two);
    expect(second.statusCode).toBe(same ? 429 : 404);
  });

  test('counts requests whose key is refused, and those for no route; not those that are open', async () => {
    const { ask } = here({ perSecond: 2 });
    expect((await ask('GET', '/v1/tasks/x', 'Bearer ck_guess')).statusCode).toBe(401);
    expect((await ask('GET', '/nowhere')).statusCode).toBe(404);
    expect((await ask('GET', '/v1/tasks/x', 'Bearer ck_guess')).statusCode).toBe(429);
    expect((await ask('GET', '/nowhere')).statusCode).toBe(429);
    expect((await ask('GET', '/livez')).statusCode).toBe(200);
    expect((await ask('GET', '/v1/tasks/x', presented)).statusCode).toBe(404);
  });
});
