// session.ts: the one object that the layers above hold: over as many sessions and connections as it takes. Owns the state
// (connecting → connected ⇄ suspended → lost → connecting …), the watches, and what an answer means to a caller.
//
// 1. A session is lost by the server's word or by our own clock, its timeout after it was suspended; its connection is then
//    discarded for ever and a new one made (traps 15, 16, 21).
// 2. After every connect the server is brought up to date (`sync`) ahead of any read, so that a read tells what became of a
//    write whose reply was lost (P3), also on another server.
// 3. Nobody else's code runs inside the client's callbacks; a listener's throw is logged and harms nothing.

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
import { meaningOf, nameOf, nodeExists, noNode, ok } from './codes.js';
import { type Answer, Connection, replyBodyAt } from './connection.js';
import type { Server } from './servers.js';
import { type WatchKind, Watches } from './watches.js';
import { decodeMulti, type Encoded, encodeMulti, encodeRead, encodeSync, opcode, Reader } from './wire.js';

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
  readonly #runtime: Runtime;
  readonly #events: Emitter<SessionEvents>;
  readonly #watches = new Watches();
  readonly #waiters = new Set<Waiter>();
  #state: SessionState = 'connecting';
  #sessionId: SessionId | null = null;
  #connection: Connection;
  /** Whether this session has its chroot and was announced as connected. */
  #prepared = false;
  /** The zxid up to which all watches have told of changes; kept until a reconnect has set all of them again. */
  #watchedUpTo: Buffer | null = null;
  /** Sessions given up since the last one that was connected. */
  #failures = 0;
  #timer: Timer | null = null;
  #trouble = 'no attempt has ended yet';
  #closing: Promise<void> | null = null;

  constructor(settings: SessionSettings, runtime: Runtime) {
    this.#settings = settings;
    this.#runtime = runtime;
    this.#events = new Emitter((error) => runtime.log.error({ error }, 'a session listener threw'));
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
      this.#connection.send(encodeSync(this.#absolute('/')), deadlineMs, (answer) =>
        resolve(answer.kind === 'answered' && answer.err === ok && this.trusted()),
      );
    });
  }

  write(ops: readonly WriteOp[], options: WriteOptions = {}): Promise<WriteOutcome> {
    return new Promise((resolve) => {
      const encoded = encodeMulti(ops, (path) => this.#absolute(path));
      if (this.#state !== 'connected') return resolve({ kind: 'notSent', why: `the session is ${this.#state}` });
      if (options.session !== undefined && options.session !== this.#sessionId) {
        return resolve({ kind: 'notSent', why: `the session is now ${this.#sessionId}` });
      }
      this.#connection.send(encoded, options.deadlineMs ?? this.timeoutMs, (answer) =>
        resolve(answer.kind === 'answered' ? this.#outcomeOf(answer) : answer),
      );
    });
  }

  read(path: string, watcher?: WatchListener): Promise<Znode | null> {
    const absolute = this.#absolute(path);
    const untilMs = this.#deadline();
    return this.#ask(encodeRead(opcode.getData, absolute, watcher !== undefined), untilMs, (answer) => {
      if (answer.err === noNode) return watcher === undefined ? null : this.#awaitCreation(absolute, watcher, untilMs);
      if (watcher !== undefined) this.#watches.add('data', absolute, watcher);
      const reader = new Reader(answer.frame, replyBodyAt);
      return { data: reader.data(), stat: reader.stat() };
    });
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

  sync(): Promise<bigint> {
    return this.#ask(encodeSync(this.#absolute('/')), this.#deadline(), (answer) => answer.zxid);
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#timer?.cancel();
    this.#enter('closed', 'close() was called');
    for (const waiter of [...this.#waiters]) waiter.reject(closedError());
    this.#watches.takeAll(); // Nobody is told: who closes does not wait for changes.
    await this.#connection.close();
  }

  #newConnection(): Connection {
    const { servers, timeoutMs, trustMarginMs } = this.#settings;
    const firstServer = Math.floor(this.#runtime.random.roll() * servers.length);
    this.#prepared = false;
    const connection: Connection = new Connection(
      { servers, firstServer, timeoutMs, trustMarginMs },
      this.#runtime,
      {
        up: (resumed) => this.#onUp(resumed),
        down: (cause) => this.#onDown(cause),
        expired: (cause) => this.#onLost(cause),
        changed: (eventType, path) => this.#notify(this.#watches.take(eventType, path)),
      },
    );
    return connection;
  }

  #onUp(resumed: boolean): void {
    this.#timer?.cancel();
    this.#sessionId = this.#connection.sessionId;
    if (!this.#prepared) return this.#prepare();
    if (resumed) this.#rewatch();
    this.#connection.send(encodeSync(this.#absolute('/')), this.timeoutMs, () => undefined);
    this.#enterConnected('the same session, on a new connection');
  }

  /** A new session is announced once it has seen the leader's state and its chroot exists. */
  #prepare(): void {
    const { chroot } = this.#settings;
    const root = this.#absolute('/');
    const giveUp = (why: string): void => {
      this.#connection.discard(why);
      this.#renew(`the session could not be prepared: ${why}`);
    };
    const then = (answer: Answer, next: (err: number) => void): void => {
      if (answer.kind !== 'answered') return; // The connection went down; its next `up` comes here again.
      next(answer.err);
    };
    const ready = (): void => {
      this.#prepared = true;
      this.#enterConnected('a new session');
    };
    this.#connection.send(encodeSync(root), this.timeoutMs, () => undefined);
    this.#connection.send(encodeRead(opcode.exists, root, false), this.timeoutMs, (found) =>
      then(found, (err) => {
        if (err === ok) return ready();
        if (err !== noNode) return giveUp(nameOf(err));
        this.#createChroot(chroot, ready, giveUp);
      }),
    );
  }

  #todo(): void {}
}
