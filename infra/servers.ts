// servers.ts: real ZooKeeper and Redis servers for tests, demonstrations and `npm start`. Owns which programs are found and
// how each is configured; their processes are local-server.ts. Not for production: one server, on loopback, no password.

import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { ask, type LocalServer, type Program, startLocal } from './local-server.js';

export type { LocalServer } from './local-server.js';

export type FoundServers = {
  readonly zookeeper: { readonly java: string; readonly classPath: string } | null;
  readonly redis: { readonly command: string } | null;
};

export type AcquiredServers = {
  readonly zookeeperUrl: string;
  readonly redisUrl: string;
  /** Whether at least one of them was started by this process and ends with it. */
  readonly embedded: boolean;
  stop(): Promise<void>;
};

/** The loopback ports of infra/compose.yaml. */
export const composePorts = { zookeeper: 22181, redis: 26380 } as const;

/** Where Homebrew keeps its packages, on Apple's processors and on Intel's. */
const brew = ['/opt/homebrew/opt', '/usr/local/opt'];

/** The programs on this machine, by `CLAIMKEEPER_ZOOKEEPER_HOME`, `JAVA_HOME`, `PATH` and the usual folders. */
export function findServers(): FoundServers {
  const homes = [process.env.JAVA_HOME, ...brew.map((prefix) => join(prefix, 'openjdk'))];
  // macOS has a program `java` on every PATH that only says where to get one: Homebrew's goes first.
  const java =
    homes.map((home) => executable(home && join(home, 'bin', 'java'))).find(isFound) ?? onPath('java');
  const classPath = zookeeperClassPath();
  const redis = onPath('redis-server') ?? onPath('valkey-server');
  return {
    zookeeper: java !== null && classPath !== null ? { java, classPath } : null,
    redis: redis !== null ? { command: redis } : null,
  };
}

/**
 * ZooKeeper on its own, fsync on. `tickTimeMs` (default 500) bounds the sessions it grants: 2–20 ticks.
 * `heapMb`: default 512.
 */
export async function startZooKeeper(
  options: { tickTimeMs?: number; dataDir?: string; heapMb?: number } = {},
): Promise<LocalServer> {
  const { tickTimeMs = 500, dataDir = null, heapMb = 512 } = options;
  return startLocal(zookeeperProgram({ name: 'zookeeper', dataDir, tickTimeMs, heapMb }));
}

/** `files`, `settings` and `properties`: what a member of an ensemble needs beside it. */
type ZooKeeperOptions = {
  readonly name: string;
  readonly dataDir: string | null;
  readonly tickTimeMs: number;
  readonly heapMb: number;
  readonly files?: Readonly<Record<string, string>>;
  readonly settings?: readonly string[];
  readonly properties?: readonly string[];
};

/** @throws Error where there is no ZooKeeper on this machine */
export function zookeeperProgram(options: ZooKeeperOptions): Program {
  const found = findServers().zookeeper;
  if (found === null) throw new Error(missing('ZooKeeper'));
  const { name, dataDir, tickTimeMs, heapMb, files = {}, settings = [], properties = [] } = options;
  return {
    name,
    dataDir,
    url: (port) => `127.0.0.1:${port}`,
    async prepare(port, folder) {
      const configuration = join(folder, 'zoo.cfg');
      const logback = join(folder, 'logback.xml');
      await writeFile(configuration, zookeeperConfiguration(port, folder, tickTimeMs, settings));
      await writeFile(logback, logbackConfiguration);
      for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
      // Servers of tests and examples live for seconds: the serial collector halves the start (0.2 s instead of 0.4 s on
      // two cores), and the quick compiler alone has a cold server do half as much again.
      const tuning = [`-Xmx${heapMb}m`, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
      // As docs/configuration.md recommends it for every server.
      const network = ['-Dzookeeper.nio.numWorkerThreads=0'];
      const logging = [
        '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
        `-Dlogback.configurationFile=${logback}`,
        '-Dzookeeper.jmx.log4j.disable=true',
      ];
      const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';
      return {
        command: found.java,
        args: [...tuning, ...network, ...logging, ...properties, '-cp', found.classPath, main, configuration],
      };
    },
    question: 'conf',
    ready: (answer, server) => answer.includes(`dataDir=${server.folder}`),
  };
}

/**
 * Redis without persistence: what it holds is gone with the process. With `appendfsync` it writes an append-only file, and syncs
 * it that often.
 */
export function startRedis(
  options: { dataDir?: string; appendfsync?: 'always' | 'everysec' | 'no' } = {},
): Promise<LocalServer> {
  const { dataDir = null, appendfsync } = options;
  const found = findServers().redis;
  if (found === null) return Promise.reject(new Error(missing('Redis')));
  return startLocal({
    name: 'redis',
    dataDir,
    url: (port) => `redis://127.0.0.1:${port}`,
    async prepare(port, folder) {
      const settings = {
        port,
        bind: '127.0.0.1',
        dir: folder,
        save: '',
        ...(appendfsync === undefined ? { appendonly: 'no' } : { appendonly: 'yes', appendfsync }),
        loglevel: 'warning',
      };
      const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
      return { command: found.command, args };
    },
    question: 'INFO server\r\n',
    ready: (answer, server) => answer.includes(`process_id:${server.pid}\r\n`),
  });
}

/**
 * Servers to work with: those that `ZOOKEEPER_URL` and `REDIS_URL` name, else programs on this machine started for this
 * process alone, else the ones of infra/compose.yaml where they run.
 */
export async function acquireServers(): Promise<AcquiredServers> {
  const found = findServers();
  const started: LocalServer[] = [];
  const start = async (server: Promise<LocalServer>): Promise<string> => {
    const local = await server;
    started.push(local);
    return local.url;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(started.splice(0).map((server) => server.stop()));
  };
  const urls = await Promise.allSettled([
    process.env.ZOOKEEPER_URL || (found.zookeeper ? start(startZooKeeper()) : composed('ZooKeeper')),
    process.env.REDIS_URL || (found.redis ? start(startRedis()) : composed('Redis')),
  ]);
  const [zookeeper, redis] = urls;
  if (zookeeper.status === 'rejected' || redis.status === 'rejected') {
    await stop();
    throw urls.find((url) => url.status === 'rejected')?.reason;
  }
  return { zookeeperUrl: zookeeper.value, redisUrl: redis.value, embedded: started.length > 0, stop };
}

async function composed(name: 'ZooKeeper' | 'Redis'): Promise<string> {
  const answer =
    name === 'Redis' ? await ask(composePorts.redis, 'PING\r\n') : await ask(composePorts.zookeeper, 'srvr');
  if (name === 'Redis' && answer.startsWith('+PONG')) return `redis://127.0.0.1:${composePorts.redis}`;
  if (name === 'ZooKeeper' && answer.startsWith('Zookeeper version')) {
    return `127.0.0.1:${composePorts.zookeeper}`;
  }
  throw new Error(missing(name));
}

function missing(name: 'ZooKeeper' | 'Redis'): string {
  const what =
    name === 'Redis'
      ? 'no redis-server on the PATH, and REDIS_URL is not set'
      : 'no Java with ZooKeeper (CLAIMKEEPER_ZOOKEEPER_HOME, /usr/share/java/zookeeper.jar), and ZOOKEEPER_URL is not set';
  return `${name} was not found: ${what}. Run "node infra/setup.mjs", which installs it or says how.`;
}

function zookeeperConfiguration(
  port: number,
  folder: string,
  tickTimeMs: number,
  settings: readonly string[],
): string {
  return [
    `tickTime=${tickTimeMs}`,
    `dataDir=${folder}`,
    `clientPort=${port}`,
    'clientPortAddress=127.0.0.1',
    'admin.enableServer=false',
    '4lw.commands.whitelist=*',
    'maxClientCnxns=0',
    ...settings,
    '',
  ].join('\n');
}

/** ZooKeeper's own packages log through Logback, and at DEBUG unless told otherwise. */
const logbackConfiguration = `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
`;

function zookeeperClassPath(): string | null {
  const home = process.env.CLAIMKEEPER_ZOOKEEPER_HOME;
  const homes = home
    ? [home]
    : ['/opt/zookeeper', ...brew.map((prefix) => join(prefix, 'zookeeper', 'libexec'))];
  for (const folder of homes) {
    const jars = list(join(folder, 'lib')).filter((file) => file.endsWith('.jar'));
    if (jars.some((jar) => /^zookeeper-\d/.test(jar))) return join(folder, 'lib', '*');
  }
  // Debian's jar names the others in its manifest, but no logger.
  const debian = '/usr/share/java/zookeeper.jar';
  return home || !exists(debian) ? null : [debian, '/usr/share/java/slf4j-simple.jar'].join(delimiter);
}

function onPath(program: string): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => executable(join(folder, program))).find(isFound) ?? null;
}

function isFound(path: string | null): path is string {
  return path !== null;
}

function executable(path: string | undefined): string | null {
  if (!path || !exists(path)) return null;
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return null; // Not ours to run: as good as not there.
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function list(folder: string): string[] {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(folder) : [];
}
