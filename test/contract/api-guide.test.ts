// api-guide.test.ts: what docs/api.md says of the API holds: each of its examples is sent, in order, and answered as it shows;
// routes, codes and fields that it names are those of the code.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import {
  type ErrorCode,
  errorRegistry,
  hashOfSecret,
  keyScopes,
  keyText,
  limits,
  parseKeyId,
  parseSubmission,
  states,
} from '../../src/domain/index.js';
import { buildApp } from '../../src/http/app.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { codes, tableUnder } from '../support/markdown.js';
import { TaskServiceTwin, twinNow } from '../support/task-service-twin.js';

const guide = readFileSync(fileURLToPath(new URL('../../docs/api.md', import.meta.url)), 'utf8');
const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8');

const [id, secret] = [parseKeyId('0123456789abcdef'), 's'.repeat(43)];

/** Of `curl -s [-X method] url [-H 'name: value'] [-d 'body']`. */
function requestOf(command: string) {
  const words = [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, one, two, bare]) => one ?? two ?? bare ?? '',
  );
  const after = (flag: string): string[] => words.filter((_, i) => words[i - 1] === flag);
  const url = words.find((word) => word.startsWith('http://127.0.0.1:7411/'));
  if (url === undefined) throw new Error(`no URL of the example's API: ${command}`);
  const headers = after('-H').map((line) => line.replace('$KEY', keyText(id, secret)).split(': '));
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
  const stored = { id, name: 'k', hash: hashOfSecret(secret), scopes: [...keyScopes], queues: ['*'] };
  const key = { ...stored, createdAt: twinNow, expiresAt: null };
  const service = new TaskServiceTwin();
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const access = { keys: { find: () => key }, required: false };
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
  const fields = firstOf('Submit a task') as string[];
  const values: Record<string, unknown> = {
    id: 'a',
    type: 't',
    queue: 'q',
    retry: {},
    onInterrupted: 'park',
  };
  for (const field of fields.filter((name) => name !== 'runAt')) {
    const input = { id: 'a', type: 't', [field]: values[field] ?? 1 };
    expect(() => parseSubmission(input, twinNow)).not.toThrow();
  }
  expect(() => parseSubmission({ id: 'a', type: 't', runAt: '2026-01-02T03:04:05Z' }, twinNow)).not.toThrow();
});

test('the limits that it names are those of the code', () => {
  expect([limits.batchTasksMax, limits.batchBytesMax, limits.requestBytesMax]).toEqual([
    1_000,
    8 * 2 ** 20,
    128 * 1_024,
  ]);
  expect([limits.payloadBytesMax, limits.requestMsMax, limits.priorityMax]).toEqual([
    64 * 1_024,
    30_000,
    1_000,
  ]);
  expect([limits.taskIdCharsMax, limits.errorMessageCharsMax, limits.attemptsKept]).toEqual([128, 500, 10]);
});
