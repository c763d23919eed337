// openapi.test.ts: the API's description is true: valid OpenAPI, with every route and no other, its schemas saying what the
// parsers do; and whatever is asked by it, or against it, is answered as it says.

import diagnostics from 'node:diagnostics_channel';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type EpochMs, parseFollowing, parseSchedule, parseSubmission } from '../../src/domain/index.js';
import { buildApp } from '../../src/http/app.js';
import { openApiDocument } from '../../src/http/openapi.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { openToAll } from '../support/open-to-all.js';
import { checkEveryAnswer, pathOf, violationsOf } from '../support/openapi-answers.js';
import { TaskServiceTwin } from '../support/task-service-twin.js';

const answersSeen = checkEveryAnswer();
const document = openApiDocument();
const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };

type Route = {
  readonly method: string;
  readonly url: string;
  readonly scope: unknown;
  readonly query: unknown;
};

function appWithRoutes(): { app: FastifyInstance; service: TaskServiceTwin } {
  const service = new TaskServiceTwin();
  const app = buildApp({ ...openToAll, tasks: service, runtime });
  onTestFinished(() => app.close());
  return { app, service };
}

/** As they are declared, HEAD left out. */
function routesDeclared(): Route[] {
  const routes: Route[] = [];
  const watch = (message: unknown): void => {
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url, config }) => {
      if (method !== 'HEAD')
        routes.push({ method: String(method), url, scope: config?.scope, query: config?.query });
    });
  };
  diagnostics.subscribe('fastify.initialization', watch);
  appWithRoutes();
  diagnostics.unsubscribe('fastify.initialization', watch);
  return routes;
}

describe('the document', () => {
  test('is valid OpenAPI 3.1, and is served as it is', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    const { app } = appWithRoutes();
    const response = await app.inject('/openapi.json');
    expect(response.headers['content-type']).toMatch(/^application\/json/);
    expect(response.json()).toEqual(JSON.parse(JSON.stringify(document)));
  });

  test('has every route of the application, and no other', () => {
    const declared = routesDeclared().map(({ method, url }) => `${method} ${url}`);
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map(
        (method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      ),
    );
    expect(declared.length).toBeGreaterThan(15);
    expect(described.sort()).toEqual(declared.sort());
  });

  test('says of each route the scope and the query parameters that the route declares', () => {
    for (const { method, url, scope, query } of routesDeclared()) {
      const operation = document.paths[url.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()] as {
        'x-scope': string;
        parameters?: { in: string; name: string }[];
      };
      const parameters = (operation.parameters ?? []).filter((each) => each.in === 'query');
      const described = parameters.map(({ name }) => name);
      expect([url, scope, query]).toEqual([url, operation['x-scope'], described]);
    }
  });
});

const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ ...document, $id: 'openapi.json' });

function accepts(name: string, value: unknown): boolean {
  return ajv.getSchema(`openapi.json#/components/schemas/${name}`)?.(value) === true;
}

function parses(parse: (input: unknown) => unknown, value: unknown): boolean {
  try {
    parse(value);
    return true;
  } catch {
    return false;
  }
}

/** Values around the edges of what is taken: most of a valid object, some fields off. */
const oddity = fc.oneof(
  fc.constantFrom(null, true, '', 'a/b', '.', '..', 'x'.repeat(129), -1, 0.5, 1e9, 8.65e15, [], {}, [1], {
    a: 1,
  }),
  fc.string(),
  fc.integer(),
);
const wordOf = (characters: string) =>
  fc.string({ unit: fc.constantFrom(...characters), minLength: 1, maxLength: 60 });
const name = wordOf('abcXYZ019_-');
const taskId = wordOf('abcXYZ019_:@~-');
const taskFields = {
  queue: name,
  payload: fc.jsonValue(),
  priority: fc.integer({ min: 0, max: 1_000 }),
  retry: fc.record({ attempts: fc.integer({ min: 1, max: 100 }) }),
  timeoutMs: fc.integer({ min: 1, max: 86_400_000 }),
  onInterrupted: fc.constantFrom('park', 'verify', 'rerun'),
};

type Fields = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** Every other one is sound; the others have one field that is odd, and may be sound all the same. */
function often(fields: Fields, required: readonly string[]): fc.Arbitrary<Record<string, unknown>> {
  const sound = fc.record(fields, { requiredKeys: [...required] });
  const field = fc.constantFrom(...Object.keys(fields), 'colour');
  const off = fc.tuple(sound, field, oddity).map(([whole, at, value]) => ({ ...whole, [at]: value }));
  return fc.oneof(sound, off);
}

const delayMs = fc.integer({ min: 0, max: 1_000 });
const submission = often({ id: taskId, type: name, ...taskFields, delayMs }, ['id', 'type']);
const cron = fc.constantFrom('0 6 * * *', '*/5 * * * * *');
const untimed = often(
  {
    id: taskId,
    task: often({ type: name, ...taskFields }, ['type']),
    jitterMs: fc.integer({ min: 0, max: 1_000 }),
    overlap: fc.constantFrom('allow', 'skip'),
    misfire: fc.record({ policy: fc.constantFrom('skip', 'once') }),
    paused: fc.boolean(),
  },
  ['id', 'task'],
);
/** Which texts are cron expressions is no schema's to say. */
const definition = fc.tuple(cron, untimed).map(([at, rest]) => ({ cron: at, ...rest }));

describe('its schemas accept what the parsers do, and nothing else', () => {
  test('its own examples are accepted as they are', async () => {
    const { app } = appWithRoutes();
    const example = (name: string): object =>
      (document.components.schemas[name] as { examples: [object] }).examples[0];
    const sent: [string, 'POST' | 'PUT', string][] = [
      ['KeyedSubmission', 'POST', '/v1/tasks'],
      ['ScheduleDefinition', 'POST', '/v1/schedules'],
      ['ScheduleChange', 'PUT', '/v1/schedules/report'],
    ];
    for (const [name, method, url] of sent) {
      const response = await app.inject({ method, url, payload: example(name) });
      expect([name, response.statusCode < 300, accepts(name, example(name))]).toEqual([name, true, true]);
    }
  });

  test('of a submission', () => {
    const kinds = { yes: 0, no: 0 };
    fc.assert(
      fc.property(submission, (input) => {
        const parsed = parses((value) => parseSubmission(value, 0 as EpochMs), input);
        kinds[parsed ? 'yes' : 'no'] += 1;
        expect([input, accepts('Submission', input)]).toEqual([input, parsed]);
      }),
      { numRuns: 300 },
    );
    expect(Math.min(kinds.yes, kinds.no)).toBeGreaterThan(40);
  });

  test('of a schedule', () => {
    const kinds = { yes: 0, no: 0 };
    fc.assert(
      fc.property(definition, (input) => {
        const parsed = parses(parseSchedule, input);
        kinds[parsed ? 'yes' : 'no'] += 1;
        expect([input, accepts('ScheduleDefinition', input)]).toEqual([input, parsed]);
      }),
      { numRuns: 400 },
    );
    expect(Math.min(kinds.yes, kinds.no)).toBeGreaterThan(40);
  });
});

describe('whatever is asked', () => {
  const ids = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'failed-1', 'uncertain-1') },
    { weight: 2, arbitrary: taskId },
    { weight: 1, arbitrary: fc.string() },
    { weight: 1, arbitrary: fc.constantFrom('..', '%00', '%zz', 'x'.repeat(200), '%2e%2e') },
  );
  /** By the name of its schema. */
  const fitting: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    KeyedSubmission: submission,
    Batch: fc.record({ tasks: fc.array(submission, { maxLength: 5 }) }),
    ScheduleDefinition: definition,
    ScheduleChange: definition,
    Resolution: fc.record({ as: fc.constantFrom('completed', 'failed', 'lost'), note: fc.string() }),
    Run: fc.record({ key: fc.string() }),
    none: fc.constant(undefined),
  };
  const bodies = fc.oneof(...Object.values(fitting), fc.jsonValue());
  const queries = fc.dictionary(
    fc.constantFrom(
      ...['wait', 'limit', 'cursor', 'count', 'from', 'colour', 'constructor'],
      ...['state', 'queue', 'errorCode', 'acceptedAfter', 'after'],
    ),
    fc.constantFrom('0', '1', '5', '-1', '31', 'x', '', '2026-01-02T03:04:05Z', 'a'),
    { maxKeys: 2 },
  );
  const headers = fc.dictionary(
    fc.constantFrom('if-match', 'idempotency-key', 'content-type', 'origin', 'accept'),
    fc.constantFrom(
      '*',
      '"key.0"',
      '"other"',
      'a b',
      'a',
      'text/plain',
      'application/json',
      'http://elsewhere.example',
    ),
    { maxKeys: 2 },
  );
  const paths = fc.constantFrom(...Object.keys(document.paths));
  const methods = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH');
  const described = fc.constantFrom(
    ...Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({
        path,
        method: method.toUpperCase(),
        schema: /"requestBody".*?schemas\/(\w+)"/.exec(JSON.stringify(operation))?.[1] ?? 'none',
      })),
    ),
  );
  const around = { id: ids, query: queries, headers };
  const requests = fc.oneof(
    {
      weight: 3,
      arbitrary: described.chain(({ path, method, schema }) =>
        fc.record({
          path: fc.constant(path),
          method: fc.constant(method),
          id: ids,
          query: fc.constant({}),
          headers: fc.constant({}),
          body: fitting[schema] ?? fc.constant(undefined),
        }),
      ),
    },
    { weight: 1, arbitrary: fc.record({ path: paths, method: methods, body: bodies, ...around }) },
  );

  test('the answer is described, no defect is met, what is refused names what is wrong, and the service goes on', async () => {
    const { app, service } = appWithRoutes();
    const seenBefore = answersSeen();
    service.untilEnded = async () => undefined;
    service.events = async (input) => {
      parseFollowing(input);
      return (async function* () {})();
    };
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(fc.array(requests, { minLength: 1, maxLength: 8 }), async (list) => {
        for (const { path, method, id, query, headers, body } of list) {
          const filled = path.replaceAll(/\{\w+\}/g, () => (id.includes('%') ? id : encodeURIComponent(id)));
          const search = new URLSearchParams(query).toString();
          const url = search === '' ? filled : `${filled}?${search}`;
          const json = body === undefined ? {} : { payload: JSON.stringify(body) };
          const type = body === undefined ? {} : { 'content-type': 'application/json' };
          const response = await app.inject({
            method: method as 'GET',
            url,
            headers: { ...type, ...headers },
            ...json,
          });
          const status = response.statusCode;
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          const asked = response.raw.req.url ?? url; // As it was sent: a .. in it is a way.
          const answer = { method, url: asked, status, headers: response.headers, body: response.body };
          expect(violationsOf(answer)).toEqual([]);
          if (status >= 500) throw new Error(`${method} ${url} is ${status}: ${response.body}`);
          const wholeBody = typeof body !== 'object' || body === null || Array.isArray(body);
          if (status === 422 && method !== 'HEAD' && !wholeBody) {
            expect([response.body, typeof response.json().field]).toEqual([response.body, 'string']);
          }
        }
        expect((await app.inject('/livez')).statusCode).toBe(200);
      }),
      { numRuns: 200 },
    );
    expect([...statuses.keys()]).toEqual(
      expect.arrayContaining([200, 201, 204, 400, 403, 404, 405, 415, 422]),
    );
    expect(answersSeen() - seenBefore).toBeGreaterThan(500);
  }, 120_000);

  test('a field that is wrong is named', async () => {
    const { app } = appWithRoutes();
    const wrong = fc.constantFrom(
      ['/v1/tasks', 'priority', -1],
      ['/v1/tasks', 'queue', 'a b'],
      ['/v1/tasks', 'timeoutMs', 'x'],
      ['/v1/tasks', 'id', '.a'],
      ['/v1/tasks', 'colour', 1],
      ['/v1/schedules', 'cron', 'never'],
      ['/v1/schedules', 'timeZone', 'Mars/Olympus'],
      ['/v1/schedules', 'jitterMs', -1],
      ['/v1/schedules', 'colour', 1],
      ['/v1/schedules/preview', 'overlap', 'x'],
    ) as fc.Arbitrary<[string, string, unknown]>;
    await fc.assert(
      fc.asyncProperty(wrong, taskId, name, async ([url, field, value], id, type) => {
        const valid = url === '/v1/tasks' ? { id, type } : { id, cron: '0 6 * * *', task: { type } };
        const response = await app.inject({ method: 'POST', url, payload: { ...valid, [field]: value } });
        expect([url, response.statusCode, response.json().field]).toEqual([url, 422, field]);
      }),
    );
  });

  test('an answer that is not described is found', () => {
    const headers = { 'content-type': 'application/json' };
    const at = { method: 'GET', url: '/v1/tasks/a', headers };
    expect(violationsOf({ ...at, status: 200, body: '{"id":"a"}' })[0]).toContain('required');
    expect(violationsOf({ ...at, status: 418, body: '{}' })[0]).toContain('not described');
    expect(
      violationsOf({ ...at, status: 200, headers: { 'content-type': 'text/html' }, body: '' }),
    ).toHaveLength(1);
    const problem = { type: 'urn:claimkeeper:error:TASK_CONFLICT', title: 't', status: 409, detail: 'd' };
    const body = JSON.stringify({ ...problem, code: 'TASK_CONFLICT', retryable: false });
    const type = { 'content-type': 'application/problem+json' };
    expect(violationsOf({ ...at, status: 404, headers: type, body })[0]).toContain('equal to one of');
    expect(
      violationsOf({ method: 'PUT', url: '/v1/tasks/a', status: 405, headers: type, body })[0],
    ).toContain('Allow');
    expect(pathOf('POST', '/v1/tasks/batch?x=1')).toBe('/v1/tasks/batch');
    expect(pathOf('GET', '/v1/tasks/batch')).toBe('/v1/tasks/{id}');
  });
});
