// cli-people.test.ts: what the command line does for people: a bar that says how far a file is, tables, completion, keys in
// files, patience with an API that is asked too often. The service behind the API is a twin.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type ApiKey, ClaimkeeperError, type TaskSummary } from '../../src/domain/index.js';
import { cli, type Ran } from '../support/command-line.js';
import { twinNow } from '../support/task-service-twin.js';
import { shownKey, storedKey } from '../support/test-key.js';
import { startTwinApi } from '../support/twin-api.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claimkeeper-cli-'));
  return () => rm(folder, { recursive: true });
});

async function fileOf(name: string, lines: readonly string[]): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, lines.join('\n'));
  return path;
}

const task = (n: number): string => JSON.stringify({ id: `t${n}`, type: 't' });

/** The bar as it was drawn last. */
function lastBar(drawn: string): string {
  return [...drawn.matchAll(/\d+\/\d+ lines: \P{Cc}*/gu)].at(-1)?.[0] ?? '';
}

describe('submit --file on a terminal', () => {
  test('the bar ends at all lines, with what became of them; lines are printed for what is refused alone', async () => {
    const { env } = await startTwinApi();
    const lines = [...Array.from({ length: 2_400 }, (_, i) => task(i)), '', 'no JSON'];
    const file = await fileOf('some.ndjson', lines);
    const { code, out, err, drawn } = await cli(['submit', '--file', file], { env, watched: true });
    expect(code).toBe(1);
    expect(lastBar(drawn)).toBe('2401/2401 lines: 2400 created, 0 already there, 1 refused');
    expect(JSON.parse(out)).toMatchObject({ line: 2_402, kind: 'refused' });
    expect(err).toBe('submitted: 2400 created, 0 already there, 1 refused');
  });

  test('it stops where it has come to, and the same file again ends at all of it', async () => {
    const { service, env } = await startTwinApi();
    const file = await fileOf(
      'twice.ndjson',
      Array.from({ length: 3_500 }, (_, i) => task(i)),
    );
    const submitMany = service.submitMany.bind(service);
    let left = 2;
    service.submitMany = async (inputs) => {
      left -= 1;
      if (left < 0) throw new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', 'no quorum');
      return submitMany(inputs);
    };
    const stopped = await cli(['submit', '--file', file], { env, watched: true });
    expect(stopped.code).toBe(4);
    expect(lastBar(stopped.drawn)).toBe('2000/3500 lines: 2000 created, 0 already there, 0 refused');
    expect(stopped.err).toContain('stopped at line 2001: 2000 created');
    left = 100;
    const again = await cli(['submit', '--file', file], { env, watched: true });
    expect(again.code).toBe(0);
    expect(lastBar(again.drawn)).toBe('3500/3500 lines: 1500 created, 2000 already there, 0 refused');
    expect(service.tasks.size).toBe(3_500);
  });

  test('elsewhere there is no bar, and a line for each task', async () => {
    const { env } = await startTwinApi();
    const file = await fileOf('plain.ndjson', [task(1), task(2)]);
    const { out, drawn } = await cli(['submit', '--file', file], { env });
    expect(out.split('\n')).toHaveLength(2);
    expect(drawn).toBe('');
  });

  test('a rate limit only makes it slower: what it refuses is sent again', async () => {
    const { service, env } = await startTwinApi({ rateLimitPerSecond: 1 });
    const fetched = vi.spyOn(globalThis, 'fetch');
    onTestFinished(() => fetched.mockRestore());
    const file = await fileOf(
      'limited.ndjson',
      Array.from({ length: 3_001 }, (_, i) => task(i)),
    );
    const { code, err } = await cli(['submit', '--file', file], { env });
    expect([code, err]).toEqual([0, 'submitted: 3001 created, 0 already there, 0 refused']);
    expect(service.tasks.size).toBe(3_001);
    expect(fetched.mock.settledResults.map(({ value }) => value.status)).toContain(429);
  });
});

describe('get', () => {
  test('is a table on a terminal, JSON elsewhere, and what is asked for in either', async () => {
    const { env } = await startTwinApi();
    await cli(['submit', '--id', 'a:1', '--type', 'mail', '--payload', '{"to":"\\u001b[2Jada"}'], { env });
    const isTable = ({ out }: Ran): boolean => /│ state +│ waiting +│/.test(out);
    const isJson = ({ out }: Ran): boolean => out.startsWith('{') && JSON.parse(out).id === 'a:1';
    expect(isTable(await cli(['get', 'a:1'], { env, watched: true }))).toBe(true);
    expect(isJson(await cli(['get', 'a:1'], { env }))).toBe(true);
    expect(isJson(await cli(['get', 'a:1', '--output', 'json'], { env, watched: true }))).toBe(true);
    expect(isTable(await cli(['get', 'a:1', '-o', 'table'], { env }))).toBe(true);
    expect((await cli(['get', 'a:1', '-o', 'xml'], { env })).code).toBe(2);
  });
});

describe('an API that asks for a key', () => {
  const accessBy = (stored: ApiKey) => ({ keys: { find: () => stored }, required: true });

  test('is given the one of the flag, of the environment, or of a file', async () => {
    const { env } = await startTwinApi({ access: accessBy(storedKey({ scopes: ['submit'] })) });
    const submit = (more: readonly string[], given: Record<string, string>) =>
      cli(['submit', '--id', 'a', '--type', 't', ...more], { env: { ...env, ...given } });
    const refused = await submit([], {});
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('[KEY_REQUIRED]')]);
    const file = await fileOf('key', [shownKey, '']);
    expect((await submit(['--api-key', shownKey], {})).code).toBe(0);
    expect((await submit([], { CLAIMKEEPER_API_KEY: shownKey })).code).toBe(0);
    expect((await submit([], { CLAIMKEEPER_API_KEY_FILE: file })).code).toBe(0);
    const config = await fileOf('config.json', [
      JSON.stringify({ api: env.CLAIMKEEPER_API, apiKey: shownKey }),
    ]);
    expect((await cli(['submit', '--id', 'a', '--type', 't', '--config', config])).code).toBe(0);
    const other = await cli(['get', 'a', '--api-key', shownKey], { env });
    expect([other.code, other.err]).toEqual([1, expect.stringContaining('[SCOPE_MISSING]')]);
  });

  test.each([
    'get a --wait 1',
    'list --state failed',
    'queues',
    'queues pause default',
    'queues resume default',
    'watch --count 1',
    'workers',
    'cancel a',
    'schedules list',
    'schedules get report',
    'schedules update report --jitter-ms 5',
    'schedules pause report',
    'schedules resume report',
    'schedules run report --key k',
    'schedules next report',
    'schedules preview --cron 0_6_*_*_*',
    'schedules create --id other --cron 0_6_*_*_* --type t',
    'schedules remove report',
  ])('is shown it by "%s" as well, by flag and by file', async (line) => {
    const { env, service } = await startTwinApi({ access: accessBy(storedKey()) });
    await service.submitMany([{ id: 'a', type: 't' }]);
    await service.schedules.create({ id: 'report', cron: '0 6 * * *', task: { type: 't' } });
    const times = { acceptedAt: twinNow, startedAt: null, finishedAt: null };
    const rest = { attempt: 1, errorCode: null, replays: 0, worker: null, state: 'failed', ...times };
    const task = { id: 'a', type: 't', queue: 'default', ...rest } as TaskSummary;
    service.feed = [{ kind: 'event', id: '1-0', at: twinNow, from: null, task }];
    const words = line.split(' ').map((word) => word.replaceAll('_', ' '));
    const without = await cli(words, { env });
    expect([without.code, without.err]).toEqual([1, expect.stringContaining('[KEY_REQUIRED]')]);
    const config = await fileOf('all.json', [JSON.stringify({ api: env.CLAIMKEEPER_API, apiKey: shownKey })]);
    const byFile = await cli([...words, '--config', config]);
    expect([byFile.code, byFile.err.includes('claimkeeper:')]).toEqual([0, false]);
    if (line.includes('remove'))
      await service.schedules.create({ id: 'report', cron: '0 6 * * *', task: { type: 't' } });
    expect((await cli([...words, '--api-key', shownKey], { env })).code).toBe(0);
  });
});

describe('completion', () => {
  /** What bash offers for a line, whose last word is being written. */
  async function offered(line: string): Promise<string[]> {
    const { out } = await cli(['completion', 'bash']);
    const words = line.split(' ');
    const quoted = words.map((word) => `'${word}'`).join(' ');
    const script = `${out}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _claimkeeper; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', script]);
    return stdout.split('\n').filter((word) => word !== '');
  }

  async function commandsIn(args: readonly string[]): Promise<string[]> {
    const { out } = await cli([...args, '--help']);
    const [list = ''] = (out.split('Commands:\n')[1] ?? '').split('\n\n');
    return [...list.matchAll(/^ {2}([a-z][\w-]*)/gm)].map(([, name = '']) => name);
  }

  test('offers every command that the help has, at each level', async () => {
    for (const path of [[], ['keys'], ['schedules']]) {
      const commands = await commandsIn(path);
      expect(commands.length).toBeGreaterThan(2);
      const words = await offered(['claimkeeper', ...path, ''].join(' '));
      expect(words).toEqual(expect.arrayContaining(commands));
    }
  });

  test('offers every flag of a command, and no other command’s', async () => {
    const { out } = await cli(['submit', '--help']);
    const flags = [...out.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag]) => flag);
    expect(flags.length).toBeGreaterThan(10);
    expect((await offered('claimkeeper submit --')).sort()).toEqual([...flags].sort());
  });

  test.each([
    ['claimkeeper sub', ['submit']],
    ['claimkeeper get --ou', ['--output']],
    ['claimkeeper get --output ', ['json', 'table']],
    ['claimkeeper get -o t', ['table']],
    ['claimkeeper --api x get -o t', ['table']],
    ['claimkeeper keys re', ['revoke']],
    ['claimkeeper keys create --sco', ['--scopes']],
    ['claimkeeper resolve x --as ', ['completed', 'failed']],
    ['claimkeeper submit --file ', []],
    ['claimkeeper submit --id get --o', ['--on-interrupted']],
  ])('%j is answered with %j', async (line, words) => {
    expect(await offered(line)).toEqual(words);
  });

  test('there is one for zsh and for fish with every command, none for another shell', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { out } = await cli(['completion', shell]);
      for (const name of await commandsIn([])) if (name !== 'help') expect(out).toContain(name);
      expect(out).toContain(shell === 'fish' ? '-l scopes' : '--scopes');
    }
    expect(await cli(['completion', 'tcsh'])).toMatchObject({ code: 2, out: '' });
  });
});
