// port.ts: what the layers above may ask of ZooKeeper. Two implementations, one contract suite: the real one
// (zookeeper/) and the memory twin (memory.ts). Paths are relative to the chroot and begin with a slash.

import type { Brand, MonotonicMs } from '../domain/index.js';
import type { Unsubscribe } from '../runtime/index.js';

/** 64-bit session id, as 16 hexadecimal digits. */
export type SessionId = Brand<string, 'SessionId'>;

/**
 * connecting → connected ⇄ suspended → lost → connecting …; `close()` leads to `closed` from anywhere.
 * `suspended`: perhaps still ours, start nothing new. `lost`: certainly not ours; the next `connected` has a new session id.
 */
export type SessionState = 'connecting' | 'connected' | 'suspended' | 'lost' | 'closed';

export type Stat = {
  /** zxid of the create, and of the last change of the data. */
  readonly czxid: bigint;
  readonly mzxid: bigint;
  readonly version: number;
  /** Null for a persistent znode. */
  readonly ephemeralOwner: SessionId | null;
  readonly numChildren: number;
};
export type Znode = { readonly data: Buffer; readonly stat: Stat };

export type CreateMode = 'persistent' | 'ephemeral' | 'ephemeral-sequential' | 'persistent-sequential';

/** `version` is compared exactly, 0 included (trap 6); null means any version. */
export type WriteOp =
  | { readonly kind: 'create'; readonly path: string; readonly data: Buffer; readonly mode: CreateMode }
  | { readonly kind: 'set'; readonly path: string; readonly data: Buffer; readonly version: number | null }
  | { readonly kind: 'delete'; readonly path: string; readonly version: number | null }
  | { readonly kind: 'check'; readonly path: string; readonly version: number | null };

export type OpResult =
  | { readonly kind: 'created'; readonly path: string }
  | { readonly kind: 'set'; readonly version: number }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'checked' };

export type RefusalCode =
  | 'NO_NODE'
  | 'NODE_EXISTS'
  | 'BAD_VERSION'
  | 'NOT_EMPTY'
  | 'NO_CHILDREN_FOR_EPHEMERALS'
  | 'OTHER';

export type WriteOutcome =
  | { readonly kind: 'applied'; readonly results: readonly OpResult[]; readonly zxid: bigint }
  /** Nothing of the transaction was applied; operation `index` is why. `detail` is the server's code when `OTHER`. */
  | { readonly kind: 'refused'; readonly index: number; readonly code: RefusalCode; readonly detail?: string }
  /** Certainly not applied: it was never sent. */
  | { readonly kind: 'notSent'; readonly why: string }
  /** Sent, and the reply lost: it may have applied, or may still (P3). */
  | { readonly kind: 'unknown'; readonly why: string };

export type WriteOptions = {
  /** Send only on this session; otherwise `notSent`. */
  readonly session?: SessionId;
  /** Give up waiting after this many ms; default the session timeout. The outcome is then `unknown` or `notSent`. */
  readonly deadlineMs?: number;
};

/** Called at most once, never within the call that registered it: the node or its list changed, or the session was lost. */
export type WatchListener = () => void;

export type SessionEvents = {
  /** `sessionId` is the session the state speaks of; null before the first. `cause` says why, for logs. */
  state: { readonly state: SessionState; readonly sessionId: SessionId | null; readonly cause: string };
};

/**
 * One object for the life of the process, over as many sessions and connections as it takes. Reads reject with
 * ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` when they cannot be answered in time, or `CLOSED`; writes resolve with an outcome.
 * A session's reads after its own write see that write.
 */
export interface Session {
  readonly state: SessionState;
  readonly sessionId: SessionId | null;
  /** As negotiated; the asked one before that. */
  readonly timeoutMs: number;
  /** Whether the lease still holds: connected, and the send time of the last answered request + timeout − margin is ahead (P9). */
  trusted(): boolean;
  /** When the lease ends unless it is renewed. */
  trustedUntil(): MonotonicMs;
  /** Renews the lease by a round trip through the quorum (`sync`); false when that fails within `deadlineMs` (default: the session timeout). */
  prove(deadlineMs?: number): Promise<boolean>;
  write(ops: readonly WriteOp[], options?: WriteOptions): Promise<WriteOutcome>;
  /** Null: no such node; a given watcher then waits for its creation. */
  read(path: string, watcher?: WatchListener): Promise<Znode | null>;
  /**
   * Takes a watcher of {@link read} back: it is not called any more. Not while another read of `path` with a watcher is under
   * way, whose watch might go with it.
   */
  unwatch(path: string, watcher: WatchListener): void;
  /** Names, unordered; null: no such node (the watcher is not registered). */
  children(path: string, watcher?: WatchListener): Promise<string[] | null>;
  /** As {@link read} of each path, without watches and in far fewer requests; the answers are not of one moment. */
  readAll(paths: readonly string[]): Promise<(Znode | null)[]>;
  /** As {@link children} of each path, likewise. */
  childrenOfAll(paths: readonly string[]): Promise<(string[] | null)[]>;
  /** Brings the server we talk to up to date with the leader; resolves with the zxid it then has. */
  sync(): Promise<bigint>;
  on<Kind extends keyof SessionEvents>(
    kind: Kind,
    listener: (event: SessionEvents[Kind]) => void,
  ): Unsubscribe;
  /** Resolves once connected; rejects `ZOOKEEPER_UNAVAILABLE` after `deadlineMs`, `CLOSED` when closed. */
  connected(deadlineMs: number): Promise<void>;
  /** Gives the session up: `lost`, its ephemerals gone at once where the server can be told, then a new one. Nothing while there is none. */
  abandon(cause: string): void;
  /** Ends the session on the server, so that its ephemerals vanish at once; always settles. Idempotent. */
  close(): Promise<void>;
}
