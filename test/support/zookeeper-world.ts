// zookeeper-world.ts: sessions of the run's real ZooKeeper, each through a proxy of its own, under a chroot of their own.

import { openSession } from '../../src/coordination/zookeeper/index.js';
import { type Runtime, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { type FaultyNetwork, startProxy } from './proxy.js';
import { uniqueChroot, zookeeperUrl } from './servers.js';
import type { Peer, World } from './world.js';

const runtime: Runtime = { clock: systemClock, random: systemRandom, log: silentLogger };

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
        loseNextReply() {
          void network.dropReplies(isReplyToWrite).then(() => {
            void network.dropReplies(0);
            network.cut();
          });
        },
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

/** A multi's reply: xid, zxid and error (0), then the first operation's type, "not done" and error (0). */
function isReplyToWrite(reply: Buffer): boolean {
  const types = [1, 2, 5, 13, 15]; // create, delete, setData, check, create2
  return (
    reply.length >= 25 &&
    reply.readInt32BE(0) > 0 &&
    reply.readInt32BE(12) === 0 &&
    types.includes(reply.readInt32BE(16)) &&
    reply.readUInt8(20) === 0 &&
    reply.readInt32BE(21) === 0
  );
}
