// overview-cli.test.ts: the commands that list, count, pause and watch: what they print for people and for programs, against an
// API whose service is a twin.

import { expect, test } from 'vitest';
import type { EpochMs, Name, State, TaskId, TaskSummary } from '../../src/domain/index.js';
import { cli } from '../support/command-line.js';
import { eventually } from '../support/eventually.js';
import { checkEveryAnswer } from '../support/openapi-answers.js';
import { TaskServiceTwin, twinNow } from '../support/task-service-twin.js';
import { startTwinApi } from '../support/twin-api.js';

checkEveryAnswer();

function ask(url: string, args: readonly string[], watched = false) {
  return cli(args, { env: { CLAIMKEEPER_API: url }, watched });
}

function summary(id: string, state: State = 'waiting'): TaskSummary {
  return {
    id: id as TaskId,
    type: 'mail' as Name,
    queue: 'default' as Name,
    state,
    attempt: 2,
    acceptedAt: twinNow,
    startedAt: null,
    finishedAt: null,
    errorCode: state === 'failed' ? 'HANDLER_FAILED' : null,
    replays: 0,
    worker: null,
  };
}

function change(id: string, name: string, state: State) {
  return { kind: 'event', id, at: twinNow as EpochMs, from: 'running', task: summary(name, state) } as const;
}

test.each([['list'], ['queues'], ['queues', 'pause'], ['queues', 'resume'], ['watch']])(
  '%s %s has help with an example',
  async (...args) => {
    const { code, out } = await ask('http://127.0.0.1:1', [...args, '--help']);
    expect(code).toBe(0);
    expect(out).toContain(`$ claimkeeper ${args.join(' ')}`);
  },
);

test('list: JSON for programs, a table on a terminal, as -o says otherwise', async () => {
  const { service, url } = await startTwinApi();
  service.summaries = [summary('a', 'failed'), summary('bb')];
  service.rebuilding = true;
  const json = await ask(url, ['list', '--limit', '5']);
  expect(json.code).toBe(0);
  expect(JSON.parse(json.out)).toMatchObject({
    tasks: [{ id: 'a' }, { id: 'bb' }],
    cursor: null,
    rebuilding: true,
  });
  const table = await ask(url, ['list'], true);
  expect(table.out.split('\n')).toEqual([
    'ID  STATE    TYPE  QUEUE    ATTEMPT  ACCEPTED                  ERROR',
    'a   failed   mail  default  2        2026-01-02T03:04:05.006Z  HANDLER_FAILED',
    'bb  waiting  mail  default  2        2026-01-02T03:04:05.006Z  -',
  ]);
  expect(table.err).toContain('tasks may be missing');
  expect(JSON.parse((await ask(url, ['list', '-o', 'json'], true)).out)).toMatchObject({ cursor: null });
});

test('list: every filter is asked for as it was given; a wrong one is refused with its name', async () => {
  const { service, url } = await startTwinApi();
  const args = ['--state', 'failed', '--queue', 'q', '--type', 't', '--error-code', 'X', '--limit', '7'];
  const times = [
    '--accepted-after',
    '2026-01-01T00:00:00+01:00',
    '--accepted-before',
    '2026-01-02T00:00:00Z',
  ];
  expect((await ask(url, ['list', ...args, ...times])).code).toBe(0);
  expect(service.asked).toEqual([
    {
      ...{ state: 'failed', queue: 'q', type: 't', errorCode: 'X', limit: 7 },
      ...{ acceptedAfter: '2026-01-01T00:00:00+01:00', acceptedBefore: '2026-01-02T00:00:00Z' },
    },
  ]);
  const bad = await ask(url, ['list', '--cursor', 'zzz']);
  expect(bad).toMatchObject({ code: 1, out: '' });
  expect(bad.err).toContain('cursor');
  expect((await ask(url, ['list', '--state', 'done'])).code).toBe(2);
  expect((await ask(url, ['list', '-o', 'xml'])).code).toBe(2);
});

test('queues: counts as JSON or as a table; pause and resume', async () => {
  const { service, url } = await startTwinApi();
  service.summaries = [summary('a', 'failed'), summary('b')];
  expect(JSON.parse((await ask(url, ['queues'])).out)).toMatchObject({ queues: [{ counts: { failed: 1 } }] });
  expect(
    JSON.parse((await ask('http://127.0.0.1:1', ['queues', 'pause', 'default', '--api', url])).out),
  ).toMatchObject({
    queue: 'default',
    paused: true,
  });
  const table = await ask(url, ['queues', '-o', 'table']);
  expect(table.out.split('\n')).toEqual([
    'QUEUE    WAITING  RUNNING  COMPLETED  FAILED  CANCELLED  UNCERTAIN  DUE SINCE  PAUSED',
    'default  1        0        0          1       0          0          1.5 s      paused',
  ]);
  expect((await ask(url, ['queues', 'resume', 'default'])).code).toBe(0);
  expect(service.paused.size).toBe(0);
  expect((await ask(url, ['queues', 'pause', '.x'])).err).toContain('NAME_INVALID');
  expect((await ask(url, ['queues', 'dance'])).code).toBe(2);
});

test('watch: a line per change, as text or as JSON; what is missing is said', async () => {
  const { service, url } = await startTwinApi();
  service.feed = [
    { kind: 'gap', after: '1-0' },
    change('5-0', 'a', 'failed'),
    change('6-0', 'b', 'completed'),
  ];
  const text = await ask(url, ['watch', '--count', '2', '--after', '1-0'], true);
  expect(text.code).toBe(0);
  expect(text.out.split('\n')).toEqual([
    '2026-01-02T03:04:05.006Z  a  running → failed  default/mail  attempt 2  HANDLER_FAILED',
    '2026-01-02T03:04:05.006Z  b  running → completed  default/mail  attempt 2',
  ]);
  expect(text.err).toContain('some events are missing');
  const json = await ask(url, ['watch', '--count', '1', '--state', 'failed']);
  expect(JSON.parse(json.out)).toMatchObject({
    id: '5-0',
    from: 'running',
    task: { id: 'a', state: 'failed' },
  });
  expect(service.asked).toEqual([{ after: '1-0' }, { state: 'failed' }]);
});

test('watch: goes on after the last event it saw when the API has been away', async () => {
  const { service, server, url } = await startTwinApi();
  service.feed = [change('5-0', 'a', 'failed')];
  const watched = ask(url, ['watch', '--count', '2']);
  await eventually(async () => expect(service.following).toBe(1), { what: 'it watches' });
  await server.close();
  const next = new TaskServiceTwin();
  next.feed = [change('6-0', 'b', 'failed')];
  await startTwinApi({ service: next, port: Number(new URL(url).port) });
  const { code, out } = await watched;
  expect(code).toBe(0);
  expect(out.split('\n').map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(['5-0', '6-0']);
  expect(next.asked).toEqual([{ after: '5-0' }]);
});

test('watch: an API that cannot be reached at first is an error', async () => {
  expect((await ask('http://127.0.0.1:1', ['watch'])).code).toBe(4);
  const { url } = await startTwinApi();
  expect((await ask(url, ['watch', '--after', 'soon'])).code).toBe(1);
});
