// worlds.ts: one tree and as many sessions on it as a test wants, each with a network of its own that fails on command:
// the memory twin and real ZooKeeper behind the same interface, so that a contract is written once.

import { MemoryEnsemble, type Session } from '../../src/coordination/index.js';
import { openSession } from '../../src/coordination/zookeeper/index.js';
import { type Runtime, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from './eventually.js';
import { type FaultyNetwork, startProxy } from './proxy.js';
import { uniqueChroot, zookeeperUrl } from './servers.js';

export type Peer = {
  readonly session: Session;
  /** Breaks the connection; the next one is let through. */
  interrupt(): void;
  /** Breaks the connection and lets no other through until {@link rejoin}. */
  cutOff(): void;
  rejoin(): void;
  /** Nothing passes any more, and nobody is told. */
  freeze(): void;
  /** The next reply is to a write: it is applied, its reply is lost and the connection with it. */
  loseNextReply(): void;
};

export type World = {
  readonly runtime: Runtime;
  /** Of every session, in ms. */
  readonly timeoutMs: number;
  /** A connected session of the tree that all share. */
  open(): Promise<Peer>;
  /** Closes every session and ends what was started. */
  close(): Promise<void>;
};

export const worlds = { 'the memory twin': memoryWorld, ZooKeeper: zookeeperWorld } as const;

const runtime: Runtime = { clock: systemClock, random: systemRandom, log: silentLogger };

export async function memoryWorld(): Promise<World> {
  const timeoutMs = 300;
  const ensemble = new MemoryEnsemble(systemClock);
  const peers: Peer[] = [];
  return {
    runtime,
    timeoutMs,
    async open() {
      const session = ensemble.open({ timeoutMs }, runtime);
      const peer: Peer = {
        session,
        interrupt() {
          ensemble.partition(session);
          ensemble.heal(session);
        },
        cutOff: () => ensemble.partition(session),
        rejoin: () => ensemble.heal(session),
        freeze: () => ensemble.partition(session, { silent: true }),
        loseNextReply: () => ensemble.loseNextReply(session, { applied: true }),
      };
      peers.push(peer);
      await session.connected(timeoutMs);
      return peer;
    },
    async close() {
      await Promise.all(peers.map((peer) => peer.session.close()));
    },
  };
}

export async function zookeeperWorld(): Promise<World> {
  const timeoutMs = 1_000;
  const chroot = uniqueChroot();
  const port = Number(zookeeperUrl().split(':')[1]);
  const peers: { peer: Peer; network: FaultyNetwork }[] = [];
  return {
    runtime,
    timeoutMs,
    async open() {
      const network = await startProxy(port);
      const session = openSession({ servers: network.url, chroot, timeoutMs }, runtime);
      const peer: Peer = {
        session,
        interrupt: () => network.cut(),
        cutOff() {
          void network.refuse(true);
          network.cut();
        },
        rejoin() {
          network.blackhole(false);
          void network.refuse(false);
        },
        freeze: () => network.blackhole(true),
        loseNextReply: () => void network.dropReplies(1).then(() => network.cut()),
      };
      peers.push({ peer, network });
      await session.connected(10_000);
      return peer;
    },
    async close() {
      for (const { peer } of peers) peer.rejoin();
      await Promise.all(peers.map(({ peer }) => peer.session.close()));
      await Promise.all(peers.map(({ network }) => network.stop()));
    },
  };
}

/** Cuts the peer off until the server has ended its session, as `observer` sees by `path`, an ephemeral of the peer's. */
export async function expire(peer: Peer, observer: Session, path: string): Promise<void> {
  peer.cutOff();
  await gone(observer, path);
  peer.rejoin();
}

/** Resolves once `observer` sees no node at `path`. */
export async function gone(observer: Session, path: string): Promise<void> {
  const look = async (): Promise<void> => {
    if ((await observer.read(path)) !== null) throw new Error('it is still there');
  };
  await eventually(look, { what: `${path} is gone` });
}
