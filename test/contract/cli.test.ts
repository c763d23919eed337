// cli.test.ts: the command line's contract: what it refuses, what it prints, and its exit codes, against an API whose service
// is a twin. What serves (api, scheduler, worker, up) is tested as processes elsewhere.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { exitCodeOf } from '../../src/cli/exit.js';
import { ClaimkeeperError, type ErrorCode, errorRegistry, limits } from '../../src/domain/index.js';
import { cli } from '../support/command-line.js';
import { startTwinApi } from '../support/twin-api.js';

function lines(text: string): Record<string, unknown>[] {
  return text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('usage', () => {
  test('help and version are no errors', async () => {
    const help = await cli(['--help']);
    expect(help.code).toBe(0);
    for (const command of [
      'up',
      'api',
      'scheduler',
      'worker',
      'submit',
      'get',
      'replay',
      'cancel',
      'resolve',
    ]) {
      expect(help.out).toMatch(new RegExp(`^  ${command} `, 'm'));
      const own = await cli([command, '--help']);
      expect(own.code).toBe(0);
      expect(own.out).toContain(`$ `);
      expect(own.out).toContain(`claimkeeper ${command}`);
    }
    expect(help.out).toContain('Exit codes:');
    expect(await cli(['--version'])).toEqual({ code: 0, out: '1.2.3', err: '', drawn: '' });
  });

  test.each([
    [[], 'Usage:'],
    [['aip'], 'Did you mean api?'],
    [['api', '--prot', '1'], 'Did you mean --port?'],
    [['api', '--concurrency', '1'], 'unknown option'],
    [['api', 'more'], 'too many arguments'],
    [['worker'], "missing required argument 'module'"],
    [['up', '--workers', '0'], 'whole number within 1 – 64'],
    [['submit'], 'give --id and --type, or --file'],
    [['submit', '--id', 'a'], 'give --id and --type, or --file'],
    [['submit', '--id', 'a', '--type', 't', '--payload', '{'], '--payload is not JSON'],
    [['submit', '--id', 'a', '--type', 't', '--priority', 'x'], 'whole number'],
    [['submit', '--id', 'a', '--type', 't', '--on-interrupted', 'pray'], 'park, verify, rerun'],
    [['submit', '--file', '-', '--id', 'a'], 'cannot be used with'],
    [['api', '--port', '99999'], '--port: "99999"'],
    [['get', 'a', '--api', 'nowhere'], '--api: "nowhere"'],
  ] as const)('claimkeeper %j is a usage error that says why', async (args, why) => {
    const { code, out, err } = await cli(args);
    expect(code).toBe(2);
    expect(err).toContain(why);
    expect(out).toBe('');
  });

  test('an unknown variable of ours is a usage error, with what may have been meant', async () => {
    const { code, err } = await cli(['get', 'a'], { env: { CLAIMKEEPER_APPI: 'http://x' } });
    expect(code).toBe(2);
    expect(err).toContain('did you mean CLAIMKEEPER_API?');
  });

  test.each([
    ['that is not there', null, 'cannot be loaded'],
    ['that throws', 'throw new Error("boom")', 'boom'],
    ['without a default export', 'export const a = 1', 'not a list of task types'],
    ['with an empty list', 'export default []', 'not a list of task types'],
    ['with something else', 'export default [{ name: "a" }]', 'not a list of task types'],
    ['with a name twice', 'const t = { name: "a", handler() {} }; export default [t, t]', '"a" twice'],
  ])('a worker module %s is a usage error', async (_name, text, why) => {
    const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-cli-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'tasks.mjs');
    if (text !== null) await writeFile(file, text);
    const { code, err } = await cli(['worker', file]);
    expect(code).toBe(2);
    expect(err).toContain(why);
  });
});

describe('submit', () => {
  test('sends one task with all that the flags say, and prints the outcome as JSON', async () => {
    const { service, env } = await startTwinApi();
    const args = ['submit', '--id', 'a:1', '--type', 'mail', '--payload', '{"n":1}', '--priority', '7'];
    const more = ['--queue', 'q', '--delay-ms', '60000', '--attempts', '2', '--timeout-ms', '500'];
    const { code, out, err } = await cli([...args, ...more, '--on-interrupted', 'rerun'], { env });
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(lines(out)).toEqual([
      { kind: 'created', id: 'a:1', state: 'waiting', dedupUntil: expect.any(String) },
    ]);
    expect([...service.tasks.values()]).toEqual([
      expect.objectContaining({
        id: 'a:1',
        type: 'mail',
        queue: 'q',
        payload: { n: 1 },
        priority: 7,
        notBefore: expect.any(Number),
        policy: { retry: { attempts: 2 }, timeoutMs: 500, onInterrupted: 'rerun' },
      }),
    ]);
  });

  test('the same again is 0, other content is 3, what is not valid is 1', async () => {
    const { env } = await startTwinApi();
    const submit = (...args: string[]) => cli(['submit', '--type', 't', ...args], { env });
    expect((await submit('--id', 'a')).code).toBe(0);
    expect((await submit('--id', 'a')).out).toContain('"kind":"same"');
    const conflict = await submit('--id', 'a', '--payload', '1');
    expect(conflict.code).toBe(3);
    expect(conflict.out).toContain('TASK_CONFLICT');
    expect((await submit('--id', 'not valid')).code).toBe(1);
  });

  test('sends lines of JSON in batches, in order, and numbers the outcomes by line', async () => {
    const { service, env } = await startTwinApi();
    const sizes: number[] = [];
    const submitMany = service.submitMany.bind(service);
    service.submitMany = (inputs) => {
      sizes.push(inputs.length);
      return submitMany(inputs);
    };
    const stdin = Array.from({ length: 2_500 }, (_, i) => `{"id":"t${i}","type":"t"}\n`).join('\n');
    const { code, out, err } = await cli(['submit', '--file', '-'], { env, stdin });
    expect(code).toBe(0);
    expect(sizes).toEqual([1_000, 1_000, 500]);
    expect([...service.tasks.keys()]).toEqual(Array.from({ length: 2_500 }, (_, i) => `t${i}`));
    expect(lines(out)[2_499]).toMatchObject({ line: 4_999, kind: 'created', id: 't2499' });
    expect(err).toBe('submitted: 2500 created, 0 already there, 0 refused');
  });

  test('batches stay within the API’s limit in bytes as well', async () => {
    const { service, env } = await startTwinApi();
    const payload = 'x'.repeat(limits.payloadBytesMax - 2);
    const tasks = Array.from({ length: 300 }, (_, i) => JSON.stringify({ id: `t${i}`, type: 't', payload }));
    const { code } = await cli(['submit', '--file', '-'], { env, stdin: tasks.join('\n') });
    expect(code).toBe(0);
    expect(service.tasks.size).toBe(300);
  });

  test('a bad line is refused by its number and harms no other; the exit code says the worst', async () => {
    const { env } = await startTwinApi();
    const long = JSON.stringify({ id: 'long', type: 't', payload: 'x'.repeat(limits.requestBytesMax) });
    const stdin = ['{"id":"a","type":"t"}', 'no json', '{"id":"b"}', long, '{"id":"c","type":"t"}'].join(
      '\n',
    );
    const { code, out, err } = await cli(['submit', '--file', '-'], { env, stdin });
    expect(code).toBe(1);
    expect(lines(out).map(({ line, kind }) => [line, kind])).toEqual([
      [1, 'created'],
      [2, 'refused'],
      [3, 'refused'],
      [4, 'refused'],
      [5, 'created'],
    ]);
    expect(err).toContain('2 created, 0 already there, 3 refused');
  });

  test('reads a file; one that is not there, or is a folder, is a usage error', async () => {
    const { env } = await startTwinApi();
    const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-cli-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'tasks.ndjson');
    const missing = await cli(['submit', '--file', file], { env });
    expect(missing.code).toBe(2);
    expect(missing.err).toContain('ENOENT');
    expect(missing.err).not.toContain('Submit the same lines again');
    expect(await cli(['submit', '--file', folder], { env })).toMatchObject({ code: 2, out: '' });
    await writeFile(file, '{"id":"a","type":"t"}\r\n{"id":"b","type":"t"}');
    expect(lines((await cli(['submit', '--file', file], { env })).out)).toHaveLength(2);
  });

  test('stops when the API cannot go on, and says that the same lines may be sent again', async () => {
    const { service, env } = await startTwinApi();
    service.failure = new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', 'no quorum');
    const { code, err } = await cli(['submit', '--file', '-'], { env, stdin: '{"id":"a","type":"t"}' });
    expect(code).toBe(4);
    expect(err).toContain('no quorum');
    expect(err).toContain('Submit the same lines again');
  });

  test('a task that was refused for now is 4, whatever else was refused', async () => {
    const { service, env } = await startTwinApi();
    const error = new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', 'no answer');
    const bad = new ClaimkeeperError('SUBMISSION_INVALID', 'bad');
    service.submitMany = async () => [
      { kind: 'refused', error },
      { kind: 'refused', error: bad },
    ];
    const { code } = await cli(['submit', '--file', '-'], { env, stdin: '{"id":"a"}\n{"id":"b"}' });
    expect(code).toBe(4);
  });

  test('an API that says nothing of a task is an error, and no line is left out in silence', async () => {
    const { service, env } = await startTwinApi();
    const submitMany = service.submitMany.bind(service);
    service.submitMany = async (inputs) => (await submitMany(inputs)).slice(1);
    const stdin = '{"id":"a","type":"t"}\n{"id":"b","type":"t"}';
    const many = await cli(['submit', '--file', '-'], { env, stdin });
    expect([many.code, many.out]).toEqual([4, '']);
    expect(many.err).toContain('it gave 1 outcomes for 2 tasks');
    const one = await cli(['submit', '--id', 'c', '--type', 't'], { env });
    expect([one.code, one.out]).toEqual([4, '']);
  });

  test('what becomes of a task has the exit code that an error has', async () => {
    for (const code of Object.keys(errorRegistry) as ErrorCode[]) {
      // What the command line says of itself is none of a task.
      if (code === 'CONFIG_INVALID') continue;
      const { service, env } = await startTwinApi();
      const error = new ClaimkeeperError(code, 'so it is');
      service.submitMany = async () => [{ kind: 'refused', error }];
      const args = ['submit', '--id', 'a', '--type', 't'];
      expect([code, (await cli(args, { env })).code]).toEqual([code, exitCodeOf(error)]);
    }
  });
});

describe('get and replay', () => {
  test('print the task as JSON', async () => {
    const { url } = await startTwinApi();
    await cli(['submit', '--api', url, '--id', 'failed:1', '--type', 't']);
    const got = await cli(['get', 'failed:1', '--api', `${url}/`]);
    expect(got.code).toBe(0);
    expect(JSON.parse(got.out)).toMatchObject({ id: 'failed:1', state: 'waiting', attempts: [] });
    const replayed = await cli(['replay', 'failed:1', '--api', url]);
    expect(replayed.code).toBe(0);
    expect(JSON.parse(replayed.out)).toMatchObject({ id: 'failed:1', replays: 1 });
  });

  test('cancel and resolve print the task as it then is', async () => {
    const { env } = await startTwinApi();
    await cli(['submit', '--id', 'uncertain:1', '--type', 't'], { env });
    const resolved = await cli(['resolve', 'uncertain:1', '--as', 'failed', '--note', 'no mail'], { env });
    expect(resolved.code).toBe(0);
    expect(JSON.parse(resolved.out)).toMatchObject({ state: 'failed', note: 'no mail' });
    const cancelled = await cli(['cancel', 'uncertain:1'], { env });
    expect(JSON.parse(cancelled.out)).toMatchObject({ state: 'cancelled' });
    expect((await cli(['resolve', 'uncertain:1', '--as', 'done', '--note', 'x'], { env })).code).toBe(2);
    expect((await cli(['resolve', 'uncertain:1', '--as', 'failed'], { env })).code).toBe(2);
  });

  test('no such task and a move that is not allowed are 3, a malformed id is 1', async () => {
    const { env } = await startTwinApi();
    await cli(['submit', '--id', 'fine', '--type', 't'], { env });
    expect((await cli(['get', 'unknown'], { env })).code).toBe(3);
    expect((await cli(['replay', 'unknown'], { env })).code).toBe(3);
    const refused = await cli(['replay', 'fine'], { env });
    expect(refused).toMatchObject({ code: 3, out: '' });
    expect(refused.err).toContain('[MOVE_REFUSED]');
    expect((await cli(['get', '..'], { env })).code).toBe(1);
  });

  test('an API that is not there, or is something else, is 4', async () => {
    const gone = await cli(['get', 'a', '--api', 'http://127.0.0.1:9']);
    expect(gone.code).toBe(4);
    expect(gone.err).toContain('API_UNREACHABLE');
    const other = createServer((_, response) => response.writeHead(502).end('<html>'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    const answered = await cli(['get', 'a', '--api', `http://127.0.0.1:${port}`]);
    expect(answered.code).toBe(4);
    expect(answered.err).toContain('it answered 502');
  });
});
