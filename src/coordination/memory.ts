// memory.ts: the memory twin of ZooKeeper: one tree shared by the sessions of one process, with the faults that tests and
// simulations inject. Owns the ensemble's half: who is connected, which sessions live, which watches wait. Deterministic,
// given the clock and the latency: it takes no chance of its own.
//
// It is kinder than ZooKeeper in one respect: a read is never stale, for there is one server.

import type { Clock, Runtime, Timer } from '../runtime/index.js';
import { type LatencyMs, Link } from './memory/link.js';
import { type Hello, type MemoryServer, MemorySession, type Watch, type Welcome } from './memory/session.js';
import { type Applied, type Refused, type TreeSnapshot, type WatchKey, ZnodeTree } from './memory/tree.js';
import type { SessionId, WriteOp, Znode } from './port.js';

/** The server's expiry is rounded up to its next tick: a session outlives its client's trust by up to this. */
const expiryTickMs = 100;

/** A session as the ensemble holds it. */
type Held = {
  readonly id: SessionId;
  readonly timeoutMs: number;
  readonly watches: Set<Watch>;
  client: MemorySession | null;
  /** Runs while nothing is heard of the client. */
  expiry: Timer | null;
};

/** A client's line to the ensemble, and the faults laid on it. */
type Line = {
  link: Link | null;
  /** The session that last said hello over it. */
  held: Held | null;
  frozen: boolean;
  partitioned: boolean;
  loseNextReply: { readonly applied: boolean } | null;
};

export type EnsembleSnapshot = {
  readonly tree: TreeSnapshot;
  readonly sessions: readonly { readonly id: SessionId; readonly timeoutMs: number }[];
};

export class MemoryEnsemble implements MemoryServer {
  readonly #clock: Clock;
  readonly #latencyMs: LatencyMs;
  readonly #tree = new ZnodeTree();
  readonly #sessions = new Map<SessionId, Held>();
  readonly #lines = new Map<MemorySession, Line>();
  readonly #watches = new Map<WatchKey, Set<Watch>>();
  #sessionsOpened = 0n;
  #quorum = true;

  /** `latencyMs` is asked for every message in either direction; none overtakes another on its connection. */
  constructor(clock: Clock, latencyMs: LatencyMs = () => 0) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
  }

  open(options: { readonly timeoutMs: number }, runtime: Runtime): MemorySession {
    const client = new MemorySession(this, options.timeoutMs, runtime);
    this.#lines.set(client, {
      link: null,
      held: null,
      frozen: false,
      partitioned: false,
      loseNextReply: null,
    });
    client.reachable();
    return client;
  }

  // Faults.

  /** Ends the session on the server; its client learns of it when it next connects. */
  expire(id: SessionId): void {
    const held = this.#sessions.get(id);
    if (held !== undefined) this.#end(held);
  }

  /**
   * Cuts the client off until {@link heal}. `silent`: like a black hole; the client notices only by its watchdog, and what
   * is under way arrives late if it heals before that.
   */
  partition(client: MemorySession, options: { readonly silent?: boolean } = {}): void {
    const line = this.#line(client);
    line.partitioned = true;
    if (options.silent !== true) return this.#sever(client, 'the connection broke');
    if (line.link === null) return;
    line.frozen = true;
    line.link.freeze();
    const held = this.#heldBy(client);
    if (held !== null) this.#startExpiry(held);
    client.silenced();
  }

  heal(client: MemorySession): void {
    const line = this.#line(client);
    line.partitioned = false;
    if (!line.frozen) return client.reachable();
    line.frozen = false;
    const held = this.#heldBy(client);
    if (held === null) return this.#sever(client, 'the server knows nothing of this connection');
    stopExpiry(held);
    client.heard();
    line.link?.thaw();
  }

  /** The client's next write is applied or dropped, and the connection breaks before its reply. */
  loseNextReply(client: MemorySession, fault: { readonly applied: boolean }): void {
    this.#line(client).loseNextReply = fault;
  }

  /** No quorum: nobody is served, and no session expires. */
  down(): void {
    this.#quorum = false;
    this.#severAll('the ensemble has no quorum');
    for (const held of this.#sessions.values()) stopExpiry(held);
  }

  /** A quorum again: every session has its whole timeout to come back. */
  up(): void {
    this.#quorum = true;
    for (const held of this.#sessions.values()) this.#startExpiry(held);
    for (const client of [...this.#lines.keys()]) client.reachable();
  }

  snapshot(): EnsembleSnapshot {
    const sessions = [...this.#sessions.values()].map(({ id, timeoutMs }) => ({ id, timeoutMs }));
    return { tree: this.#tree.snapshot(), sessions };
  }

  /** As an operator restores a backup: data, sessions and zxid go back. */
  restore(snapshot: EnsembleSnapshot): void {
    for (const held of this.#sessions.values()) stopExpiry(held);
    this.#sessions.clear();
    this.#watches.clear();
    this.#tree.restore(snapshot.tree);
    for (const { id, timeoutMs } of snapshot.sessions) this.#hold(id, timeoutMs);
    this.#severAll('the ensemble was restarted');
    for (const held of this.#sessions.values()) this.#startExpiry(held);
  }

  wipe(): void {
    this.restore({ tree: new ZnodeTree().snapshot(), sessions: [] });
  }

  // What its sessions ask.

  get zxid(): bigint {
    return this.#tree.zxid;
  }

  dial(client: MemorySession): Link | null {
    const line = this.#line(client);
    if (!this.#quorum || line.partitioned) return null;
    line.link = new Link(this.#clock, this.#latencyMs);
    return line.link;
  }

  hangUp(client: MemorySession): void {
    const line = this.#line(client);
    line.link?.cut();
    line.link = null;
    line.frozen = false;
    const held = this.#heldBy(client);
    if (held === null) return;
    held.client = null;
    this.#startExpiry(held);
  }

  hello(client: MemorySession, hello: Hello): Welcome {
    if (hello.zxidSeen > this.#tree.zxid) return { kind: 'behind' };
    const held =
      hello.sessionId === null ? this.#begin(hello.timeoutMs) : this.#sessions.get(hello.sessionId);
    if (held === undefined) return { kind: 'expired' };
    stopExpiry(held);
    held.client = client;
    this.#line(client).held = held;
    for (const watch of [...held.watches]) {
      if (!hello.watches.has(watch)) this.#forget(watch);
    }
    const missed = [...hello.watches].filter((watch) => !held.watches.has(watch));
    return { kind: 'welcome', sessionId: held.id, missed };
  }

  write(client: MemorySession, id: SessionId, ops: readonly WriteOp[]): Applied | Refused | null {
    const line = this.#line(client);
    const fault = line.loseNextReply;
    line.loseNextReply = null;
    const result = fault?.applied === false ? null : this.#tree.apply(ops, id);
    if (result !== null) this.#fire(result.touched);
    if (fault !== null) this.#sever(client, 'the connection broke before a reply');
    return result?.outcome ?? null;
  }

  read(path: string, watch: Watch | null): Znode | null {
    if (watch !== null) this.#register(watch);
    return this.#tree.read(path);
  }

  children(path: string, watch: Watch | null): string[] | null {
    const names = this.#tree.children(path);
    if (names !== null && watch !== null) this.#register(watch);
    return names;
  }

  bye(id: SessionId): void {
    const held = this.#sessions.get(id);
    if (held === undefined) return;
    held.client = null;
    this.#end(held);
  }

  leave(client: MemorySession): void {
    this.hangUp(client);
    this.#lines.delete(client);
  }

  // Sessions.

  #begin(timeoutMs: number): Held {
    this.#tree.tick();
    this.#sessionsOpened += 1n;
    const id = (0x1000_0000_0000_0000n + this.#sessionsOpened).toString(16).padStart(16, '0');
    return this.#hold(id as SessionId, timeoutMs);
  }

  #hold(id: SessionId, timeoutMs: number): Held {
    const held: Held = { id, timeoutMs, watches: new Set(), client: null, expiry: null };
    this.#sessions.set(id, held);
    return held;
  }

  #end(held: Held): void {
    this.#sessions.delete(held.id);
    stopExpiry(held);
    for (const watch of [...held.watches]) this.#forget(watch);
    this.#fire(this.#tree.removeEphemeralsOf(held.id));
    const { client } = held;
    held.client = null;
    if (client !== null && !this.#line(client).frozen) this.#sever(client, 'the server ended the session');
  }

  #startExpiry(held: Held): void {
    if (held.expiry !== null || !this.#quorum) return;
    const due = this.#clock.monotonic() + held.timeoutMs;
    const rounded = (Math.floor(due / expiryTickMs) + 1) * expiryTickMs;
    held.expiry = this.#clock.after(rounded - this.#clock.monotonic(), () => this.#end(held), {
      keepAlive: true,
    });
  }

  #sever(client: MemorySession, why: string): void {
    if (this.#line(client).link === null) return;
    this.hangUp(client);
    client.disconnected(why);
  }

  /** A frozen client hears nothing of it; its link is dropped when it heals. */
  #severAll(why: string): void {
    for (const [client, line] of [...this.#lines]) {
      if (!line.frozen) this.#sever(client, why);
    }
    for (const held of this.#sessions.values()) held.client = null;
  }

  /** The client's session, if it lives and this connection is still its own. */
  #heldBy(client: MemorySession): Held | null {
    const { held } = this.#line(client);
    return held?.client === client && this.#sessions.get(held.id) === held ? held : null;
  }

  #line(client: MemorySession): Line {
    const line = this.#lines.get(client);
    if (line === undefined) throw new Error('the session is closed, or of another ensemble');
    return line;
  }

  // Watches.

  #register(watch: Watch): void {
    const held = this.#sessions.get(watch.session);
    if (held === undefined) return;
    held.watches.add(watch);
    this.#watches.set(watch.key, (this.#watches.get(watch.key) ?? new Set()).add(watch));
  }

  #forget(watch: Watch): void {
    this.#sessions.get(watch.session)?.watches.delete(watch);
    const waiting = this.#watches.get(watch.key);
    waiting?.delete(watch);
    if (waiting?.size === 0) this.#watches.delete(watch.key);
  }

  #fire(keys: readonly WatchKey[]): void {
    for (const watch of keys.flatMap((key) => [...(this.#watches.get(key) ?? [])])) {
      const client = this.#sessions.get(watch.session)?.client ?? null;
      this.#forget(watch);
      if (client !== null) this.#line(client).link?.toClient.send(() => client.fire(watch));
    }
  }
}

function stopExpiry(held: Held): void {
  held.expiry?.cancel();
  held.expiry = null;
}
