// api-guide.test.ts: what docs/api.md says of the API holds: each of its examples is sent, in order, and answered as it shows;
// routes, codes and fields that it names are those of the code.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { type ErrorCode, errorRegistry, keyScopes, limits, states } from '../../src/domain/index.js';
import { buildApp } from '../../src/http/app.js';
import { openApiDocument } from '../../src/http/openapi.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { codes, tableUnder } from '../support/markdown.js';
import { TaskServiceTwin } from '../support/task-service-twin.js';
import { shownKey, storedKey } from '../support/test-key.js';

const guide = readFileSync(fileURLToPath(new URL('../../docs/api.md', import.meta.url)), 'utf8');
const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8');

/** Of `curl -s [-X method] url [-H 'name: value'] [-d 'body']`. */
function requestOf(command: string) {
  const words = [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, one, two, bare]) => one ?? two ?? bare ?? '',
  );
  const after = (flag: string): string[] => words.filter((_, i) => words[i - 1] === flag);
  const url = words.find((word) => word.startsWith('http://127.0.0.1:7411/'));
  if (url === undefined) throw new Error(`no URL of the example's API: ${command}`);
  const headers = after('-H').map((line) => line.replace('$KEY', shownKey).split(': '));
  const [body] = after('-d');
  const [method = body === undefined ? 'GET' : 'POST'] = after('-X');
  return {
    method: method as 'GET',
    url: url.replace('http://127.0.0.1:7411', ''),
    headers: Object.fromEntries(headers) as Record<string, string>,
    ...(body === undefined ? {} : { payload: body }),
  };
}

const withoutTimes = (text: string): string => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');

test('each example is answered as it shows', async () => {
  const access = { keys: { find: () => storedKey() }, required: false };
  const service = new TaskServiceTwin();
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const app = buildApp({ tasks: service, runtime, access, rateLimitPerSecond: 0 });
  onTestFinished(() => app.close());
  const examples = [...guide.matchAll(/^\$ (curl .*)\n(.*)$/gm)];
  expect(examples.length).toBeGreaterThan(6);
  for (const [, command = '', shown = ''] of examples) {
    const response = await app.inject(requestOf(command));
    expect([command, withoutTimes(response.body)]).toEqual([command, withoutTimes(shown)]);
  }
});

test('every route of the README is explained, and no other', () => {
  const inReadme = tableUnder(readme, 'Over HTTP').map(([route = '']) => codes(route)[0]);
  const named = new Set(
    [...guide.matchAll(/`((?:GET|POST|PUT|PATCH|DELETE) \/[^`]*)`/g)].map(([, route]) => route),
  );
  expect([...named].sort()).toEqual(inReadme.sort());
});

test('every code that it names is of the registry, with its status', () => {
  const shown = [...guide.matchAll(/\b([A-Z]{3,}(?:_[A-Z]+)+)\b/g)].map(([, code = '']) => code);
  expect(shown.filter((code) => !(code in errorRegistry))).toEqual([]);
  for (const [code = '', status] of tableUnder(guide, 'When a key is refused')) {
    expect([code, errorRegistry[codes(code)[0] as ErrorCode].status]).toEqual([code, Number(status)]);
  }
  for (const [, status, code] of guide.matchAll(/\b([45]\d\d) `([A-Z_]+)`/g)) {
    expect([code, errorRegistry[code as ErrorCode].status]).toEqual([code, Number(status)]);
  }
});

test('scopes, states and fields of a submission are those of the code', () => {
  const firstOf = (heading: string): (string | undefined)[] =>
    tableUnder(guide, heading).map(([name = '']) => codes(name)[0]);
  expect(firstOf('Authentication')).toEqual(keyScopes);
  expect(firstOf('Look up a task')).toEqual(states);
  const { properties } = openApiDocument().components.schemas.Submission as { properties: object };
  expect(firstOf('Submit a task').sort()).toEqual(Object.keys(properties).sort());
});

/** Of a query parameter. */
function defaultOf(path: string, name: string): unknown {
  const operation = openApiDocument().paths[path]?.get as {
    parameters: readonly { name: string; schema: { default?: unknown } }[];
  };
  return operation.parameters.find((each) => each.name === name)?.schema.default;
}

test('the limits that it names are those of the code', () => {
  const text = guide.replaceAll(/\s+/g, ' ');
  const kib = (bytes: number): string => `${bytes / 1_024} KiB`;
  const mib = (bytes: number): string => `${bytes / 2 ** 20} MiB`;
  const grouped = (count: number): string => count.toLocaleString('en-US');
  const batch = { tasks: `${grouped(limits.batchTasksMax)} tasks`, bytes: mib(limits.batchBytesMax) };
  const tasks = defaultOf('/v1/tasks', 'limit');
  const schedules = defaultOf('/v1/schedules', 'limit');
  const ticks = defaultOf('/v1/schedules/{id}/next', 'count');
  const named = [
    `yours, 1 – ${limits.taskIdCharsMax} characters`,
    `any JSON value up to ${kib(limits.payloadBytesMax)};`,
    `0 is the most urgent, ${grouped(limits.priorityMax)} the least`,
    `takes up to ${batch.tasks} and ${batch.bytes},`,
    `waits for the task to end, up to ${limits.waitSecondsMax} seconds,`,
    `\`limit\` is ${tasks} unless given, at most ${limits.listTasksMax}.`,
    `\`limit\` (${schedules} unless given, at most ${limits.schedulesPageMax})`,
    `\`count\` of them (${ticks} unless given)`,
    `The note, up to ${limits.errorMessageCharsMax} characters,`,
    `One task is up to ${kib(limits.requestBytesMax)} of body, a batch up to ${batch.bytes} and ${batch.tasks}.`,
    `A request is answered within ${limits.requestMsMax / 1_000} seconds,`,
    'up to a year',
    'the newest ten',
  ];
  expect(named.filter((words) => !text.includes(words))).toEqual([]);
  expect([limits.delayMsMax, limits.attemptsKept]).toEqual([365 * 86_400_000, 10]); // Named in words.
});
