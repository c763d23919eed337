// memory-world.ts: sessions of the memory twin.

import { MemoryEnsemble } from '../../src/coordination/index.js';
import { type Runtime, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import type { Peer, World } from './world.js';

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
