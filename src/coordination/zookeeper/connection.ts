// connection.ts: one instance of node-zookeeper-client for the life of one ZooKeeper session. The client keeps the
// handshake, the queue and the order of replies; from outside of it we own what it lacks: which server when, framing, noticing
// silence, deadlines, and what becomes of requests when the connection goes.
//
// 1. Nothing of before a disconnect is ever sent after it (trap 4).
// 2. Once closed or discarded it calls nobody, and once discarded it never touches the network again (traps 15, 21).
// 3. It calls its owner synchronously, from within the client's callbacks: the owner calls nobody else's code there.

import { connect, type Socket } from 'node:net';
import type { ConnectionManager, Packet } from 'node-zookeeper-client';
import zookeeper from 'node-zookeeper-client';
import { limits } from '../../domain/index.js';
import type { Runtime, Timer } from '../../runtime/index.js';
import type { SessionId } from '../port.js';
import { saysSessionGone } from './codes.js';
import { FrameReader } from './frames.js';
import { type Instant, instant, Lease } from './lease.js';
import { Pulse } from './pulse.js';
import { type Answer, Request } from './request.js';
import { nameOfServer, type Server } from './servers.js';
import { type Encoded, encodeBare, opcode, xid } from './wire.js';

export type ConnectionOwner = {
  /** The session is ours, for the first time or again. Requests may be sent. */
  up(): void;
  down(cause: string): void;
  /** By the server's word; the connection has discarded itself. */
  expired(cause: string): void;
  /** A watch fired. */
  changed(eventType: number, path: string): void;
};

export type ConnectionOptions = {
  readonly servers: readonly [Server, ...Server[]];
  /** Index of the server to try first. */
  readonly firstServer: number;
  readonly timeoutMs: number;
  /** Null: a fifth of the negotiated timeout. */
  readonly trustMarginMs: number | null;
};

const nobody: ConnectionOwner = { up() {}, down() {}, expired() {}, changed() {} };

/** The client's own numbers for its states. */
const clientState = { disconnected: 0, connecting: 1, connected: 2, expired: -3, refused: -4 } as const;

const xidMax = 2 ** 31 - 2;
const retryMsMin = 50;
/** So that an ensemble that serves again is found within a second, however long it was away. */
const newSessionRetryMsMax = 1_000;
const handshakeMsMin = 1_000;
const closeMsMax = 3_000;

export class Connection {
  readonly lease: Lease;
  readonly #manager: ConnectionManager;
  readonly #options: ConnectionOptions;
  readonly #runtime: Runtime;
  #owner: ConnectionOwner;
  #server: Server;
  #nextServer: number;
  #phase: 'idle' | 'connecting' | 'up' | 'discarded' = 'idle';
  /** Attempts to connect since the last success. */
  #failures = 0;
  #established = false;
  #timer: Timer | null = null;
  #handshakeSentAt: Instant | null = null;
  /** While the connection is up. */
  #pulse: Pulse | null = null;
  /** Beyond `limits.requestsInFlightMax`; in order. */
  #waiting: Request[] = [];
  #corked = false;

  constructor(options: ConnectionOptions, runtime: Runtime, owner: ConnectionOwner) {
    this.#options = options;
    this.#runtime = runtime;
    this.#owner = owner;
    this.#nextServer = options.firstServer;
    this.#server = options.servers[0];
    this.lease = new Lease(runtime.clock);
    const client = zookeeper.createClient(options.servers.map(nameOfServer).join(','), {
      sessionTimeout: options.timeoutMs,
      spinDelay: 0,
      retries: 0, // Retrying is the caller's: the client's own repeats creates and compare-and-sets (trap 7).
    });
    this.#manager = client.connectionManager;
    this.#manager.xid = 1; // From 1, and wrapping below 2³¹ (trap 11).
    this.#manager.connect = () => this.#connect();
    this.#manager.watcherManager.emit = (event) => this.#owner.changed(event.type, event.path);
    client.connect();
  }

  get sessionId(): SessionId {
    return this.#manager.sessionId.toString('hex') as SessionId;
  }

  /** As negotiated; the asked one before that. */
  get timeoutMs(): number {
    return this.#manager.sessionTimeout;
  }

  /** Whether the server has ever given us the session. */
  get established(): boolean {
    return this.#established;
  }

  /** Last zxid seen, big endian; a copy. */
  get zxid(): Buffer {
    return Buffer.from(this.#manager.zxid);
  }

  /** `settle` is called once, synchronously with what happens; at the latest when the deadline passes. */
  send(encoded: Encoded, deadlineMs: number, settle: (answer: Answer) => void): void {
    if (this.#phase !== 'up') return settle({ kind: 'notSent', why: 'there is no connection' });
    const request = new Request(encoded, () => this.#onSend(), settle);
    request.deadline = this.#runtime.clock.after(deadlineMs, () => this.#onDeadline(request, deadlineMs), {
      keepAlive: true,
    });
    if (this.#inFlight < limits.requestsInFlightMax) this.#transmit(request);
    else this.#waiting.push(request);
  }

  /** Ends the session on the server when there is a connection; settles within a few seconds in any case. */
  close(): Promise<void> {
    this.#owner = nobody;
    return new Promise((resolve) => {
      for (const request of this.#waiting.splice(0)) request.giveUp('the session is being closed');
      this.send(encodeBare(opcode.closeSession), Math.min(this.timeoutMs, closeMsMax), () => {
        this.discard('the session was closed');
        resolve();
      });
    });
  }

  /** Ends this connection, not the session. */
  reconnect(cause: string): void {
    this.#drop(cause);
  }

  /** For ever: no reconnect, no event. What was under way is settled. */
  discard(cause: string): void {
    if (this.#phase === 'discarded') return;
    const orphans = this.#tearDown();
    this.#phase = 'discarded';
    for (const request of orphans) request.giveUp(cause);
  }

  get #inFlight(): number {
    return this.#manager.pendingQueue.length + this.#manager.packetQueue.queue.length;
  }

  #transmit(request: Request): void {
    this.#cork();
    this.#manager.queue(request);
  }

  /** One write to the socket for all requests of a turn. */
  #cork(): void {
    const socket = this.#manager.socket;
    if (this.#corked || socket === undefined) return;
    this.#corked = true;
    socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      socket.uncork();
    });
  }

  /** The client has given out an xid. */
  #onSend(): Instant {
    if (this.#manager.xid > xidMax) this.#manager.xid = 1;
    return instant(this.#runtime.clock);
  }

  #onDeadline(request: Request, deadlineMs: number): void {
    if (request.sentAt === null) {
      const { queue } = this.#manager.packetQueue;
      const queuedAt = queue.findIndex((packet) => packet.request === request);
      if (queuedAt >= 0) queue.splice(queuedAt, 1);
      else this.#waiting.splice(this.#waiting.indexOf(request), 1);
    }
    request.giveUp(`no answer within ${deadlineMs} ms`);
  }

  #connect(): void {
    const { servers } = this.#options;
    this.#server = servers[this.#nextServer++ % servers.length] as Server;
    this.#phase = 'connecting';
    this.#manager.setState(clientState.connecting);
    const socket = connect(this.#server);
    socket.setNoDelay();
    this.#manager.socket = socket;
    const frames = new FrameReader();
    let failure = 'the server closed the connection';
    socket.on('connect', () => this.#guard(() => this.#onSocketConnected()));
    socket.on('data', (chunk) => this.#guard(() => this.#onData(socket, frames, chunk)));
    socket.on('drain', () => this.#guard(() => this.#manager.onSocketDrain()));
    socket.on('error', (error) => {
      failure = error.message;
    });
    socket.on('close', () => {
      if (this.#manager.socket === socket) this.#drop(failure);
    });
    const handshakeMs = Math.max(handshakeMsMin, this.timeoutMs / Math.max(3, servers.length));
    this.#timer = this.#runtime.clock.after(handshakeMs, () =>
      this.#drop(`no handshake within ${Math.round(handshakeMs)} ms`),
    );
  }

  /** Whatever a reply does to the client or to us ends this connection, not the process (traps 9, 10). */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#drop(`a reply could not be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #onSocketConnected(): void {
    this.#handshakeSentAt = instant(this.#runtime.clock);
    this.#manager.onSocketConnected();
  }

  #onData(socket: Socket, frames: FrameReader, chunk: Buffer): void {
    this.#pulse?.onBytes();
    frames.push(chunk, (frame) => {
      this.#onFrame(frame);
      return this.#manager.socket === socket;
    });
  }

  #onFrame(frame: Buffer): void {
    if (this.#phase === 'connecting') return this.#onHandshake(frame);
    switch (frame.readInt32BE(4)) {
      case xid.ping:
        return this.#pulse?.onPong();
      case xid.notification:
      case xid.authentication:
        this.#manager.onSocketData(frame);
        if (this.#manager.state === clientState.refused) this.#onEnded('the server refused our credentials');
        return;
      default:
        return this.#onReply(frame);
    }
  }

  #onHandshake(frame: Buffer): void {
    this.#manager.onSocketData(frame);
    if (this.#manager.state === clientState.expired) return this.#onEnded('the server says it has expired');
    this.#manager.socket?.setTimeout(0); // The client's pings would starve while replies come in (trap 13).
    this.#timer?.cancel();
    this.#phase = 'up';
    this.#failures = 0;
    // The server may grant less than was asked: a margin made for that must not eat the lease.
    const marginMs = Math.min(this.#options.trustMarginMs ?? this.timeoutMs / 5, this.timeoutMs / 2);
    this.lease.lengthMs = this.timeoutMs - marginMs;
    if (this.#handshakeSentAt !== null) this.lease.renew(this.#handshakeSentAt);
    this.#pulse = this.#startPulse();
    this.#established = true;
    this.#owner.up();
  }

  #onReply(frame: Buffer): void {
    const packet = this.#manager.pendingQueue.shift();
    const got = frame.readInt32BE(4);
    if (packet === undefined || packet.request.header.xid !== got) {
      return this.#drop(`a reply to request ${got}, not to ${packet?.request.header.xid ?? 'any'}`, packet);
    }
    const request = packet.request as Request;
    const zxid = frame.readBigInt64BE(8);
    const err = frame.readInt32BE(16);
    if (zxid > 0n) frame.copy(this.#manager.zxid, 0, 8, 16);
    if (request.sentAt !== null && !saysSessionGone(err)) this.lease.renew(request.sentAt);
    request.settle({ kind: 'answered', err, zxid, frame });
    const next = this.#phase === 'up' ? this.#waiting.shift() : undefined;
    if (next !== undefined) this.#transmit(next);
  }

  #startPulse(): Pulse {
    const pulse: Pulse = new Pulse(this.#runtime.clock, this.lease, this.timeoutMs, {
      ping: () => {
        const request = new Request(encodeBare(opcode.ping), () => pulse.onPingSent(), null);
        request.header.xid = xid.ping;
        this.#transmit(request);
      },
      oldestRequestAt: () => (this.#manager.pendingQueue[0]?.request as Request | undefined)?.sentAt ?? null,
      silent: (cause) => this.#drop(cause),
    });
    return pulse;
  }

  #drop(cause: string, unmatched?: Packet): void {
    if (this.#phase !== 'connecting' && this.#phase !== 'up') return;
    if (unmatched !== undefined) this.#manager.pendingQueue.unshift(unmatched);
    const orphans = this.#tearDown();
    this.#retry();
    const where = `${nameOfServer(this.#server)}: ${cause}`;
    this.#owner.down(where);
    for (const request of orphans) request.giveUp(where);
  }

  #onEnded(cause: string): void {
    const orphans = this.#tearDown();
    this.#phase = 'discarded';
    this.#owner.expired(cause);
    for (const request of orphans) request.giveUp(cause);
  }

  #retry(): void {
    const slowest = this.#established ? this.timeoutMs / 6 : newSessionRetryMsMax;
    const bound = Math.min(Math.max(slowest, retryMsMin), retryMsMin * 2 ** this.#failures);
    this.#failures += 1;
    const delayMs = (bound * (1 + this.#runtime.random.roll())) / 2;
    this.#timer = this.#runtime.clock.after(delayMs, () => this.#manager.connect(), { keepAlive: true });
  }

  /** Ends socket and timers, and empties the queues; what was in them is returned, to be settled once the owner knows. */
  #tearDown(): Request[] {
    this.#phase = 'idle';
    this.#timer?.cancel();
    this.#pulse?.stop();
    this.#pulse = null;
    const socket = this.#manager.socket;
    this.#manager.socket = undefined;
    socket?.removeAllListeners();
    socket?.on('error', () => undefined); // Nobody waits for what a dead socket still has to say.
    socket?.destroy();
    this.#manager.setState(clientState.disconnected);
    const packets = [...this.#manager.pendingQueue, ...this.#manager.packetQueue.queue];
    this.#manager.pendingQueue = [];
    this.#manager.packetQueue.queue = [];
    return [...packets.map((packet) => packet.request as Request), ...this.#waiting.splice(0)];
  }
}
