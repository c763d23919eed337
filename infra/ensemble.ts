// ensemble.ts: three ZooKeeper servers on loopback that elect a leader among them. Owns what a member is told beside what a
// server on its own is; their processes are local-server.ts. Every transaction is fsynced, and every log and snapshot kept.

import { join } from 'node:path';
import { ask, freePort, type LocalServer, startLocal } from './local-server.js';
import { zookeeperProgram } from './servers.js';

export type Ensemble = {
  readonly servers: readonly LocalServer[];
  /** `host:port,host:port,host:port` */
  readonly url: string;
  /** The server that leads now; null while none does. */
  leader(): Promise<LocalServer | null>;
  /** Ends all of them. Idempotent. */
  stop(): Promise<void>;
};

export type EnsembleOptions = {
  /** Holds a folder per server, `1`, `2`, `3`, which stay; without it they are temporary. */
  readonly dataDir?: string;
  /** Default 500. Bounds the sessions granted: 2–20 ticks. */
  readonly tickTimeMs?: number;
  /** Of each; default 256. */
  readonly heapMb?: number;
  /** Of the Java virtual machines. */
  readonly properties?: readonly string[];
};

const ids = [1, 2, 3] as const;
/** Ticks for a follower to connect and sync, and how many it may lag behind before it is dropped. */
const limits = { initLimit: 20, syncLimit: 4 };
/** KiB by which a transaction log grows: a full disk is met soon, and a copy of the folder is small. */
const preAllocSizeKb = 64;

/** Resolves once all three serve. */
export async function startEnsemble(options: EnsembleOptions = {}): Promise<Ensemble> {
  const { dataDir, tickTimeMs = 500, heapMb = 256, properties = [] } = options;
  const peers: string[] = [];
  for (const id of ids) peers.push(`server.${id}=127.0.0.1:${await freePort()}:${await freePort()}`);
  const settings = [...peers, ...Object.entries(limits).map(([name, value]) => `${name}=${value}`)];
  const started = await Promise.allSettled(
    ids.map((id) =>
      startLocal(
        zookeeperProgram({
          name: `zookeeper-${id}`,
          dataDir: dataDir === undefined ? null : join(dataDir, String(id)),
          tickTimeMs,
          heapMb,
          files: { myid: `${id}\n` },
          settings,
          properties: [`-Dzookeeper.preAllocSize=${preAllocSizeKb}`, ...properties],
        }),
      ),
    ),
  );
  const servers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async (): Promise<void> => void (await Promise.all(servers.map((server) => server.stop())));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  return {
    servers,
    url: servers.map(({ url }) => url).join(','),
    async leader() {
      const answers = await Promise.all(servers.map(({ port }) => ask(port, 'srvr')));
      return servers[answers.findIndex((answer) => answer.includes('Mode: leader'))] ?? null;
    },
    stop,
  };
}
