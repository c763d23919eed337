// cli-processes.test.ts: the built program as people run it: processes that serve, that are told to stop, and that die.

import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startZooKeeper } from '../../infra/servers.js';
import { ApiClient } from '../../src/cli/api-client.js';
import { claimkeeper, type Running } from '../support/built-program.js';
import { eventually } from '../support/eventually.js';
import { redisUrl, uniqueChroot, uniquePrefix, zookeeperUrl } from '../support/servers.js';

const library = new URL('../../dist/src/index.js', import.meta.url).href;

/** `pid` answers with its worker's process; `slow` says when it has begun, and takes a while. */
const taskModule = `
import { defineTask } from ${JSON.stringify(library)};
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default [
  defineTask('pid', { handler: () => process.pid }),
  defineTask('slow', {
    handler: async ({ ms }, context) => {
      process.stdout.write('begun\\n');
      await pause(ms);
      return context.attempt;
    },
  }),
];
`;

let modulePath = '';

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-cli-'));
  modulePath = join(folder, 'tasks.mjs');
  await writeFile(modulePath, taskModule);
  return () => rm(folder, { recursive: true });
});

/** An installation of the test's own on the shared servers. */
function installation(): Record<string, string> {
  return {
    CLAIMKEEPER_ZOOKEEPER: zookeeperUrl(),
    CLAIMKEEPER_REDIS: redisUrl(),
    CLAIMKEEPER_CHROOT: uniqueChroot(),
    CLAIMKEEPER_PREFIX: uniquePrefix(),
    CLAIMKEEPER_PORT: '0',
    CLAIMKEEPER_LOG_LEVEL: 'warn',
    CLAIMKEEPER_SESSION_TIMEOUT_MS: '4000',
    ZOOKEEPER_URL: zookeeperUrl(),
    REDIS_URL: redisUrl(),
  };
}

async function clientOf(api: Running): Promise<ApiClient> {
  return new ApiClient(await api.url());
}

function completed(client: ApiClient, id: string) {
  return eventually(
    async () => {
      const view = await client.get(id);
      expect(view.state).toBe('completed');
      return view;
    },
    { deadlineMs: 20_000, what: `${id} completes` },
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Runs tasks until both workers have had one; their process ids. */
async function workerPids(client: ApiClient): Promise<number[]> {
  const pids = new Set<number>();
  for (let i = 0; pids.size < 2 && i < 200; i += 1) {
    await client.submit([{ id: `pid-${i}`, type: 'pid' }]);
    pids.add((await completed(client, `pid-${i}`)).result as number);
  }
  return [...pids];
}

describe('up', () => {
  test('serves with two workers, and on SIGINT ends them and itself with 0', async () => {
    const up = claimkeeper(['up', '--module', modulePath, '--workers', '2'], installation());
    const client = await clientOf(up);
    await up.says(/Claimkeeper is up/);
    const pids = await workerPids(client);
    expect(pids).toHaveLength(2);
    expect(pids).not.toContain(up.process.pid);
    up.process.kill('SIGINT');
    expect(await up.exited).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test('its workers end when it is killed', async () => {
    const up = claimkeeper(['up', '--module', modulePath, '--workers', '2'], installation());
    const client = await clientOf(up);
    await up.says(/Claimkeeper is up/);
    const pids = await workerPids(client);
    expect(pids.every(isAlive)).toBe(true);
    up.process.kill('SIGKILL');
    await up.exited;
    await eventually(() => expect(pids.filter(isAlive)).toEqual([]), {
      deadlineMs: 20_000,
      what: 'the workers end',
    });
  });

  test('a module that is not valid ends it with 2 before anything is started', async () => {
    const up = claimkeeper(['up', '--module', `${modulePath}.nowhere`], installation());
    expect(await up.exited).toBe(2);
    await up.says(/cannot be loaded/);
  });
});

describe('processes of their own', () => {
  test('api, scheduler and worker make an installation; SIGTERM lets the running task end', async () => {
    const env = installation();
    const api = claimkeeper(['api'], env);
    const client = await clientOf(api);
    const scheduler = claimkeeper(['scheduler'], env);
    const worker = claimkeeper(['worker', modulePath], env);
    await client.submit([{ id: 'slow-1', type: 'slow', payload: { ms: 1_500 } }]);
    await worker.says(/begun/);
    worker.process.kill('SIGTERM');
    expect(await worker.exited).toBe(0);
    expect(await client.get('slow-1')).toMatchObject({ state: 'completed', result: 1, attempt: 1 });
    for (const { process: child, exited } of [scheduler, api]) {
      child.kill('SIGTERM');
      expect(await exited).toBe(0);
    }
  });

  test('a second signal ends a worker at once', async () => {
    const env = installation();
    const api = claimkeeper(['api'], env);
    const client = await clientOf(api);
    const worker = claimkeeper(['worker', modulePath], { ...env, CLAIMKEEPER_LOG_LEVEL: 'info' });
    await client.submit([{ id: 'slow-1', type: 'slow', payload: { ms: 60_000 } }]);
    await worker.says(/begun/);
    worker.process.kill('SIGINT');
    await worker.says(/stopping/);
    worker.process.kill('SIGINT');
    expect(await worker.exited).toBe(130);
  });

  test('whose output nobody reads any more ends, and says nothing of it', async () => {
    const file = join(modulePath, '..', 'refused.ndjson');
    await writeFile(file, 'no JSON\n'.repeat(20_000)); // All refused here: no API is asked.
    const submit = claimkeeper(['submit', '--file', file], {});
    const closed = once(submit.process, 'close');
    submit.process.stdout?.destroy();
    expect(await submit.exited).toBe(1);
    await closed;
    await submit.says(/^$/);
  });

  test('without ZooKeeper a process gives up with 4', async () => {
    const zookeeper = await startZooKeeper();
    onTestFinished(() => zookeeper.stop());
    await zookeeper.kill();
    const env = { ...installation(), CLAIMKEEPER_ZOOKEEPER: zookeeper.url };
    expect(await claimkeeper(['api'], env).exited).toBe(4);
  });
});

describe('confirm-restore', () => {
  test("lets processes go on that stopped because ZooKeeper's data is gone", async () => {
    const zookeeper = await startZooKeeper();
    onTestFinished(() => zookeeper.stop());
    const env = { ...installation(), CLAIMKEEPER_ZOOKEEPER: zookeeper.url };
    const api = claimkeeper(['api'], env);
    const url = await api.url();
    const readiness = async (): Promise<unknown> => (await fetch(`${url}/readyz`)).json();
    await zookeeper.stop();
    await zookeeper.restart();
    await eventually(async () => expect(await readiness()).toMatchObject({ zookeeper: 'halted' }), {
      deadlineMs: 20_000,
      what: 'the API is halted',
    });
    const [, held = ''] = await api.says(/"held":"([^"]+)"/);
    const [outcome] = (await new ApiClient(url).submit([{ id: 'x', type: 'pid' }])).slice(0, 1);
    expect(outcome).toMatchObject({ kind: 'refused', error: { code: 'GENERATION_CHANGED' } });
    const confirmed = claimkeeper(['confirm-restore', '--held', held], env);
    await confirmed.says(/confirmed: the generation is now/);
    expect(await confirmed.exited).toBe(0);
    await eventually(async () => expect(await readiness()).toMatchObject({ status: 'ready' }), {
      what: 'the API is ready',
    });
  });
});
