// submit-killed.test.ts: a file whose submission is killed half-way is submitted again: every task is there once, and the
// second run says what the first had done. The API, ZooKeeper and the program that is killed are real.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openSession } from '../../src/coordination/zookeeper/index.js';
import { treePaths } from '../../src/ledger/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { claimkeeper } from '../support/built-program.js';
import { cli } from '../support/command-line.js';
import { eventually } from '../support/eventually.js';
import { redisUrl, uniqueChroot, uniquePrefix, zookeeperUrl } from '../support/servers.js';

const count = 100_000;

/** The ids of all tasks in the ledger, each as often as it is there. */
async function accepted(chroot: string): Promise<string[]> {
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const session = openSession({ servers: zookeeperUrl(), chroot, timeoutMs: 4_000 }, runtime);
  onTestFinished(() => session.close());
  await session.connected(10_000);
  const found = await session.childrenOfAll(treePaths.filter((path) => /^\/tasks\/../.test(path)));
  return found.flatMap((names) => names ?? []);
}

test('a hundred thousand lines, killed half-way and submitted again, are a hundred thousand tasks', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-submit-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'tasks.ndjson');
  const ids = Array.from({ length: count }, (_, i) => `line:${i}`);
  await writeFile(file, ids.map((id) => `${JSON.stringify({ id, type: 't', payload: { id } })}\n`).join(''));
  const chroot = uniqueChroot();
  const env = {
    CLAIMKEEPER_ZOOKEEPER: zookeeperUrl(),
    CLAIMKEEPER_REDIS: redisUrl(),
    CLAIMKEEPER_CHROOT: chroot,
    CLAIMKEEPER_PREFIX: uniquePrefix(),
    CLAIMKEEPER_PORT: '0',
    CLAIMKEEPER_LOG_LEVEL: 'warn',
  };
  const url = await claimkeeper(['api'], env).url();

  const first = claimkeeper(['submit', '--file', file, '--api', url], env);
  const outcomes = (): number => first.said().split('\n').length - 1;
  await eventually(() => expect(outcomes()).toBeGreaterThanOrEqual(count / 2), {
    what: 'half of the lines are submitted',
    deadlineMs: 60_000,
    pollMs: 1,
  });
  first.process.kill('SIGKILL');
  expect(await first.exited).toBe('SIGKILL');
  const known = outcomes();
  expect(known).toBeLessThan(count);

  const again = await cli(['submit', '--file', file, '--api', url], { watched: true });
  expect([again.code, again.out, again.err]).toEqual([0, '', expect.stringMatching(/^submitted: .*$/)]);
  const bars = again.drawn.matchAll(/(\d+)\/(\d+) lines: (\d+) created, (\d+) already there, 0 refused/g);
  const [done, total, created = 0, same = 0] = ([...bars].at(-1) ?? []).slice(1).map(Number);
  expect([done, total, created + same]).toEqual([count, count, count]);
  // What the first was told of is there; what was under way when it was killed may be.
  expect(same).toBeGreaterThanOrEqual(known);
  expect(same).toBeLessThan(count);
  expect((await accepted(chroot)).sort()).toEqual([...ids].sort());
}, 180_000);
