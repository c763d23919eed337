// session.ts: the client's half of the memory twin: the port's states, lease, deadlines and watches, as zookeeper/ has
// them. Owns what one process knows; the tree and the sessions on the server are ../memory.ts. Pings are implied: while
// the link is whole, every moment counts as answered.

import { ClaimkeeperError, type MonotonicMs } from '../../domain/index.js';
import { Emitter, type Runtime, type Timer, type Unsubscribe } from '../../runtime/index.js';
import type {
  Session,
  SessionEvents,
  SessionId,
  SessionState,
  WatchListener,
  WriteOp,
  WriteOptions,
  WriteOutcome,
  Znode,
} from '../port.js';
import type { Link } from './link.js';
import type { Applied, Refused, WatchKey } from './tree.js';

export type Watch = { readonly key: WatchKey; readonly session: SessionId; readonly listener: WatchListener };

export type Hello = {
  readonly sessionId: SessionId | null;
  readonly timeoutMs: number;
  readonly zxidSeen: bigint;
  readonly watches: ReadonlySet<Watch>;
};

export type Welcome =
  | { readonly kind: 'welcome'; readonly sessionId: SessionId; readonly missed: readonly Watch[] }
  | { readonly kind: 'expired' }
  /** The server is older than what this client has seen: it refuses the connection (trap 16). */
  | { readonly kind: 'behind' };

/** What a session may ask of the ensemble; each call but `dial` and `hangUp` is made by a message that arrived there. */
export interface MemoryServer {
  readonly zxid: bigint;
  /** Null while it cannot be reached; `reachable()` is called when it can. */
  dial(client: MemorySession): Link | null;
  hangUp(client: MemorySession): void;
  hello(client: MemorySession, hello: Hello): Welcome;
  /** Null: the reply is lost, and the link with it. */
  write(client: MemorySession, id: SessionId, ops: readonly WriteOp[]): Applied | Refused | null;
  read(path: string, watch: Watch | null): Znode | null;
  children(path: string, watch: Watch | null): string[] | null;
  bye(id: SessionId): void;
  /** The client is closed and will not come back. */
  leave(client: MemorySession): void;
}

type Exchange<T> =
  | { readonly kind: 'answered'; readonly answer: T }
  | { readonly kind: 'lost'; readonly why: string }
  | { readonly kind: 'notSent'; readonly why: string };

export class MemorySession implements Session {
  readonly timeoutMs: number;
  readonly #server: MemoryServer;
  readonly #runtime: Runtime;
  readonly #events = new Emitter<SessionEvents>();
  readonly #pending = new Set<(exchange: { kind: 'lost'; why: string }) => void>();
  readonly #watches = new Set<Watch>();
  #state: SessionState = 'connecting';
  #sessionId: SessionId | null = null;
  /** What the next handshake asks to resume; null: a new session. */
  #resumes: SessionId | null = null;
  #link: Link | null = null;
  #zxidSeen = 0n;
  /** When the last answered request was sent; null while the link is whole: now. */
  #heardAt: MonotonicMs | null;
  #noticing: Timer | null = null;
  #losing: Timer | null = null;
  #closing: Promise<void> | null = null;

  constructor(server: MemoryServer, timeoutMs: number, runtime: Runtime) {
    this.#server = server;
    this.timeoutMs = timeoutMs;
    this.#runtime = runtime;
    this.#heardAt = runtime.clock.monotonic();
  }

  get state(): SessionState {
    return this.#state;
  }

  get sessionId(): SessionId | null {
    return this.#sessionId;
  }

  trusted(): boolean {
    return this.#state === 'connected' && this.#runtime.clock.monotonic() < this.trustedUntil();
  }

  trustedUntil(): MonotonicMs {
    const heardAt = this.#heardAt ?? this.#runtime.clock.monotonic();
    return (heardAt + this.timeoutMs - trustMarginMs(this.timeoutMs)) as MonotonicMs;
  }

  async prove(deadlineMs = this.timeoutMs): Promise<boolean> {
    const exchange = await this.#exchange(() => null, deadlineMs);
    return exchange.kind === 'answered';
  }

  async write(ops: readonly WriteOp[], options: WriteOptions = {}): Promise<WriteOutcome> {
    if (options.session !== undefined && options.session !== this.#sessionId) {
      return { kind: 'notSent', why: `session ${options.session} is over` };
    }
    const exchange = await this.#exchange((id) => this.#server.write(this, id, ops), options.deadlineMs);
    if (exchange.kind === 'notSent') return exchange;
    if (exchange.kind === 'lost' || exchange.answer === null) {
      return { kind: 'unknown', why: exchange.kind === 'lost' ? exchange.why : 'the reply was lost' };
    }
    return exchange.answer;
  }

  read(path: string, watcher?: WatchListener): Promise<Znode | null> {
    return this.#ask(`data:${path}`, watcher, (watch) => this.#server.read(path, watch));
  }

  children(path: string, watcher?: WatchListener): Promise<string[] | null> {
    return this.#ask(`children:${path}`, watcher, (watch) => this.#server.children(path, watch));
  }

  sync(): Promise<bigint> {
    return this.#ask('data:/', undefined, () => this.#server.zxid);
  }

  on<Kind extends keyof SessionEvents>(
    kind: Kind,
    listener: (event: SessionEvents[Kind]) => void,
  ): Unsubscribe {
    return this.#events.on(kind, listener);
  }

  connected(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (state: SessionState): void => {
        if (state !== 'connected' && state !== 'closed') return;
        timer.cancel();
        unsubscribe();
        if (state === 'connected') resolve();
        else reject(closedError());
      };
      const unsubscribe = this.#events.on('state', ({ state }) => settle(state));
      const late = (): void => {
        unsubscribe();
        reject(unavailable(`no connection within ${deadlineMs} ms`));
      };
      const timer = this.#runtime.clock.after(deadlineMs, late, { keepAlive: true });
      settle(this.#state);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // What the ensemble tells its clients.

  /** The ensemble can be dialled again. */
  reachable(): void {
    if (this.#link !== null || this.#state === 'closed') return;
    const link = this.#server.dial(this);
    if (link === null) return;
    this.#link = link;
    link.toServer.send(() => {
      const welcome = this.#server.hello(this, {
        sessionId: this.#resumes,
        timeoutMs: this.timeoutMs,
        zxidSeen: this.#zxidSeen,
        watches: this.#watches,
      });
      link.toClient.send(() => this.#welcomed(welcome));
    });
  }

  /** The connection broke, and both ends know. */
  disconnected(why: string): void {
    this.#link = null;
    this.#heardAt ??= this.#runtime.clock.monotonic();
    this.#noticing?.cancel();
    for (const settle of [...this.#pending]) settle({ kind: 'lost', why });
    if (this.#state === 'connected') {
      this.#losing = this.#after(this.#heardAt + this.timeoutMs - this.#runtime.clock.monotonic(), () => {
        this.#lose(`no connection for the session timeout, ${this.timeoutMs} ms`);
      });
      this.#enter('suspended', why);
    }
    this.reachable();
  }

  /** From now on nothing is heard; the watchdog notices later. */
  silenced(): void {
    this.#heardAt ??= this.#runtime.clock.monotonic();
    this.#noticing?.cancel();
    this.#noticing = this.#after((this.timeoutMs * 2) / 3, () => {
      this.#server.hangUp(this);
      this.disconnected('the server is silent');
    });
  }

  /** The silence was over before it was noticed. */
  heard(): void {
    this.#noticing?.cancel();
    this.#heardAt = null;
  }

  fire(watch: Watch): void {
    if (this.#watches.delete(watch)) queueMicrotask(watch.listener);
  }

  #welcomed(welcome: Welcome): void {
    if (this.#state === 'closed') return;
    if (welcome.kind === 'welcome') {
      this.#losing?.cancel();
      this.#sessionId = welcome.sessionId;
      this.#resumes = welcome.sessionId;
      this.heard();
      this.#enter('connected', 'the server welcomed the session');
      for (const watch of welcome.missed) this.fire(watch);
      return;
    }
    this.#hangUp();
    // A server that is behind is not asked again: the session is lost by the clock, and the next one asks nothing of it.
    if (welcome.kind === 'expired') this.#lose('the server ended the session');
  }

  #lose(cause: string): void {
    this.#losing?.cancel();
    this.#noticing?.cancel();
    const watches = [...this.#watches];
    this.#watches.clear();
    this.#zxidSeen = 0n;
    this.#hangUp();
    this.#enter('lost', cause);
    for (const watch of watches) queueMicrotask(watch.listener);
    this.#resumes = null;
    this.#enter('connecting', 'a new session');
    this.reachable();
  }

  #hangUp(): void {
    this.#server.hangUp(this);
    this.#link = null;
  }

  async #close(): Promise<void> {
    const ending = this.#exchange((id) => this.#server.bye(id));
    this.#losing?.cancel();
    this.#noticing?.cancel();
    this.#watches.clear();
    this.#enter('closed', 'closed by the application');
    await ending;
    for (const settle of [...this.#pending]) settle({ kind: 'lost', why: 'the session was closed' });
    this.#server.leave(this);
  }

  #exchange<T>(serve: (id: SessionId) => T, deadlineMs = this.timeoutMs): Promise<Exchange<T>> {
    const link = this.#link;
    const id = this.#sessionId;
    if (this.#state !== 'connected' || link === null || id === null) {
      return Promise.resolve({ kind: 'notSent', why: `the session is ${this.#state}` });
    }
    return new Promise((resolve) => {
      const settle = (exchange: Exchange<T>): void => {
        timer.cancel();
        this.#pending.delete(settle);
        resolve(exchange);
      };
      const timer = this.#after(deadlineMs, () =>
        settle({ kind: 'lost', why: `no reply within ${deadlineMs} ms` }),
      );
      this.#pending.add(settle);
      link.toServer.send(() => {
        const answer = serve(id);
        const zxid = this.#server.zxid;
        link.toClient.send(() => {
          if (zxid > this.#zxidSeen) this.#zxidSeen = zxid;
          settle({ kind: 'answered', answer });
        });
      });
    });
  }

  /** Asks until it is answered, over reconnects and sessions, for at most the session timeout. */
  async #ask<T>(
    key: WatchKey,
    listener: WatchListener | undefined,
    serve: (watch: Watch | null) => T,
  ): Promise<T> {
    const until = this.#runtime.clock.monotonic() + this.timeoutMs;
    for (;;) {
      const leftMs = until - this.#runtime.clock.monotonic();
      // Sent within this call where it can be: requests keep their order.
      if (this.#state !== 'connected') await this.connected(leftMs);
      const session = this.#sessionId;
      const watch = listener === undefined || session === null ? null : { key, session, listener };
      if (watch !== null) this.#watches.add(watch);
      const exchange = await this.#exchange(() => serve(watch), leftMs);
      if (exchange.kind === 'answered') {
        if (watch !== null && exchange.answer === null && key.startsWith('children:'))
          this.#watches.delete(watch);
        return exchange.answer;
      }
      if (watch !== null) this.#watches.delete(watch);
      if (this.#runtime.clock.monotonic() >= until) throw unavailable(`no answer: ${exchange.why}`);
    }
  }

  #enter(state: SessionState, cause: string): void {
    this.#state = state;
    const event = { state, sessionId: this.#sessionId, cause };
    queueMicrotask(() => this.#events.emit('state', event));
  }

  #after(delayMs: number, fn: () => void): Timer {
    return this.#runtime.clock.after(Math.max(0, delayMs), fn, { keepAlive: true });
  }
}

/** What the lease keeps back for clocks that disagree. */
function trustMarginMs(timeoutMs: number): number {
  return timeoutMs / 5;
}

function closedError(): ClaimkeeperError {
  return new ClaimkeeperError('CLOSED', 'the ZooKeeper session was closed');
}

function unavailable(message: string): ClaimkeeperError {
  return new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', message);
}
