// serve.ts: the processes that serve: API, scheduler, worker. Owns the order of their start and end; what they do is the
// library's.

import { createApi } from '../http/index.js';
import { type Claimkeeper, connect, type TaskType } from '../index.js';
import {
  type Config,
  createLogger,
  type Runtime,
  type Service,
  startAll,
  systemClock,
  systemRandom,
} from '../runtime/index.js';
import { toldToStop } from './lifetime.js';
import { areKeysRequired } from './reach.js';
import type { Terminal } from './terminal.js';

export function runtimeOf(config: Config): Runtime {
  return { clock: systemClock, random: systemRandom, log: createLogger(config.logLevel) };
}

export function connectTo(config: Config, { log }: Runtime): Promise<Claimkeeper> {
  const { zookeeper, chroot, redis, prefix, sessionTimeoutMs, graceMs, dedupWindowMs } = config;
  return connect({ zookeeper, chroot, redis, prefix, sessionTimeoutMs, graceMs, dedupWindowMs, log });
}

export function serveApi(config: Config, terminal: Terminal): Promise<void> {
  return serve(config, (keeper, runtime) => apiServices(keeper, config, runtime, terminal));
}

export function serveScheduler(config: Config): Promise<void> {
  return serve(config, (keeper) => [keeper.scheduler()]);
}

export function serveWorker(config: Config, types: readonly TaskType[]): Promise<void> {
  const { queues, concurrency, drainMsMax } = config;
  return serve(config, (keeper) => [keeper.worker({ types, queues, concurrency, drainMsMax })]);
}

/** The operator's word that the ensemble's data, as it is now, is to be gone on with. */
export function confirmRestored(config: Config, held: readonly string[], terminal: Terminal): Promise<void> {
  return withKeeper(config, async (keeper) => {
    terminal.print(`confirmed: the generation is now ${await keeper.confirmRestore(held)}`);
  });
}

/** For a command that does one thing, and ends. */
export async function withKeeper(
  config: Config,
  work: (keeper: Claimkeeper, runtime: Runtime) => Promise<void>,
): Promise<void> {
  const runtime = runtimeOf(config);
  const keeper = await connectTo(config, runtime);
  try {
    await work(keeper, runtime);
  } finally {
    await keeper.close();
  }
}

/** The API, and before it what it must know to answer anybody: the keys. */
export function apiServices(
  keeper: Claimkeeper,
  config: Config,
  runtime: Runtime,
  terminal: Terminal,
): readonly Service[] {
  const { host, port, rateLimitPerSecond } = config;
  const keys = keeper.keyRing();
  const required = areKeysRequired(config);
  const api = createApi({ tasks: keeper, runtime, access: { keys, required }, rateLimitPerSecond });
  const listen = async (): Promise<void> => {
    const url = await api.listen({ host, port });
    if (required && keys.size === 0) {
      const message = 'a key is required and there is none: make one with "claimkeeper keys create"';
      runtime.log.warn({ host }, message);
    }
    terminal.print(`listening on ${url}`);
  };
  return [keys, { start: listen, stop: () => api.close() }];
}

/** Connects, starts, and stops when told to: in reverse order, the session last. */
async function serve(
  config: Config,
  make: (keeper: Claimkeeper, runtime: Runtime) => readonly Service[],
): Promise<void> {
  const runtime = runtimeOf(config);
  const told = toldToStop(runtime.clock);
  const keeper = await Promise.race([connectTo(config, runtime), told.then(() => null)]);
  if (keeper === null) return;
  try {
    const stop = await startAll(make(keeper, runtime));
    if (process.connected) process.send?.('ready');
    runtime.log.info({ reason: await told }, 'stopping');
    await stop();
  } finally {
    await keeper.close();
  }
}
