// fleet.ts: an installation of processes as `claimkeeper` starts them, with the defaults but for the session timeout.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startRedis, startZooKeeper } from '../../infra/servers.js';
import { type Claimkeeper, connect, createLogger } from '../../src/index.js';
import { startWitness, type Witness } from './witness.js';

export type Member = {
  readonly pid: number;
  kill(signal: 'SIGKILL' | 'SIGTERM'): void;
  readonly exited: Promise<unknown>;
};

export type Fleet = {
  readonly witness: Witness;
  readonly keeper: Claimkeeper;
  readonly workers: ReadonlySet<Member>;
  /** Starts workers until there are `count`. */
  fill(count: number): Promise<void>;
  close(): Promise<void>;
};

export const sessionTimeoutMs = 4_000;
/** Slots of a worker: half a fleet has room for the tasks of all. */
const concurrency = 40;

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const tasks = fileURLToPath(new URL('./tasks.js', import.meta.url));

export async function startFleet(): Promise<Fleet> {
  const over: (() => unknown)[] = [];
  const end = async (): Promise<void> => {
    for (const act of over.splice(0).reverse()) await act();
  };
  const owned = async <T>(started: Promise<T>, act: (value: T) => unknown): Promise<T> => {
    const value = await started;
    over.push(() => act(value));
    return value;
  };
  try {
    const zookeeper = await owned(startZooKeeper(), (server) => server.stop());
    const redis = await owned(startRedis(), (server) => server.stop());
    const witness = await owned(startWitness(), (each) => each.close());
    const settings = { zookeeper: zookeeper.url, redis: redis.url, sessionTimeoutMs };
    const log = createLogger('silent');
    const keeper = await owned(connect({ ...settings, log }), (each) => each.close());
    const env = {
      PATH: process.env.PATH,
      WITNESS_URL: witness.url,
      CLAIMKEEPER_ZOOKEEPER: zookeeper.url,
      CLAIMKEEPER_REDIS: redis.url,
      CLAIMKEEPER_SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
      CLAIMKEEPER_CONCURRENCY: String(concurrency),
      // A stop that waits for handlers measures the handlers.
      CLAIMKEEPER_DRAIN_MS_MAX: '0',
      CLAIMKEEPER_LOG_LEVEL: 'silent',
    };
    await owned(startMember(['scheduler'], env), killed);
    const workers = new Set<Member>();
    over.push(() => Promise.all([...workers].map(killed)));
    const hire = async (): Promise<void> => {
      const worker = await startMember(['worker', tasks], env);
      workers.add(worker);
      void worker.exited.then(() => workers.delete(worker));
    };
    return {
      witness,
      keeper,
      workers,
      async fill(count) {
        await Promise.all(Array.from({ length: count - workers.size }, hire));
      },
      close: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function killed(member: Member): Promise<void> {
  member.kill('SIGKILL');
  await member.exited;
}

async function startMember(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Member> {
  const child: ChildProcess = fork(main, args, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  const early = exited.then(([code]) => Promise.reject(new Error(`${args[0]} ended with ${code}`)));
  await Promise.race([once(child, 'message'), early]);
  early.catch(() => undefined); // It has begun: how it ends is its killer's affair.
  return { pid: child.pid ?? 0, kill: (signal) => void child.kill(signal), exited };
}
