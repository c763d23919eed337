// servers.ts: the servers of one run, started for it and stopped with it: nothing of another run lies in them, and those of other
// contestants do not run meanwhile. All of them are on loopback, on one disk.

import { startEnsemble } from '../infra/ensemble.js';
import { type LocalServer, startLocal } from '../infra/local-server.js';
import { startRedis, zookeeperProgram } from '../infra/servers.js';
import type { Place } from './contestants/contestant.js';
import { startPostgres, stopPostgres } from './postgres.js';

export type ServerName =
  | 'zookeeper'
  | 'ensemble'
  | 'redis'
  | 'redis-always'
  | 'redis-everysec'
  | 'redis-no'
  | 'postgres';

export type Servers = {
  readonly place: Place;
  readonly zookeepers: readonly LocalServer[];
  /** By what they are called in the report. */
  readonly pids: ReadonlyMap<string, readonly number[]>;
  stop(): Promise<void>;
};

/** A million waiting tasks fit. */
const heapMb = 3_072;
const tickTimeMs = 2_000;
// Infra's servers live for seconds: the quick compiler alone is theirs, the serial collector, and a heap that grows. Here both
// compilers are at work, and none of the heap's growth, of which each step is a pause of more than 100 ms; nor does a run touch
// a third of it, the young generation's default share, for the first time. KiB.
const properties = [
  '-XX:TieredStopAtLevel=4',
  '-XX:-UseSerialGC',
  '-XX:+UseParallelGC',
  `-Xms${heapMb}m`,
  '-Xmn256m',
  '-Dzookeeper.preAllocSize=65536',
];

type Started = { readonly servers: readonly LocalServer[]; readonly url: string; stop(): Promise<void> };

async function alone(
  start: Promise<LocalServer>,
  stop = (server: LocalServer): Promise<void> => server.stop(),
): Promise<Started> {
  const server = await start;
  return { servers: [server], url: server.url, stop: () => stop(server) };
}

const starts: Readonly<Record<ServerName, () => Promise<Started>>> = {
  zookeeper: () =>
    alone(startLocal(zookeeperProgram({ name: 'zookeeper', dataDir: null, tickTimeMs, heapMb, properties }))),
  ensemble: () => startEnsemble({ tickTimeMs, heapMb, properties }),
  redis: () => alone(startRedis()),
  'redis-always': () => alone(startRedis({ appendfsync: 'always' })),
  'redis-everysec': () => alone(startRedis({ appendfsync: 'everysec' })),
  'redis-no': () => alone(startRedis({ appendfsync: 'no' })),
  postgres: () => alone(startPostgres(), stopPostgres),
};

const kinds = { zookeeper: /^(zookeeper|ensemble)$/, redis: /^redis/, postgres: /^postgres$/ } as const;

export async function startServers(names: readonly ServerName[]): Promise<Servers> {
  const started = new Map<ServerName, Started>();
  const stop = async (): Promise<void> => {
    await Promise.all([...started.values()].map((one) => one.stop()));
  };
  try {
    for (const name of names) started.set(name, await starts[name]());
  } catch (error) {
    await stop();
    throw error;
  }
  const found = (kind: keyof typeof kinds): Started | null =>
    [...started].find(([name]) => kinds[kind].test(name))?.[1] ?? null;
  const pids = (Object.keys(kinds) as (keyof typeof kinds)[]).flatMap((kind) => {
    const servers = found(kind)?.servers ?? [];
    return servers.length === 0 ? [] : [[kind, servers.map(({ pid }) => pid)] as const];
  });
  return {
    place: {
      zookeeper: found('zookeeper')?.url ?? '',
      redis: found('redis')?.url ?? '',
      postgres: found('postgres')?.url ?? '',
    },
    zookeepers: found('zookeeper')?.servers ?? [],
    pids: new Map(pids),
    stop,
  };
}
