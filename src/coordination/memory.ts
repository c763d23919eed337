// memory.ts: the memory twin of ZooKeeper: one tree shared by the sessions of one process, with the faults that tests and
// simulations inject. Owns the ensemble's half: who is connected, which sessions live, what happens to requests and replies.
// Deterministic, given the clock, the latency and the lag: it takes no chance of its own.

import type { Clock, Runtime, Timer } from '../runtime/index.js';
import { type LatencyMs, Link } from './memory/link.js';
import { Follower, Server, type Transaction } from './memory/server.js';
import {
  type Hello,
  type MemoryServer,
  MemorySession,
  type Request,
  type Watch,
  type Welcome,
} from './memory/session.js';
import { type Applied, type Refused, type TreeSnapshot, type WatchKey, ZnodeTree } from './memory/tree.js';
import type { SessionId, WriteOp, Znode } from './port.js';

/** The server's expiry is rounded up to its next tick: a session outlives its client's trust by up to this. */
const expiryTickMs = 100;

/** A session as the ensemble holds it. */
type Held = {
  readonly id: SessionId;
  readonly timeoutMs: number;
  readonly watches: Set<Watch>;
  /** Where its watches are set. */
  server: Server;
  client: MemorySession | null;
  /** Runs while nothing is heard of the client. */
  expiry: Timer | null;
};

/** What becomes of a request: of those that `which` accepts, the one after the first `skip`. */
export type RequestFault = {
  readonly which: (request: Request) => boolean;
  readonly skip: number;
  /** The connection breaks before the request is served, or before its reply; or the reply is slow, by so many ms. */
  readonly how: 'requestLost' | 'replyLost' | { readonly slowMs: number };
  /** It has happened. */
  readonly onHit?: () => void;
};

/** A client's line to the ensemble, and the faults laid on it. */
type Line = {
  /** It asks the follower, where there is one. */
  readonly stale: boolean;
  link: Link | null;
  server: Server;
  /** The session that last said hello over it. */
  held: Held | null;
  frozen: boolean;
  partitioned: boolean;
  faults: (RequestFault & { skip: number })[];
};

export type EnsembleSnapshot = {
  readonly tree: TreeSnapshot;
  readonly sessions: readonly { readonly id: SessionId; readonly timeoutMs: number }[];
};

export class MemoryEnsemble implements MemoryServer {
  readonly #clock: Clock;
  readonly #latencyMs: LatencyMs;
  readonly #leader = new Server((watch) => this.#fire(watch));
  readonly #follower: Follower | null;
  readonly #sessions = new Map<SessionId, Held>();
  readonly #lines = new Map<MemorySession, Line>();
  #sessionsOpened = 0n;
  #quorum = true;

  /**
   * `latencyMs` is asked for every message in either direction; none overtakes another on its connection. `lagMs`: there is
   * a follower, and each transaction reaches it so much later.
   */
  constructor(clock: Clock, latencyMs: LatencyMs = () => 0, lagMs: LatencyMs | null = null) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
    this.#follower = lagMs === null ? null : new Follower(clock, lagMs, (watch) => this.#fire(watch));
  }

  /** `stale`: it reads from the follower, which is behind until it answers a write or a sync. */
  open(options: { readonly timeoutMs: number; readonly stale?: boolean }, runtime: Runtime): MemorySession {
    const client = new MemorySession(this, options.timeoutMs, runtime);
    this.#lines.set(client, {
      stale: options.stale ?? false,
      link: null,
      server: this.#leader,
      held: null,
      frozen: false,
      partitioned: false,
      faults: [],
    });
    client.reachable();
    return client;
  }

  // Faults.

  /** Ends the session on the server; its client learns of it when it next connects. False: there is none. */
  expire(id: SessionId): boolean {
    const held = this.#sessions.get(id);
    if (held !== undefined) this.#end(held);
    return held !== undefined;
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
    const how = fault.applied ? 'replyLost' : 'requestLost';
    this.meddle(client, { which: ({ kind }) => kind === 'write', skip: 0, how });
  }

  meddle(client: MemorySession, fault: RequestFault): void {
    this.#line(client).faults.push({ ...fault });
  }

  /** Whatever has not happened yet will not. */
  relent(client: MemorySession): void {
    this.#line(client).faults = [];
  }

  /** No quorum: nobody is served, and no session expires. */
  down(): void {
    this.#quorum = false;
    this.#severAll('the ensemble has no quorum');
    for (const held of this.#sessions.values()) stopExpiry(held);
  }

  /** A quorum again: every session has its whole timeout to come back. */
  up(): void {
    if (this.#quorum) return;
    this.#quorum = true;
    for (const held of this.#sessions.values()) this.#startExpiry(held);
    for (const client of [...this.#lines.keys()]) client.reachable();
  }

  snapshot(): EnsembleSnapshot {
    const sessions = [...this.#sessions.values()].map(({ id, timeoutMs }) => ({ id, timeoutMs }));
    return { tree: this.#leader.tree.snapshot(), sessions };
  }

  /** As an operator restores a backup: data, sessions and zxid go back. */
  restore(snapshot: EnsembleSnapshot): void {
    for (const held of this.#sessions.values()) stopExpiry(held);
    this.#sessions.clear();
    this.#leader.restore(snapshot.tree);
    this.#follower?.restore(snapshot.tree);
    for (const { id, timeoutMs } of snapshot.sessions) this.#hold(id, timeoutMs);
    this.#severAll('the ensemble was restarted');
    for (const held of this.#sessions.values()) this.#startExpiry(held);
  }

  wipe(): void {
    this.restore({ tree: new ZnodeTree().snapshot(), sessions: [] });
  }

  // What can be seen of it without a session.

  get zxid(): bigint {
    return this.#leader.zxid;
  }

  /** Whether the client has a connection. */
  isLinked(client: MemorySession): boolean {
    return this.#lines.get(client)?.link?.open === true;
  }

  /** Whether a silence has kept anything from the client until now. */
  heldBack(client: MemorySession): boolean {
    const link = this.#lines.get(client)?.link ?? null;
    return link === null || link.waiting;
  }

  /** A znode as the leader has it; nothing is to be written into its data. */
  peek(path: string): Znode | null {
    return this.#leader.tree.look(path);
  }

  list(path: string): string[] | null {
    return this.#leader.tree.children(path);
  }

  // What its sessions ask.

  zxidOf(client: MemorySession): bigint {
    return this.#line(client).server.zxid;
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
    if (hello.zxidSeen > this.#leader.zxid) return { kind: 'behind' };
    const held =
      hello.sessionId === null ? this.#begin(hello.timeoutMs) : this.#sessions.get(hello.sessionId);
    if (held === undefined) return { kind: 'expired' };
    stopExpiry(held);
    held.client = client;
    const line = this.#line(client);
    line.held = held;
    line.server = this.#serverFor(line, hello);
    const missed = this.#carryOver(held, line.server, hello.watches);
    return { kind: 'welcome', sessionId: held.id, missed };
  }

  serve<T>(client: MemorySession, request: Request, answer: () => T): { readonly answer: T } | null {
    const fault = this.#faultOf(client, request);
    fault?.onHit?.();
    if (fault?.how === 'requestLost') {
      this.#sever(client, 'the connection broke before a request');
      return null;
    }
    const answered = { answer: answer() };
    if (fault?.how === 'replyLost') {
      this.#sever(client, 'the connection broke before a reply');
      return null;
    }
    if (fault !== null) this.#line(client).link?.toClient.stall(fault.how.slowMs);
    return answered;
  }

  write(client: MemorySession, id: SessionId, ops: readonly WriteOp[]): Applied | Refused {
    let outcome: Applied | Refused | null = null;
    this.#commit((tree) => {
      const result = tree.apply(ops, id);
      outcome ??= result.outcome;
      return result.touched;
    });
    this.#catchUp(client);
    if (outcome === null) throw new Error('a transaction without an outcome');
    return outcome;
  }

  read(client: MemorySession, path: string, watch: Watch | null): Znode | null {
    return this.#serverSeenBy(client, watch).read(path, watch);
  }

  children(client: MemorySession, path: string, watch: Watch | null): string[] | null {
    return this.#serverSeenBy(client, watch).children(path, watch);
  }

  sync(client: MemorySession): bigint {
    this.#catchUp(client);
    return this.zxidOf(client);
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

  /** A transaction was applied; `touched` is what it changed. */
  protected applied(_touched: readonly WatchKey[]): void {}

  /** The server has not heard of the session in time. */
  protected expired(_id: SessionId): void {}

  #commit(transaction: Transaction): void {
    this.#follower?.follow(transaction);
    this.#leader.apply((tree) => {
      const touched = transaction(tree);
      this.applied(touched);
      return touched;
    });
  }

  #catchUp(client: MemorySession): void {
    const { server } = this.#line(client);
    if (server instanceof Follower) server.catchUp();
  }

  #faultOf(client: MemorySession, request: Request): RequestFault | null {
    const line = this.#line(client);
    if (line.faults.length === 0) return null;
    const at = line.faults.findIndex((fault) => {
      if (!fault.which(request)) return false;
      fault.skip -= 1;
      return fault.skip < 0;
    });
    return at < 0 ? null : (line.faults.splice(at, 1)[0] ?? null);
  }

  // Sessions.

  #begin(timeoutMs: number): Held {
    this.#commit((tree) => {
      tree.tick();
      return [];
    });
    this.#follower?.catchUp();
    this.#sessionsOpened += 1n;
    const id = (0x1000_0000_0000_0000n + this.#sessionsOpened).toString(16).padStart(16, '0');
    return this.#hold(id as SessionId, timeoutMs);
  }

  #hold(id: SessionId, timeoutMs: number): Held {
    const held: Held = {
      id,
      timeoutMs,
      watches: new Set(),
      server: this.#leader,
      client: null,
      expiry: null,
    };
    this.#sessions.set(id, held);
    return held;
  }

  #end(held: Held): void {
    this.#sessions.delete(held.id);
    stopExpiry(held);
    for (const watch of held.watches) held.server.forget(watch);
    held.watches.clear();
    this.#commit((tree) => tree.removeEphemeralsOf(held.id));
    const { client } = held;
    held.client = null;
    if (client !== null && !this.#line(client).frozen) this.#sever(client, 'the server ended the session');
  }

  #startExpiry(held: Held): void {
    if (held.expiry !== null || !this.#quorum) return;
    const due = this.#clock.monotonic() + held.timeoutMs;
    const rounded = (Math.floor(due / expiryTickMs) + 1) * expiryTickMs;
    const end = (): void => {
      this.#end(held);
      this.expired(held.id);
    };
    held.expiry = this.#clock.after(rounded - this.#clock.monotonic(), end, { keepAlive: true });
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

  // Servers and watches.

  /** A client that has seen more than the follower has is served by the leader (trap 16). */
  #serverFor(line: Line, hello: Hello): Server {
    const follower = this.#follower;
    return line.stale && follower !== null && follower.zxid >= hello.zxidSeen ? follower : this.#leader;
  }

  /** The server that a read goes to; a watch on it is noted with its session. */
  #serverSeenBy(client: MemorySession, watch: Watch | null): Server {
    const { server, held } = this.#line(client);
    if (watch === null || held === null || held.id !== watch.session) return server;
    held.watches.add(watch);
    return server;
  }

  /** Which of the client's watches it must be told of: they fired meanwhile, or may have on their way to another server. */
  #carryOver(held: Held, server: Server, watches: ReadonlySet<Watch>): Watch[] {
    const moved = held.server !== server;
    for (const watch of held.watches) {
      if (!moved && watches.has(watch)) continue;
      held.server.forget(watch);
      held.watches.delete(watch);
    }
    held.server = server;
    return [...watches].filter((watch) => !held.watches.has(watch));
  }

  #fire(watch: Watch): void {
    const held = this.#sessions.get(watch.session);
    held?.watches.delete(watch);
    const client = held?.client ?? null;
    if (client !== null) this.#line(client).link?.toClient.send(() => client.fire(watch));
  }
}

function stopExpiry(held: Held): void {
  held.expiry?.cancel();
  held.expiry = null;
}
