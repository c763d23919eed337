// submit-killed.test.ts: a file whose submission is killed half-way is submitted again: every task is there once, and the
// second run says what the first had done. The API, ZooKeeper and the program that is killed are real.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { run } from '../../src/cli/program.js';
import { openSession } from '../../src/coordination/zookeeper/index.js';
import { treePaths } from '../../src/ledger/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { redisUrl, uniqueChroot, uniquePrefix, zookeeperUrl } from '../support/servers.js';

const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const count = 20_000;

function claimkeeper(
  args: readonly string[],
  env: Record<string, string>,
): { child: ChildProcess; said: () => string } {
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  return { child, said: () => text };
}

/** The ids of all tasks in the ledger, each as often as it is there. */
async function accepted(chroot: string): Promise<string[]> {
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const session = openSession({ servers: zookeeperUrl(), chroot, timeoutMs: 4_000 }, runtime);
  onTestFinished(() => session.close());
  await session.connected(10_000);
  const found = await session.childrenOfAll(treePaths.filter((path) => /^\/tasks\/../.test(path)));
  return found.flatMap((names) => names ?? []);
}

test('twenty thousand lines, killed half-way and submitted again, are twenty thousand tasks', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-submit-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'tasks.ndjson');
  const ids = Array.from({ length: count }, (_, i) => `line:${i}`);
  await writeFile(file, ids.map((id) => `${JSON.stringify({ id, type: 't', payload: { id } })}\n`).join(''));
  const chroot = uniqueChroot();
  const env = {
    PATH: process.env.PATH ?? '',
    CLAIMKEEPER_ZOOKEEPER: zookeeperUrl(),
    CLAIMKEEPER_REDIS: redisUrl(),
    CLAIMKEEPER_CHROOT: chroot,
    CLAIMKEEPER_PREFIX: uniquePrefix(),
    CLAIMKEEPER_PORT: '0',
    CLAIMKEEPER_LOG_LEVEL: 'warn',
  };
  const api = claimkeeper(['api'], env);
  const url = await eventually(() => /listening on (\S+)/.exec(api.said())?.[1] ?? Promise.reject(), {
    what: 'the API listens',
    deadlineMs: 20_000,
  });

  const first = claimkeeper(['submit', '--file', file, '--api', url], env);
  const ended = new Promise((resolve) => first.child.once('exit', (_code, signal) => resolve(signal)));
  const outcomes = (): number => first.said().split('\n').length - 1;
  await eventually(() => expect(outcomes()).toBeGreaterThanOrEqual(count / 2), {
    what: 'half of the lines are submitted',
    deadlineMs: 60_000,
    pollMs: 1,
  });
  first.child.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');
  const known = outcomes();
  expect(known).toBeLessThan(count);

  const screen = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
  let drawn = '';
  screen.on('data', (data: Buffer) => {
    drawn += data.toString();
  });
  const said: string[] = [];
  const code = await run(['submit', '--file', file, '--api', url], '0', {
    env: {},
    stdin: Readable.from([]),
    isTty: true,
    screen,
    print: (line) => void said.push(line),
    say: (line) => void said.push(line),
  });
  expect([code, said]).toEqual([0, [expect.stringMatching(/^submitted: /)]]);
  const bar = [...drawn.matchAll(/(\d+)\/(\d+) lines: (\d+) created, (\d+) already there, 0 refused/g)].at(
    -1,
  );
  const [done, total, created = 0, same = 0] = (bar ?? []).slice(1).map(Number);
  expect([done, total, created + same]).toEqual([count, count, count]);
  // What the first was told of is there; what was under way when it was killed may be.
  expect(same).toBeGreaterThanOrEqual(known);
  expect(same).toBeLessThan(count);
  expect((await accepted(chroot)).sort()).toEqual([...ids].sort());
}, 180_000);
