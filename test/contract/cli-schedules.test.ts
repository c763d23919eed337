// cli-schedules.test.ts: the command line's schedules, workers and waits, against an API whose service is a twin.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Name, TaskId, WorkerId } from '../../src/domain/index.js';
import { cli } from '../support/command-line.js';
import { eventually } from '../support/eventually.js';
import { checkEveryAnswer } from '../support/openapi-answers.js';
import { twinNow } from '../support/task-service-twin.js';
import { startTwinApi } from '../support/twin-api.js';

checkEveryAnswer();

async function here() {
  const { service, env } = await startTwinApi();
  const ask = (args: readonly string[], stdin = '', watched = false) => cli(args, { env, stdin, watched });
  return { service, cli: ask, schedules: (...args: string[]) => ask(['schedules', ...args]) };
}

const create = ['create', '--id', 'report', '--cron', '0 6 * * *', '--type', 'report'];

describe('schedules', () => {
  test('create sends all that the flags say', async () => {
    const { schedules } = await here();
    const times = [
      '--time-zone',
      'Europe/Berlin',
      '--start-at',
      '2026-01-01T00:00:00Z',
      '--end-at',
      '2027-01-01T00:00:00Z',
    ];
    const rest = [
      '--misfire',
      'all',
      '--jitter-ms',
      '5',
      '--overlap',
      'skip',
      '--queue',
      'q',
      '--payload',
      '{"n":1}',
    ];
    const { code, out, err } = await schedules(...create, ...times, ...rest, '--priority', '3');
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({
      id: 'report',
      cron: '0 6 * * *',
      timeZone: 'Europe/Berlin',
      startAt: '2026-01-01T00:00:00.000Z',
      endAt: '2027-01-01T00:00:00.000Z',
      misfire: { policy: 'all' },
      jitterMs: 5,
      overlap: 'skip',
      task: { type: 'report', queue: 'q', payload: { n: 1 }, priority: 3 },
    });
  });

  test('create and update take a definition from a file and from standard input', async () => {
    const { cli } = await here();
    const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-cli-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'report.json');
    await writeFile(
      file,
      JSON.stringify({ id: 'report', cron: '0 6 * * *', task: { type: 't' }, paused: true }),
    );
    expect((await cli(['schedules', 'create', '--file', file])).code).toBe(0);
    const change = JSON.stringify({ cron: '0 7 * * *', task: { type: 't' } });
    const updated = await cli(['schedules', 'update', 'report', '--file', '-'], change);
    expect(JSON.parse(updated.out)).toMatchObject({ cron: '0 7 * * *', paused: true });
    expect(await cli(['schedules', 'create', '--file', '-'], '{')).toMatchObject({ code: 2 });
    expect(await cli(['schedules', 'create', '--file', join(folder, 'none')])).toMatchObject({ code: 2 });
  });

  test('update changes what it is told and leaves the rest, at the revision that it read', async () => {
    const { schedules, service } = await here();
    await schedules(
      ...create,
      '--payload',
      '{"n":1}',
      '--misfire',
      'all',
      '--end-at',
      '2027-01-01T00:00:00Z',
    );
    const { out } = await schedules('update', 'report', '--cron', '0 7 * * *');
    const kept = {
      misfire: { policy: 'all' },
      task: { payload: { n: 1 } },
      endAt: '2027-01-01T00:00:00.000Z',
    };
    expect(JSON.parse(out)).toMatchObject({ cron: '0 7 * * *', revision: 'key.1', ...kept });
    const update = service.schedules.update.bind(service.schedules);
    service.schedules.update = async (input, options) => {
      await service.schedules.pause('report'); // Somebody else was faster.
      return update(input, options);
    };
    const late = await schedules('update', 'report', '--cron', '0 8 * * *');
    expect([late.code, late.out]).toEqual([3, '']);
    expect(late.err).toContain('PRECONDITION_FAILED');
    expect((await schedules('update', 'report', '--cron', '0 8 * * *', '--revision', 'key.0')).code).toBe(3);
  });

  test('list is a table for people and JSON for programs', async () => {
    const { schedules } = await here();
    await schedules(...create);
    await schedules(...create.with(2, 'weekly'), '--time-zone', 'Europe/Berlin');
    await schedules('pause', 'weekly');
    const table = (await schedules('list', '-o', 'table')).out
      .split('\n')
      .map((line) => line.trim().split(/\s{2,}/));
    expect(table).toEqual([
      ['ID', 'CRON', 'TIME ZONE', 'TYPE', 'PAUSED', 'NEXT', 'LAST'],
      ['report', '0 6 * * *', 'UTC', 'report', 'no', '2026-01-02T06:00:00.000Z', '-'],
      ['weekly', '0 6 * * *', 'Europe/Berlin', 'report', 'yes', '-', '-'],
    ]);
    const json = JSON.parse((await schedules('list')).out);
    expect(json).toMatchObject([{ id: 'report' }, { id: 'weekly', paused: true }]);
    expect((await schedules('get', 'report', '-o', 'table')).out).toMatch(/^cron +0 6 \* \* \*/m);
  });

  test.each([
    ['list'],
    ['get', 'report'],
    ['pause', 'report'],
    ['update', 'report', '--jitter-ms', '1'],
    ['run', 'report'],
    ['next', 'report'],
    ['preview', '--cron', '0 5 * * *'],
  ])('%s is a table on a terminal and JSON elsewhere, unless -o says otherwise', async (...args) => {
    const { cli, schedules } = await here();
    await schedules(...create);
    const isJson = async (more: readonly string[], isTty: boolean): Promise<boolean> => {
      const { out } = await cli(['schedules', ...args, ...more], '', isTty);
      return out.startsWith('{') || out.startsWith('[');
    };
    expect([await isJson([], true), await isJson([], false)]).toEqual([false, true]);
    expect([await isJson(['-o', 'json'], true), await isJson(['-o', 'table'], false)]).toEqual([true, false]);
  });

  test('pause, resume, run, next, preview and remove do what they say', async () => {
    const { schedules, service } = await here();
    await schedules(...create);
    expect(JSON.parse((await schedules('pause', 'report')).out)).toMatchObject({ paused: true });
    expect(JSON.parse((await schedules('resume', 'report')).out)).toMatchObject({ paused: false });
    const ran = await schedules('run', 'report', '--key', 'k');
    expect(JSON.parse(ran.out)).toMatchObject({ kind: 'created', id: 'report@run-k' });
    const next = await schedules(
      'next',
      'report',
      '--count',
      '2',
      '--from',
      '2026-01-02T03:04:05+01:00',
      '-o',
      'json',
    );
    expect(JSON.parse(next.out)).toEqual(['2026-01-02T06:00:00.000Z', '2026-01-03T06:00:00.000Z']);
    const preview = await schedules('preview', '--cron', '0 5 * * *', '--count', '1', '-o', 'table');
    expect(preview.out.split('\n').map((line) => line.trim())).toEqual(['TICK', '2026-01-02T05:00:00.000Z']);
    expect(await schedules('remove', 'report')).toEqual({
      code: 0,
      out: '',
      err: 'removed: report',
      drawn: '',
    });
    expect(service.schedules.held.size).toBe(0);
  });

  test.each([
    [['get', 'none'], 3, 'SCHEDULE_NOT_FOUND'],
    [['get', 'a/b'], 1, 'SCHEDULE_INVALID'],
    [[...create.with(4, 'never')], 1, 'SCHEDULE_INVALID'],
    [['list', '-o', 'yaml'], 2, 'json, table'],
    [['next', 'report', '--count', '0'], 2, 'whole number within 1 – 1000'],
    [['create', '--file', 'x', '--cron', 'y'], 2, 'cannot be used with'],
    [['lisst'], 2, 'Did you mean list?'],
  ])('schedules %j ends with %i and says why', async (args, code, why) => {
    const { schedules } = await here();
    const ran = await schedules(...args);
    expect([ran.code, ran.out]).toEqual([code, '']);
    expect(ran.err).toContain(why);
  });

  test('every command of it has help with an example', async () => {
    const { schedules } = await here();
    const commands = [
      'list',
      'get',
      'create',
      'update',
      'remove',
      'pause',
      'resume',
      'run',
      'next',
      'preview',
    ];
    for (const command of commands) {
      const { code, out } = await schedules(command, '--help');
      expect([code, out.includes(`$ claimkeeper schedules ${command}`)]).toEqual([0, true]);
    }
  });
});

test('workers are a line each, with what they run', async () => {
  const { cli, service } = await here();
  const worker = { pid: 7, host: 'h', queues: ['default' as Name], types: ['a' as Name, 'b' as Name] };
  const more = { concurrency: 10, startedAt: twinNow, session: '0f', tasks: ['t1' as TaskId] };
  service.workers = [{ id: 'w1' as WorkerId, ...worker, ...more }];
  const { out } = await cli(['workers', '-o', 'table']);
  expect(out.split('\n').map((line) => line.trim().split(/\s{2,}/))).toEqual([
    ['ID', 'HOST', 'PID', 'QUEUES', 'TYPES', 'RUNNING', 'STARTED'],
    ['w1', 'h', '7', 'default', 'a b', '1/10', '2026-01-02T03:04:05.006Z'],
  ]);
  expect(JSON.parse((await cli(['workers'])).out)).toMatchObject([{ id: 'w1', tasks: ['t1'] }]);
});

test('what would steer the terminal is not in a table, whoever wrote it', async () => {
  const { cli, service } = await here();
  const host = '\u001b[2Jgone\r\u0007\n\u009b1m';
  const rest = { queues: [], types: [], concurrency: 1, startedAt: twinNow, session: '0f', tasks: [] };
  service.workers = [{ id: 'w1' as WorkerId, pid: 7, host, ...rest }];
  const { out } = await cli(['workers'], '', true);
  expect(out.split('\n')).toHaveLength(2);
  expect(out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  expect(out).toContain('[2Jgone');
  await cli(['submit', '--id', 'a', '--type', 't', '--payload', '"\\u001b[2J"']);
  expect((await cli(['get', 'a'], '', true)).out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
});

describe('get --wait', () => {
  test('prints the task once it has ended', async () => {
    const { cli, service } = await here();
    await cli(['submit', '--id', 'a', '--type', 't']);
    const asked = cli(['get', 'a', '--wait']);
    await eventually(() => expect(service.waiting.size).toBe(1), { what: 'it waits' });
    service.end('a', 'completed');
    expect(JSON.parse((await asked).out)).toMatchObject({ id: 'a', state: 'completed' });
  });

  test('prints it as it is when the time is over', async () => {
    const { cli } = await here();
    await cli(['submit', '--id', 'a', '--type', 't']);
    const { code, out } = await cli(['get', 'a', '--wait', '1']);
    expect([code, JSON.parse(out).state]).toEqual([0, 'waiting']);
    expect((await cli(['get', 'a', '--wait', '0'])).code).toBe(2);
  });
});
