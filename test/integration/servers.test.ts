// servers.test.ts: the servers that tests and `npm start` run end with whoever started them, and fail on command.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { startEnsemble } from '../../infra/ensemble.js';
import { ask } from '../../infra/local-server.js';
import {
  acquireServers,
  findServers,
  type LocalServer,
  startRedis,
  startZooKeeper,
} from '../../infra/servers.js';
import { openSession } from '../../src/coordination/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function started<T extends LocalServer>(server: Promise<T>): Promise<T> {
  const local = await server;
  cleanups.push(() => local.stop());
  return local;
}

/** A folder of the test's own. */
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'claimkeeper-test-'));
  cleanups.push(async () => rmSync(path, { recursive: true, force: true }));
  return path;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('ZooKeeper serves, is gone after a kill, and serves again on the same port from the same folder', async () => {
  const dataDir = folder();
  const server = await started(startZooKeeper({ dataDir }));
  const before = server.pid;
  expect(await ask(server.port, 'srvr')).toContain('Mode: standalone');
  await server.kill();
  expect(isAlive(before)).toBe(false);
  expect(await ask(server.port, 'srvr')).toBe('');
  expect(() => server.pid).toThrow('zookeeper is not running');
  await server.restart();
  expect(server.pid).not.toBe(before);
  expect(await ask(server.port, 'conf')).toContain(`dataDir=${dataDir}`);
  await server.stop();
  await server.stop();
  expect(existsSync(join(dataDir, 'zoo.cfg'))).toBe(true);
});

test('ZooKeeper grants sessions of 2 to 20 of the ticks it was started with', async () => {
  const server = await started(startZooKeeper({ tickTimeMs: 300, heapMb: 128 }));
  const configuration = await ask(server.port, 'conf');
  expect(configuration).toContain('minSessionTimeout=600');
  expect(configuration).toContain('maxSessionTimeout=6000');
});

test('of three servers another leads when the leader is killed, a session outlives it, and the dead one follows again', async () => {
  const ensemble = await startEnsemble();
  cleanups.push(() => ensemble.stop());
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const session = openSession({ servers: ensemble.url, chroot: '', timeoutMs: 8_000 }, runtime);
  cleanups.push(() => session.close());
  await session.connected(10_000);
  const { sessionId } = session;
  const write = async (path: string, mode: 'ephemeral' | 'persistent'): Promise<void> => {
    const outcome = await session.write([{ kind: 'create', path, data: Buffer.from(path), mode }]);
    expect(outcome.kind === 'refused' ? outcome.code : outcome.kind).toMatch(/^applied|NODE_EXISTS$/);
  };
  await write('/mine', 'ephemeral');

  const first = await ensemble.leader();
  if (first === null) throw new Error('nobody leads');
  await first.kill();
  const second = await eventually(
    async () => {
      const now = await ensemble.leader();
      if (now === null) throw new Error('nobody leads');
      return now;
    },
    { what: 'another server leads' },
  );
  expect(second.port).not.toBe(first.port);
  await eventually(() => write('/after', 'persistent'), { what: 'the two that are left write' });
  expect(session.sessionId).toBe(sessionId);
  expect((await session.read('/mine'))?.stat.ephemeralOwner).toBe(sessionId);

  await first.restart();
  expect(await ask(first.port, 'srvr')).toContain('Mode: follower');
});

test('Redis keeps nothing over a restart', async () => {
  const server = await started(startRedis());
  expect(await ask(server.port, 'SET key value\r\n')).toContain('+OK');
  await server.kill();
  await server.restart();
  expect(await ask(server.port, 'GET key\r\n')).toBe('$-1\r\n');
});

test('a frozen server does not answer until it is thawed', async () => {
  const server = await started(startRedis());
  server.freeze();
  expect(await ask(server.port, 'PING\r\n')).toBe('');
  server.thaw();
  expect(await ask(server.port, 'PING\r\n')).toBe('+PONG\r\n');
});

test('a start that fails says what the server said', async () => {
  const dataDir = folder();
  writeFileSync(join(dataDir, 'version-2'), 'not a folder');
  await expect(startZooKeeper({ dataDir })).rejects.toThrow(
    /zookeeper on port \d+ ended at once(.|\n)*version-2/,
  );
});

test.runIf(process.platform === 'linux')(
  "a terminal's Ctrl-C reaches the starter alone: a server is in a session of its own",
  async () => {
    const server = await started(startRedis());
    // After the name in parentheses: state, parent, process group, session.
    const sessionOf = (pid: number) =>
      readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[3];
    expect(sessionOf(server.pid)).toMatch(/^\d+$/);
    expect(sessionOf(server.pid)).not.toBe(sessionOf(process.pid));
  },
);

test('a restart on a port that another process took meanwhile fails, and says why', async () => {
  const server = await started(startRedis());
  await server.kill();
  const other = createServer().listen(server.port, '127.0.0.1');
  await once(other, 'listening');
  cleanups.push(async () => void other.close());
  await expect(server.restart()).rejects.toThrow(/ended at once(.|\n)*[Aa]ddress already in use/);
});

test('servers that the environment names are used, and none is started', async () => {
  vi.stubEnv('ZOOKEEPER_URL', 'zookeeper.example:2181');
  vi.stubEnv('REDIS_URL', 'redis://redis.example:6379');
  const servers = await acquireServers();
  expect(servers).toMatchObject({
    zookeeperUrl: 'zookeeper.example:2181',
    redisUrl: 'redis://redis.example:6379',
    embedded: false,
  });
  await servers.stop();
});

test('a server that the environment does not name is started, and stops alone', async () => {
  vi.stubEnv('ZOOKEEPER_URL', 'zookeeper.example:2181');
  vi.stubEnv('REDIS_URL', '');
  const servers = await acquireServers();
  cleanups.push(() => servers.stop());
  expect(servers).toMatchObject({ zookeeperUrl: 'zookeeper.example:2181', embedded: true });
  const port = Number(new URL(servers.redisUrl).port);
  expect(await ask(port, 'PING\r\n')).toBe('+PONG\r\n');
  await servers.stop();
  expect(await ask(port, 'PING\r\n')).toBe('');
});

test('ZooKeeper is found in the folder that the environment names, and nowhere else then', () => {
  const home = folder();
  vi.stubEnv('CLAIMKEEPER_ZOOKEEPER_HOME', home);
  expect(findServers().zookeeper).toBeNull();
  mkdirSync(join(home, 'lib'));
  writeFileSync(join(home, 'lib', 'zookeeper-3.9.3.jar'), '');
  expect(findServers().zookeeper?.classPath).toBe(join(home, 'lib', '*'));
});

test('where there is no program, a start says what is missing and what to do', async () => {
  vi.stubEnv('PATH', folder());
  expect(findServers().redis).toBeNull();
  await expect(startRedis()).rejects.toThrow(
    /Redis was not found: no redis-server on the PATH.*infra\/setup\.mjs/,
  );
});

// As an installed package has it: compiled, in a folder of its own, with nothing of the repository around it.
const installed = mkdtempSync(join(tmpdir(), 'claimkeeper-test-installed-'));
beforeAll(() => {
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ type: 'module' }));
  // Its exit code is `npm run check`'s business: what matters here is what it writes.
  const options = ['-p', 'tsconfig.build.json', '--noEmitOnError', 'false', '--outDir', installed];
  spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', ...options]);
});
afterAll(() => rmSync(installed, { recursive: true, force: true }));

// A frozen server cannot act on SIGTERM: the guard must see to that, too.
const starter = (infra: string) => `
  import { startRedis, startZooKeeper } from '${infra}';
  const [zookeeper, redis] = await Promise.all([startZooKeeper(), startRedis()]);
  redis.freeze();
  console.log(JSON.stringify({ pids: [zookeeper.pid, redis.pid] }));
  setInterval(() => undefined, 1_000);
`;

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'servers and their temporary folders vanish when their starter ends by %s',
  async (signal) => {
    const temporary = folder();
    const program = join(temporary, 'starter.mjs');
    writeFileSync(program, starter(pathToFileURL(join(installed, 'infra', 'servers.js')).href));
    const child = spawn(process.execPath, [program], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: temporary },
    });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { pids } = JSON.parse(line) as { pids: number[] };
    expect(pids.map(isAlive)).toEqual([true, true]);
    expect(readdirSync(temporary).filter((name) => name.startsWith('claimkeeper-'))).toHaveLength(2);

    child.kill(signal);
    await once(child, 'exit');
    await eventually(
      () => {
        expect(pids.map(isAlive)).toEqual([false, false]);
        expect(readdirSync(temporary)).toEqual(['starter.mjs']);
      },
      { what: 'both servers and their folders are gone' },
    );
  },
);
