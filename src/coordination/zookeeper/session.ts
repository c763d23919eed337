// session.ts: the one object that the layers above hold: over as many sessions and connections as it takes. Owns the state
// (connecting → connected ⇄ suspended → lost → connecting …), the watches, and what an answer means to a caller.
//
// 1. A session is lost by the server's word or by our own clock, its timeout after it was suspended; its connection is then
//    discarded for ever and a new one made (traps 15, 16, 21).
// 2. After every connect the server is brought up to date (`sync`) ahead of any read, so that a read tells what became of a
//    write whose reply was lost (P3), also on another server.
// 3. Nobody else's code runs inside the client's callbacks; a listener's throw is logged and harms nothing.

import { ClaimkeeperError, limits, type MonotonicMs } from '../../domain/index.js';
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
import { prepareRoot } from './chroot.js';
import { meaningOf, nameOf, noNode, ok, saysSessionGone } from './codes.js';
import { Connection } from './connection.js';
import { type Answer, replyBodyAt } from './request.js';
import { nameOfServer, type Server } from './servers.js';
import { Watches } from './watches.js';
import {
  decodeMulti,
  decodeMultiRead,
  type Encoded,
  encodeMulti,
  encodeMultiRead,
  encodeRead,
  encodeRemoveWatch,
  encodeSync,
  opcode,
  Reader,
} from './wire.js';

export type SessionSettings = {
  readonly servers: readonly [Server, ...Server[]];
  readonly chroot: string;
  readonly timeoutMs: number;
  readonly trustMarginMs: number | null;
};

type Waiter = { resolve(): void; reject(error: ClaimkeeperError): void };
type Answered = Extract<Answer, { kind: 'answered' }>;

const newSessionMsMin = 100;
const newSessionMsMax = 5_000;

export class ZooKeeperSession implements Session {
  readonly #settings: SessionSettings;
  readonly #root: string;
  readonly #runtime: Runtime;
  readonly #events: Emitter<SessionEvents>;
  readonly #watches = new Watches();
  readonly #waiters = new Set<Waiter>();
  #state: SessionState = 'connecting';
  #sessionId: SessionId | null = null;
  #connection: Connection;
  /** Whether this connection's session has its chroot and was announced as connected. */
  #prepared = false;
  /** Changes whenever the connection comes or goes: tells an answer's own connection from a later one. */
  #ups = 0;
  /** The zxid up to which all watches have told of changes; kept until a reconnect has set all of them again. */
  #watchedUpTo: Buffer | null = null;
  /** Sessions given up since the last one that was connected. */
  #failures = 0;
  #lostTimer: Timer | null = null;
  #renewTimer: Timer | null = null;
  /** Why the last attempt to reach ZooKeeper failed. */
  #trouble = 'no attempt to connect has ended yet';
  #closing: Promise<void> | null = null;

  constructor(settings: SessionSettings, runtime: Runtime) {
    this.#settings = settings;
    this.#runtime = runtime;
    this.#events = new Emitter((error) => runtime.log.error({ err: error }, 'a session listener threw'));
    this.#root = settings.chroot === '' ? '/' : settings.chroot;
    this.#connection = this.#newConnection();
  }

  get state(): SessionState {
    return this.#state;
  }

  get sessionId(): SessionId | null {
    return this.#sessionId;
  }

  get timeoutMs(): number {
    return this.#connection.timeoutMs;
  }

  trusted(): boolean {
    return this.#state === 'connected' && this.#connection.lease.holds();
  }

  trustedUntil(): MonotonicMs {
    return this.#connection.lease.until();
  }

  prove(deadlineMs: number = this.timeoutMs): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#state !== 'connected') return resolve(false);
      this.#connection.send(encodeSync(this.#root), deadlineMs, (answer) =>
        resolve(answer.kind === 'answered' && answer.err === ok && this.trusted()),
      );
    });
  }

  write(ops: readonly WriteOp[], options: WriteOptions = {}): Promise<WriteOutcome> {
    return new Promise((resolve) => {
      const encoded = encodeMulti(ops, (path) => this.#absolute(path));
      if (this.#state !== 'connected')
        return resolve({ kind: 'notSent', why: `the session is ${this.#state}` });
      if (options.session !== undefined && options.session !== this.#sessionId) {
        return resolve({ kind: 'notSent', why: `the session is now ${this.#sessionId}` });
      }
      this.#connection.send(encoded, options.deadlineMs ?? this.timeoutMs, (answer) => {
        if (answer.kind !== 'answered') return resolve(answer);
        try {
          resolve(this.#outcomeOf(answer));
        } catch (error) {
          resolve({ kind: 'unknown', why: 'the answer could not be read' });
          throw error;
        }
      });
    });
  }

  read(path: string, watcher?: WatchListener): Promise<Znode | null> {
    return this.#readNode(this.#absolute(path), watcher, this.#deadline());
  }

  unwatch(path: string, watcher: WatchListener): void {
    const absolute = this.#absolute(path);
    if (!this.#watches.remove(absolute, watcher) || this.#state !== 'connected') return;
    this.#connection.send(encodeRemoveWatch(absolute), this.timeoutMs, () => undefined);
  }

  children(path: string, watcher?: WatchListener): Promise<string[] | null> {
    const absolute = this.#absolute(path);
    const request = encodeRead(opcode.getChildren2, absolute, watcher !== undefined);
    return this.#ask(request, this.#deadline(), (answer) => {
      if (answer.err === noNode) return null;
      if (watcher !== undefined) this.#watches.add('child', absolute, watcher);
      return new Reader(answer.frame, replyBodyAt).strings();
    });
  }

  readAll(paths: readonly string[]): Promise<(Znode | null)[]> {
    const [only] = paths;
    if (paths.length === 1 && only !== undefined) return this.read(only).then((node) => [node]);
    return this.#askMany(opcode.getData, paths, znodeIn);
  }

  childrenOfAll(paths: readonly string[]): Promise<(string[] | null)[]> {
    const [only] = paths;
    if (paths.length === 1 && only !== undefined) return this.children(only).then((names) => [names]);
    return this.#askMany(opcode.getChildren, paths, (reader) => reader.strings());
  }

  sync(): Promise<bigint> {
    return this.#ask(encodeSync(this.#root), this.#deadline(), (answer) => answer.zxid);
  }

  on<Kind extends keyof SessionEvents>(
    kind: Kind,
    listener: (event: SessionEvents[Kind]) => void,
  ): Unsubscribe {
    return this.#events.on(kind, listener);
  }

  connected(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'connected') return resolve();
      if (this.#state === 'closed') return reject(closedError());
      const leave = (): void => {
        timer.cancel();
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter = {
        resolve: () => {
          leave();
          resolve();
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const timer = this.#runtime.clock.after(deadlineMs, () => waiter.reject(this.#unavailable()), {
        keepAlive: true,
      });
      this.#waiters.add(waiter);
    });
  }

  abandon(cause: string): void {
    if (this.#state !== 'connected' && this.#state !== 'suspended') return;
    const given = this.#connection;
    this.#onLost(cause, () => void given.close());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#lostTimer?.cancel();
    this.#renewTimer?.cancel();
    this.#enter('closed', 'close() was called');
    for (const waiter of this.#waiters) waiter.reject(closedError());
    this.#watches.takeAll(); // Nobody is told: who closes does not wait for changes.
    await this.#connection.close();
  }

  #newConnection(): Connection {
    const { servers, timeoutMs, trustMarginMs } = this.#settings;
    const firstServer = Math.floor(this.#runtime.random.roll() * servers.length);
    this.#prepared = false;
    this.#watchedUpTo = null;
    return new Connection({ servers, firstServer, timeoutMs, trustMarginMs }, this.#runtime, {
      up: () => this.#onUp(),
      down: (cause) => this.#onDown(cause),
      expired: (cause) => this.#onLost(cause),
      changed: (eventType, path) => this.#notify(this.#watches.take(eventType, path)),
    });
  }

  #onUp(): void {
    this.#lostTimer?.cancel();
    this.#lostTimer = null;
    this.#ups += 1;
    if (!this.#prepared) return void this.#prepare(this.#ups);
    this.#rewatch(this.#ups);
    this.#connection.send(encodeSync(this.#root), this.timeoutMs, () => undefined);
    this.#enterConnected('reconnected within the session');
  }

  /** A new session is announced once it has seen the leader's state and its chroot exists. */
  async #prepare(up: number): Promise<void> {
    const trouble = await prepareRoot(this.#connection, this.#root).catch((error: unknown) => String(error));
    if (up !== this.#ups || this.#state === 'closed') return; // It went down meanwhile: its next `up` tries again.
    if (trouble !== null) {
      await this.#connection.close(); // Else every attempt would leave a session on the server.
      if (this.state !== 'closed') this.#onLost(`the session could not be prepared: ${trouble}`);
      return;
    }
    this.#prepared = true;
    this.#sessionId = this.#connection.sessionId;
    this.#failures = 0;
    this.#enterConnected(`a new session, of ${this.timeoutMs} ms`);
  }

  /** The server has forgotten the watches of the last connection; it tells of what changed since at once. */
  #rewatch(up: number): void {
    const pieces = this.#watches.encode(this.#watchedUpTo ?? this.#connection.zxid);
    let unanswered = pieces.length;
    if (unanswered === 0) this.#watchedUpTo = null;
    for (const piece of pieces) {
      this.#connection.send(piece, this.timeoutMs, (answer) => {
        if (up !== this.#ups) return;
        if (answer.kind !== 'answered' || answer.err !== ok) {
          return this.#connection.reconnect('the watches could not be set again');
        }
        unanswered -= 1;
        if (unanswered === 0) this.#watchedUpTo = null;
      });
    }
  }

  #onDown(cause: string): void {
    if (this.#state === 'closed') return;
    this.#ups += 1;
    this.#trouble = cause;
    this.#watchedUpTo ??= this.#connection.zxid;
    if (this.#state === 'connected') this.#enter('suspended', cause);
    else this.#runtime.log.warn({ cause, state: this.#state }, 'ZooKeeper cannot be reached');
    if (!this.#connection.established) return;
    this.#lostTimer ??= this.#runtime.clock.after(this.timeoutMs, () =>
      this.#onLost(`no connection for the session timeout of ${this.timeoutMs} ms; last: ${this.#trouble}`),
    );
  }

  /** `end`: of the connection, which calls us no more. */
  #onLost(cause: string, end = (): void => this.#connection.discard(cause)): void {
    this.#ups += 1;
    this.#lostTimer?.cancel();
    this.#lostTimer = null;
    this.#trouble = cause;
    if (this.#prepared) this.#enter('lost', cause);
    else this.#runtime.log.warn({ cause }, 'a ZooKeeper session was given up before it was ready');
    this.#notify(this.#watches.takeAll());
    end();
    const bound = Math.min(newSessionMsMax, newSessionMsMin * 2 ** this.#failures);
    this.#failures += 1;
    const delayMs = (bound * (1 + this.#runtime.random.roll())) / 2;
    this.#renewTimer = this.#runtime.clock.after(delayMs, () => this.#renew(), { keepAlive: true });
  }

  #renew(): void {
    this.#connection = this.#newConnection();
    this.#enter('connecting', 'a new session is asked for');
  }

  #enterConnected(cause: string): void {
    this.#enter('connected', cause);
    for (const waiter of this.#waiters) waiter.resolve();
  }

  #enter(state: SessionState, cause: string): void {
    if (this.#state === state) return;
    this.#state = state;
    const event = { state, sessionId: this.#sessionId, cause };
    const level = state === 'suspended' || state === 'lost' ? 'warn' : 'info';
    this.#runtime.log[level](event, `ZooKeeper session ${state}`);
    queueMicrotask(() => this.#events.emit('state', event));
  }

  #notify(listeners: readonly WatchListener[]): void {
    for (const listener of listeners) {
      queueMicrotask(() => {
        try {
          listener();
        } catch (error) {
          this.#runtime.log.error({ err: error }, 'a watch listener threw');
        }
      });
    }
  }

  /** Asks until it is answered, over reconnects and sessions; `decode` runs before any later watch event is read. */
  #ask<T>(encoded: Encoded, untilMs: number, decode: (answer: Answered) => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const send = (): void => {
        const leftMs = untilMs - this.#runtime.clock.monotonic();
        if (this.#state !== 'connected') return void this.connected(leftMs).then(send, reject);
        if (leftMs <= 0) return reject(this.#unavailable());
        const up = this.#ups;
        this.#connection.send(encoded, leftMs, (answer) => {
          // A session that was given up may still be answered: a watch that it set is not the next one's.
          if (answer.kind !== 'answered' || up !== this.#ups) return send();
          if (answer.err !== ok && answer.err !== noNode)
            return reject(this.#unavailable(nameOf(answer.err)));
          try {
            resolve(decode(answer));
          } catch (error) {
            reject(this.#unavailable('the answer could not be read'));
            throw error;
          }
        });
      };
      send();
    });
  }

  #readNode(path: string, watcher: WatchListener | undefined, untilMs: number): Promise<Znode | null> {
    return this.#ask(encodeRead(opcode.getData, path, watcher !== undefined), untilMs, (answer) => {
      if (answer.err === noNode)
        return watcher === undefined ? null : this.#awaitCreation(path, watcher, untilMs);
      if (watcher !== undefined) this.#watches.add('data', path, watcher);
      return znodeIn(new Reader(answer.frame, replyBodyAt));
    });
  }

  async #askMany<T>(
    type: number,
    paths: readonly string[],
    decode: (reader: Reader) => T,
  ): Promise<(T | null)[]> {
    const untilMs = this.#deadline();
    const parts: Promise<(T | null)[]>[] = [];
    for (let from = 0; from < paths.length; from += limits.readsPerRequestMax) {
      const some = paths.slice(from, from + limits.readsPerRequestMax).map((path) => this.#absolute(path));
      parts.push(
        this.#ask(encodeMultiRead(type, some), untilMs, ({ frame }) => {
          const reply = decodeMultiRead(new Reader(frame, replyBodyAt), decode);
          return reply.kind === 'read'
            ? [...reply.results]
            : Promise.reject(this.#unavailable(nameOf(reply.code)));
        }),
      );
    }
    return (await Promise.all(parts)).flat();
  }

  /** There was no node; unless it has come meanwhile, `watcher` waits for it. */
  #awaitCreation(path: string, watcher: WatchListener, untilMs: number): Promise<Znode | null> {
    return this.#ask(encodeRead(opcode.exists, path, true), untilMs, (answer) => {
      if (answer.err === ok) return this.#readNode(path, watcher, untilMs);
      this.#watches.add('exist', path, watcher);
      return null;
    });
  }

  #outcomeOf(answer: Answered): WriteOutcome {
    if (answer.err !== ok) return failure(answer.err, 0);
    const reply = decodeMulti(new Reader(answer.frame, replyBodyAt), (path) => this.#relative(path));
    if (reply.kind === 'failed') {
      if (saysSessionGone(reply.code))
        this.#connection.reconnect(`the server answered ${nameOf(reply.code)}`);
      return failure(reply.code, reply.index);
    }
    return { kind: 'applied', results: reply.results, zxid: answer.zxid };
  }

  #deadline(): number {
    return this.#runtime.clock.monotonic() + this.timeoutMs;
  }

  #absolute(path: string): string {
    return path === '/' ? this.#root : this.#settings.chroot + path;
  }

  #relative(path: string): string {
    return path.slice(this.#settings.chroot.length) || '/';
  }

  #unavailable(why: string = this.#trouble): ClaimkeeperError {
    return new ClaimkeeperError(
      'ZOOKEEPER_UNAVAILABLE',
      `ZooKeeper at ${this.#settings.servers.map(nameOfServer).join(',')} did not answer in time (session ${this.#state}): ${why}`,
    );
  }
}

function znodeIn(reader: Reader): Znode {
  return { data: reader.data(), stat: reader.stat() };
}

function closedError(): ClaimkeeperError {
  return new ClaimkeeperError('CLOSED', 'the ZooKeeper session was closed by this process');
}

function failure(code: number, index: number): WriteOutcome {
  const meaning = meaningOf(code);
  if (meaning.kind === 'refused') return { ...meaning, index };
  const why = `the server answered ${nameOf(code)}`;
  return meaning.kind === 'unknown' ? { kind: 'unknown', why } : { kind: 'notSent', why };
}
