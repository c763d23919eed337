// up.ts: `claimkeeper up`: an installation in one terminal, to try things on. Owns the worker processes it starts; none
// outlives it, and none is started again.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { acquireServers } from '../../infra/servers.js';
import { ClaimkeeperError } from '../domain/index.js';
import {
  type Clock,
  type Config,
  environmentOf,
  type Runtime,
  startAll,
  systemClock,
} from '../runtime/index.js';
import { toldToStop } from './lifetime.js';
import { apiServices, connectTo, runtimeOf } from './serve.js';
import { loadTaskTypes } from './task-module.js';
import type { Terminal } from './terminal.js';

type UpOptions = { readonly workers: number; readonly module: string | null };

/** More than an orphan gives itself. */
const childStopMsMax = 15_000;

export async function up(given: Config, options: UpOptions, terminal: Terminal): Promise<void> {
  const told = toldToStop(systemClock);
  // Said once and now, instead of by every worker.
  if (options.module !== null) await loadTaskTypes(options.module);
  const servers = await acquireServers();
  try {
    const config = { ...given, zookeeper: servers.zookeeperUrl, redis: servers.redisUrl };
    const how = servers.embedded ? 'started for this run' : 'as found';
    terminal.say(`ZooKeeper ${config.zookeeper} and Redis ${new URL(config.redis).host}, ${how}`);
    await serveAll(config, options, told, terminal);
  } finally {
    await servers.stop();
  }
}

async function serveAll(
  config: Config,
  options: UpOptions,
  told: Promise<string>,
  terminal: Terminal,
): Promise<void> {
  const runtime = runtimeOf(config);
  const keeper = await connectTo(config, runtime);
  const workers = new Workers(config, runtime, terminal);
  try {
    const stop = await startAll([...apiServices(keeper, config, runtime, terminal), keeper.scheduler()]);
    try {
      if (options.module !== null) await workers.start(options.module, options.workers);
      terminal.say('Claimkeeper is up; Ctrl-C ends it');
      terminal.say(`stopping: ${await told}`);
    } finally {
      await workers.stop();
      await stop();
    }
  } finally {
    await keeper.close();
  }
}

class Workers {
  readonly #config: Config;
  readonly #clock: Clock;
  readonly #terminal: Terminal;
  readonly #running = new Map<ChildProcess, Promise<void>>();
  #stopping = false;

  constructor(config: Config, { clock }: Runtime, terminal: Terminal) {
    this.#config = config;
    this.#clock = clock;
    this.#terminal = terminal;
  }

  /** Resolves once all of them take tasks. */
  async start(module: string, count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, (_, i) => this.#startOne(module, i + 1)));
    this.#terminal.say(`${count} worker${count === 1 ? '' : 's'} with ${module}`);
  }

  /** By closing their channels, which is also what they see when this process dies. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const running = [...this.#running];
    for (const [child] of running) if (child.connected) child.disconnect();
    const timer = this.#clock.after(childStopMsMax, () => {
      for (const [child] of running) child.kill('SIGKILL');
    });
    await Promise.all(running.map(([, ended]) => ended));
    timer.cancel();
  }

  #startOne(module: string, number: number): Promise<void> {
    const child = fork(fileURLToPath(new URL('./main.js', import.meta.url)), ['worker', module], {
      env: { ...process.env, ...environmentOf(this.#config) },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // Ctrl-C reaches this process alone, which then ends them: a second one would end them at once.
      detached: true,
    });
    let isReady = false;
    return new Promise((resolve, reject) => {
      child.once('message', () => {
        isReady = true;
        resolve();
      });
      const ended = new Promise<void>((gone) => {
        child.once('exit', (code, signal) => {
          this.#running.delete(child);
          gone();
          const how = `worker ${number} (process ${child.pid}) ended: ${signal ?? `exit code ${code}`}`;
          if (!isReady) reject(new ClaimkeeperError('CONFIG_INVALID', how));
          else if (!this.#stopping) this.#terminal.say(how);
        });
      });
      child.once('error', reject);
      this.#running.set(child, ended);
    });
  }
}
