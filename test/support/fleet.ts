// fleet.ts: a whole installation for integration tests: servers of its own to be killed, worker processes to be killed and
// frozen, a scheduler and a client in the test's process, and the witness.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type LocalServer, startRedis, startZooKeeper } from '../../infra/servers.js';
import {
  type Claimkeeper,
  type ConnectOptions,
  connect,
  type FleetMember,
  type State,
} from '../../src/index.js';
import { createLogger } from '../../src/runtime/index.js';
import { eventually } from './eventually.js';
import { startWitness, type Witness } from './witness.js';

export type WorkerProcess = {
  readonly pid: number;
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** SIGTERM: a graceful stop. Resolves with the exit code. */
  stop(): Promise<number | null>;
};

export type Fleet = {
  readonly zookeeper: LocalServer;
  readonly redis: LocalServer;
  readonly witness: Witness;
  /** Submits, and leads as a scheduler. */
  readonly keeper: Claimkeeper;
  startWorker(concurrency?: number): Promise<WorkerProcess>;
  /** Its entry in the fleet while its session is alive. */
  member(worker: WorkerProcess): Promise<FleetMember | undefined>;
  /** Resolves once every task is in one of `states`; fails after `deadlineMs`, naming those that are not. */
  settled(ids: readonly string[], states?: readonly State[], deadlineMs?: number): Promise<void>;
  states(ids: readonly string[]): Promise<Map<string, State | 'missing'>>;
  close(): Promise<void>;
};

const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const taskModule = fileURLToPath(new URL('./fleet-tasks.mjs', import.meta.url));

/** TEST_LOG=info shows what the fleet logs. */
const logLevel = process.env.TEST_LOG === 'info' ? 'info' : 'silent';
const log = createLogger(logLevel);

export const sessionTimeoutMs = 2_000;

export async function startFleet(options: Partial<ConnectOptions> = {}): Promise<Fleet> {
  const [zookeeper, redis, witness] = await Promise.all([startZooKeeper(), startRedis(), startWitness()]);
  const keeper = await connect({
    zookeeper: zookeeper.url,
    redis: redis.url,
    sessionTimeoutMs,
    requestMsMax: 30_000,
    log,
    ...options,
  });
  await keeper.scheduler().start();
  const workers = new Set<WorkerProcess>();

  const states: Fleet['states'] = async (ids) => {
    const found = new Map<string, State | 'missing'>();
    for (let from = 0; from < ids.length; from += 200) {
      const part = ids.slice(from, from + 200);
      const records = await Promise.all(part.map((id) => keeper.get(id)));
      part.forEach((id, i) => {
        found.set(id, records[i]?.state ?? 'missing');
      });
    }
    return found;
  };

  return {
    zookeeper,
    redis,
    witness,
    keeper,
    async startWorker(concurrency = 10) {
      const env = {
        ZOOKEEPER: zookeeper.url,
        REDIS: redis.url,
        SESSION_TIMEOUT_MS: sessionTimeoutMs,
        CONCURRENCY: concurrency,
      };
      const worker = await startProcess(env, witness.url);
      workers.add(worker);
      return worker;
    },
    member: async (worker) => (await keeper.fleet()).find(({ pid }) => pid === worker.pid),
    async settled(ids, wanted = ['completed'], deadlineMs = 60_000) {
      let left = [...ids];
      await eventually(
        async () => {
          const now = await states(left);
          left = left.filter((id) => !wanted.includes(now.get(id) as State));
          if (left.length > 0)
            throw new Error(`${left.length} are not: ${left[0]} is ${now.get(left[0] ?? '')}`);
        },
        { deadlineMs, what: `all of ${ids.length} tasks are ${wanted.join(' or ')}` },
      );
    },
    states,
    async close() {
      await Promise.all([...workers].map((worker) => worker.kill()));
      await keeper.close();
      await witness.close();
      await Promise.all([zookeeper.stop(), redis.stop()]);
    },
  };
}

async function startProcess(
  settings: Record<string, string | number>,
  witnessUrl: string,
): Promise<WorkerProcess> {
  const env = Object.entries(settings).map(([name, value]) => [`CLAIMKEEPER_${name}`, String(value)]);
  const child = fork(main, ['worker', taskModule], {
    env: {
      PATH: process.env.PATH,
      WITNESS_URL: witnessUrl,
      CLAIMKEEPER_LOG_LEVEL: logLevel,
      ...Object.fromEntries(env),
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit') as Promise<[number | null]>;
  await Promise.race([
    once(child, 'message'),
    exited.then(([code]) => Promise.reject(new Error(`a worker ended with ${code}`))),
  ]);
  return handleOf(child, exited);
}

function handleOf(child: ChildProcess, exited: Promise<[number | null]>): WorkerProcess {
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return (await exited)[0];
  };
  return {
    pid: child.pid ?? 0,
    kill: async () => void (await end('SIGKILL')),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    stop: () => end('SIGTERM'),
  };
}
