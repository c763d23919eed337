// world.ts: one tree and as many sessions on it as a test wants, each with a network of its own that fails on command, so
// that a contract is written once. memory-world.ts and zookeeper-world.ts make them.

import type { Session } from '../../src/coordination/index.js';
import type { Runtime } from '../../src/runtime/index.js';
import { eventually } from './eventually.js';

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
