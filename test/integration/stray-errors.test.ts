// stray-errors.test.ts: an error that nobody awaits ends the process that serves, and is said: a worker that went on would
// hold tasks in a state that nobody knows.

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { connect } from '../../src/index.js';
import { silentLogger } from '../../src/runtime/index.js';
import { redisUrl, uniqueChroot, uniquePrefix, zookeeperUrl } from '../support/servers.js';

const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const library = new URL('../../dist/src/index.js', import.meta.url).href;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claimkeeper-stray-'));
  return () => rm(folder, { recursive: true });
});

test.each([
  ['a rejection', "void Promise.reject(new Error('astray'))"],
  ['a throw', "setImmediate(() => { throw new Error('astray'); })"],
])(
  '%s that escapes from a handler ends the worker with 1, and is said',
  async (name, stray) => {
    const module = join(folder, `${name.replace(/\W/g, '')}.mjs`);
    await writeFile(
      module,
      `import { defineTask } from ${JSON.stringify(library)};
     export default [defineTask('stray', { handler: async () => { ${stray}; await new Promise(() => {}); } })];`,
    );
    const [chroot, prefix] = [uniqueChroot(), uniquePrefix()];
    const keeper = await connect({
      zookeeper: zookeeperUrl(),
      redis: redisUrl(),
      chroot,
      prefix,
      log: silentLogger,
    });
    onTestFinished(() => keeper.close());
    const env = {
      PATH: process.env.PATH,
      CLAIMKEEPER_ZOOKEEPER: zookeeperUrl(),
      CLAIMKEEPER_REDIS: redisUrl(),
      CLAIMKEEPER_CHROOT: chroot,
      CLAIMKEEPER_PREFIX: prefix,
      CLAIMKEEPER_LOG_LEVEL: 'silent',
    };
    const worker = spawn(process.execPath, [main, 'worker', module], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    onTestFinished(() => void worker.kill('SIGKILL'));
    let said = '';
    worker.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const ended = new Promise<number | null>((resolve) => worker.once('close', resolve));
    await keeper.submit({ id: 'stray', type: 'stray' });
    expect(await ended).toBe(1);
    expect(said).toContain('astray');
  },
  60_000,
);
