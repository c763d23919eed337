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

/** A request as it arrives at the ensemble. */
export type Request =
  | { readonly kind: 'write'; readonly ops: readonly WriteOp[] }
  | { readonly kind: 'read' | 'children'; readonly path: string }
  | { readonly kind: 'readAll' | 'childrenOfAll'; readonly paths: readonly string[] }
  | { readonly kind: 'sync' | 'bye' };

/** What a session may ask of the ensemble; each call but `dial` and `hangUp` is made by a message that arrived there. */
export interface MemoryServer {
  /** The newest that this client can know. */
  zxidOf(client: MemorySession): bigint;
  /** Null while it cannot be reached; `reachable()` is called when it can. */
  dial(client: MemorySession): Link | null;
  hangUp(client: MemorySession): void;
  hello(client: MemorySession, hello: Hello): Welcome;
  /** Null: the request or its reply is lost, and the link with it. */
  serve<T>(client: MemorySession, request: Request, answer: () => T): { readonly answer: T } | null;
  write(client: MemorySession, id: SessionId, ops: readonly WriteOp[]): Applied | Refused;
  read(client: MemorySession, path: string, watch: Watch | null): Znode | null;
  children(client: MemorySession, path: string, watch: Watch | null): string[] | null;
  sync(client: MemorySession): bigint;
  bye(id: SessionId): void;
  /** The client is closed and will not come back. */
  leave(client: MemorySession): void;
}

type Exchange<T> =
  | { readonly kind: 'answered'; readonly answer: T }
  | { readonly kind: 'lost'; readonly why: string }
  | { readonly kind: 'notSent'; readonly why: string };

type Pending = { readonly until: number; readonly settle: (lost: { kind: 'lost'; why: string }) => void };

export class MemorySession implements Session {
  readonly timeoutMs: number;
  readonly #server: MemoryServer;
  readonly #runtime: Runtime;
  readonly #events = new Emitter<SessionEvents>();
  readonly #pending = new Set<Pending>();
  /** One timer for the deadlines of all that is pending. */
  #deadline: { readonly at: number; readonly timer: Timer } | null = null;
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
    const exchange = await this.#exchange({ kind: 'sync' }, () => this.#server.sync(this), deadlineMs);
    return exchange.kind === 'answered';
  }

  async write(ops: readonly WriteOp[], options: WriteOptions = {}): Promise<WriteOutcome> {
    if (options.session !== undefined && options.session !== this.#sessionId) {
      return { kind: 'notSent', why: `session ${options.session} is over` };
    }
    const request = { kind: 'write', ops } as const;
    const exchange = await this.#exchange(
      request,
      (id) => this.#server.write(this, id, ops),
      options.deadlineMs,
    );
    switch (exchange.kind) {
      case 'answered':
        return exchange.answer;
      case 'lost':
        return { kind: 'unknown', why: exchange.why };
      case 'notSent':
        return exchange;
    }
  }

  read(path: string, watcher?: WatchListener): Promise<Znode | null> {
    return this.#ask({ kind: 'read', path }, watcher, (watch) => this.#server.read(this, path, watch));
  }

  unwatch(path: string, watcher: WatchListener): void {
    for (const watch of this.#watches) {
      if (watch.listener === watcher && watch.key === keyOf({ kind: 'read', path }))
        this.#watches.delete(watch);
    }
  }

  children(path: string, watcher?: WatchListener): Promise<string[] | null> {
    return this.#ask({ kind: 'children', path }, watcher, (watch) =>
      this.#server.children(this, path, watch),
    );
  }

  readAll(paths: readonly string[]): Promise<(Znode | null)[]> {
    const [only] = paths;
    if (only === undefined) return Promise.resolve([]);
    if (paths.length === 1) return this.read(only).then((node) => [node]);
    return this.#ask({ kind: 'readAll', paths }, undefined, () =>
      paths.map((path) => this.#server.read(this, path, null)),
    );
  }

  childrenOfAll(paths: readonly string[]): Promise<(string[] | null)[]> {
    const [only] = paths;
    if (only === undefined) return Promise.resolve([]);
    if (paths.length === 1) return this.children(only).then((names) => [names]);
    return this.#ask({ kind: 'childrenOfAll', paths }, undefined, () =>
      paths.map((path) => this.#server.children(this, path, null)),
    );
  }

  sync(): Promise<bigint> {
    return this.#ask({ kind: 'sync' }, undefined, () => this.#server.sync(this));
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

  abandon(cause: string): void {
    if (this.#state !== 'connected' && this.#state !== 'suspended') return;
    const told = this.#exchange({ kind: 'bye' }, (id) => this.#server.bye(id));
    this.#giveUp(cause);
    void told.then(() => this.#beginAnew());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // What the ensemble tells its clients.

  /** The ensemble can be dialled again. */
  reachable(): void {
    if (this.#link !== null || this.#state === 'closed' || this.#state === 'lost') return;
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
    for (const { settle } of [...this.#pending]) settle({ kind: 'lost', why });
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
    this.#hangUp();
    this.#giveUp(cause);
    this.#beginAnew();
  }

  #giveUp(cause: string): void {
    this.#losing?.cancel();
    this.#noticing?.cancel();
    const watches = [...this.#watches];
    this.#watches.clear();
    this.#enter('lost', cause);
    for (const watch of watches) queueMicrotask(watch.listener);
  }

  #beginAnew(): void {
    if (this.#state !== 'lost') return;
    this.#hangUp();
    this.#zxidSeen = 0n;
    this.#resumes = null;
    this.#enter('connecting', 'a new session');
    this.reachable();
  }

  #hangUp(): void {
    this.#server.hangUp(this);
    this.#link = null;
  }

  async #close(): Promise<void> {
    const ending = this.#exchange({ kind: 'bye' }, (id) => this.#server.bye(id));
    this.#losing?.cancel();
    this.#noticing?.cancel();
    this.#watches.clear();
    this.#enter('closed', 'closed by the application');
    await ending;
    for (const { settle } of [...this.#pending]) settle({ kind: 'lost', why: 'the session was closed' });
    this.#deadline?.timer.cancel();
    this.#server.leave(this);
  }

  #exchange<T>(
    request: Request,
    serve: (id: SessionId) => T,
    deadlineMs = this.timeoutMs,
  ): Promise<Exchange<T>> {
    return new Promise((resolve) => this.#send(request, serve, deadlineMs, resolve));
  }

  /** `settled` is called once, and not within this call unless nothing is sent. */
  #send<T>(
    request: Request,
    serve: (id: SessionId) => T,
    deadlineMs: number,
    settled: (exchange: Exchange<T>) => void,
  ): void {
    const link = this.#link;
    const id = this.#sessionId;
    if (this.#state !== 'connected' || link === null || id === null) {
      settled({ kind: 'notSent', why: `the session is ${this.#state}` });
      return;
    }
    const settle = (exchange: Exchange<T>): void => {
      if (this.#pending.delete(pending)) settled(exchange);
    };
    const pending = { until: this.#runtime.clock.monotonic() + deadlineMs, settle };
    this.#pending.add(pending);
    this.#watchDeadline(pending.until);
    link.toServer.send(() => {
      const served = this.#server.serve(this, request, () => serve(id));
      if (served === null) return;
      const zxid = this.#server.zxidOf(this);
      link.toClient.send(() => {
        if (zxid > this.#zxidSeen) this.#zxidSeen = zxid;
        settle({ kind: 'answered', answer: served.answer });
      });
    });
  }

  #watchDeadline(at: number): void {
    if (this.#deadline !== null && this.#deadline.at <= at) return;
    this.#deadline?.timer.cancel();
    const timer = this.#after(at - this.#runtime.clock.monotonic(), () => {
      this.#deadline = null;
      const now = this.#runtime.clock.monotonic();
      for (const { until, settle } of [...this.#pending]) {
        if (until <= now) settle({ kind: 'lost', why: 'no reply in time' });
        else this.#watchDeadline(until);
      }
    });
    this.#deadline = { at, timer };
  }

  /** Asks until it is answered, over reconnects and sessions, for at most the session timeout. */
  #ask<T>(
    request: Request,
    listener: WatchListener | undefined,
    serve: (watch: Watch | null) => T,
  ): Promise<T> {
    const until = this.#runtime.clock.monotonic() + this.timeoutMs;
    return new Promise((resolve, reject) => {
      // Sent within this call where it can be: requests keep their order.
      const ask = (): void => {
        const leftMs = until - this.#runtime.clock.monotonic();
        if (this.#state === 'connected') this.#askOnce(request, listener, serve, leftMs, answered);
        else this.connected(leftMs).then(ask, reject);
      };
      const answered = (exchange: Exchange<T>): void => {
        if (exchange.kind === 'answered') resolve(exchange.answer);
        else if (this.#runtime.clock.monotonic() < until) queueMicrotask(ask);
        else reject(unavailable(`no answer: ${exchange.why}`));
      };
      ask();
    });
  }

  #askOnce<T>(
    request: Request,
    listener: WatchListener | undefined,
    serve: (watch: Watch | null) => T,
    deadlineMs: number,
    answered: (exchange: Exchange<T>) => void,
  ): void {
    const session = this.#sessionId;
    const watch =
      listener === undefined || session === null ? null : { key: keyOf(request), session, listener };
    if (watch !== null) this.#watches.add(watch);
    this.#send(
      request,
      () => serve(watch),
      deadlineMs,
      (exchange) => {
        const stands =
          exchange.kind === 'answered' && (exchange.answer !== null || request.kind !== 'children');
        if (watch !== null && !stands) this.#watches.delete(watch);
        answered(exchange);
      },
    );
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

function keyOf(request: Request): WatchKey {
  if (request.kind === 'read') return `data:${request.path}`;
  if (request.kind === 'children') return `children:${request.path}`;
  throw new Error(`a ${request.kind} is not watched`);
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
