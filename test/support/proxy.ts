// proxy.ts: a network that fails on command, between a client and a server on loopback. Knows of ZooKeeper's protocol only
// that a reply is a length and a body which begins with the xid; nothing is ever sent that a peer did not send.

import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { freePort } from '../../infra/local-server.js';

/** An end of a connection. */
export type Side = 'client' | 'server';

export type FaultyNetwork = {
  readonly port: number;
  /** `127.0.0.1:PORT` */
  readonly url: string;
  /** While on: nothing passes in either direction, not even a close; what was sent meanwhile passes afterwards, as TCP has it. */
  blackhole(on: boolean): void;
  /** A {@link blackhole} of one direction alone; the other passes. */
  hold(towards: Side, on: boolean): void;
  /** Bytes arrive this many ms later in either direction, in their order; 0 ends it for what is sent from then on. */
  latency(ms: number): void;
  /**
   * Resets the connections there are at one end, and `survivor` is not told: it goes on sending, and nobody hears it, until it
   * closes or {@link cut}. New connections pass.
   */
  halfOpen(survivor: Side): void;
  /** Where new connections go from now on; `cut()` makes the others follow. */
  retarget(port: number): void;
  /**
   * ZooKeeper only. Swallows replies to operations: the next `which`, or all that it accepts (the body, xid first), until
   * called again; 0 ends it. Pings, watch events and connect replies pass unless a predicate takes them. Resolves once the
   * last of the counted, or the first that the predicate took, was swallowed. A client that goes on reading sees its replies
   * out of order: `cut()` next.
   */
  dropReplies(which: number | ((reply: Buffer) => boolean)): Promise<void>;
  /** Resets all connections; new ones are accepted. */
  cut(): void;
  /** While on: new connections are refused; those there are stay. */
  refuse(on: boolean): Promise<void>;
  /** Connections that clients have now; a server may be about to learn that one has ended. */
  connections(): number;
  /** Closes everything at once. */
  stop(): Promise<void>;
};

export async function startProxy(targetPort: number): Promise<FaultyNetwork> {
  const proxy = new FaultProxy(targetPort, await freePort());
  await proxy.refuse(false);
  return proxy;
}

type Link = Readonly<Record<Side, Socket>> & { survivor: Side | null };

const otherSide = { client: 'server', server: 'client' } as const;

class FaultProxy implements FaultyNetwork {
  readonly port: number;
  readonly url: string;
  #targetPort: number;
  readonly #links = new Set<Link>();
  #listener: Server | null = null;
  /** The ends towards which nothing passes. */
  readonly #held = new Set<Side>();
  #latencyMs = 0;
  #drops: (reply: Buffer) => boolean = () => false;

  constructor(targetPort: number, port: number) {
    this.#targetPort = targetPort;
    this.port = port;
    this.url = `127.0.0.1:${port}`;
  }

  blackhole(on: boolean): void {
    this.hold('client', on);
    this.hold('server', on);
  }

  hold(towards: Side, on: boolean): void {
    if (on) this.#held.add(towards);
    else this.#held.delete(towards);
    for (const link of this.#links) this.#flow(link);
  }

  latency(ms: number): void {
    this.#latencyMs = ms;
  }

  halfOpen(survivor: Side): void {
    for (const link of this.#links) {
      if (link[survivor].destroyed) continue;
      link.survivor = survivor;
      reset(link[otherSide[survivor]]);
    }
  }

  retarget(port: number): void {
    this.#targetPort = port;
  }

  dropReplies(which: number | ((reply: Buffer) => boolean)): Promise<void> {
    return new Promise((resolve) => {
      let left = typeof which === 'number' ? which : 1;
      if (left === 0) resolve();
      const wanted =
        typeof which === 'number' ? (reply: Buffer) => left > 0 && repliesToOperation(reply) : which;
      this.#drops = (reply) => {
        if (!wanted(reply)) return false;
        left -= 1;
        if (left === 0) resolve();
        return true;
      };
    });
  }

  cut(): void {
    for (const { client, server } of this.#links) {
      reset(client);
      reset(server);
    }
    this.#links.clear();
  }

  connections(): number {
    return [...this.#links].filter(({ client }) => !client.destroyed).length;
  }

  async refuse(on: boolean): Promise<void> {
    if (on) {
      // Not awaited: a listener's close waits for its connections, but it refuses new ones from here on.
      this.#listener?.close();
      this.#listener = null;
      return;
    }
    if (this.#listener !== null) return;
    const listener = createServer((client) => this.#join(client));
    this.#listener = listener; // Before it listens: a second call meanwhile must not listen as well.
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen({ port: this.port, host: '127.0.0.1' }, resolve);
    });
  }

  async stop(): Promise<void> {
    const gone = [...this.#links].flatMap(({ client, server }) => [closed(client), closed(server)]);
    const listener = this.#listener;
    if (listener !== null) gone.push(new Promise((resolve) => listener.close(() => resolve())));
    this.#listener = null;
    this.cut();
    await Promise.all(gone);
  }

  #join(client: Socket): void {
    const server = dial({ port: this.#targetPort, host: '127.0.0.1' });
    const link: Link = { client, server, survivor: null };
    this.#links.add(link);
    const replies = new Frames();
    const towards = { client: new Lane(client), server: new Lane(server) };
    client.on('data', (bytes) => towards.server.pass(bytes, this.#latencyMs));
    server.on('data', (bytes) => {
      for (const reply of replies.split(bytes)) {
        if (!this.#drops(reply.subarray(4))) towards.client.pass(reply, this.#latencyMs);
      }
    });
    this.#closeTogether(link, 'client', towards.server);
    this.#closeTogether(link, 'server', towards.client);
    this.#flow(link);
  }

  #closeTogether(link: Link, side: Side, lane: Lane): void {
    const [one, other] = [link[side], link[otherSide[side]]];
    one.setNoDelay(true);
    one.on('error', () => undefined); // 'close' follows, and says that there was an error.
    one.once('close', (hadError) => {
      if (other.closed) this.#links.delete(link);
      if (link.survivor === otherSide[side]) return;
      lane.flush();
      if (hadError) reset(other);
      else other.end();
    });
  }

  #flow(link: Link): void {
    for (const side of ['client', 'server'] as const) {
      if (this.#held.has(otherSide[side])) link[side].pause();
      else link[side].resume();
    }
  }
}

/** One direction of a connection: what is delayed leaves in the order in which it came. */
class Lane {
  readonly #to: Socket;
  #waiting: { readonly bytes: Buffer; readonly due: number }[] = [];

  constructor(to: Socket) {
    this.#to = to;
  }

  pass(bytes: Buffer, latencyMs: number): void {
    if (latencyMs === 0 && this.#waiting.length === 0) return this.#send(bytes);
    const due = Math.max(this.#waiting.at(-1)?.due ?? 0, performance.now() + latencyMs);
    this.#waiting.push({ bytes, due });
    if (this.#waiting.length === 1) this.#sendLater();
  }

  /** What waits leaves at once. */
  flush(): void {
    for (const { bytes } of this.#waiting.splice(0)) this.#send(bytes);
  }

  #sendLater(): void {
    const next = this.#waiting[0];
    if (next === undefined) return;
    setTimeout(() => {
      if (this.#waiting[0] !== next) return;
      this.#waiting.shift();
      this.#send(next.bytes);
      this.#sendLater();
    }, next.due - performance.now());
  }

  #send(bytes: Buffer): void {
    if (this.#to.writable) this.#to.write(bytes);
  }
}

/** Cuts a stream into ZooKeeper's frames, a four-byte length and that many bytes. Any other protocol passes as it comes. */
class Frames {
  #rest: Buffer = Buffer.alloc(0);

  split(bytes: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const frames: Buffer[] = [];
    while (this.#rest.length > 0) {
      const length = this.#nextLength();
      if (length === null || this.#rest.length < length) break;
      frames.push(this.#rest.subarray(0, length));
      this.#rest = this.#rest.subarray(length);
    }
    return frames;
  }

  /** Null while the length itself is incomplete. */
  #nextLength(): number | null {
    // Text, as of Redis or of a four-letter word, would begin a frame of half a gigabyte.
    if (this.#rest.readUInt8(0) > 3) return this.#rest.length;
    return this.#rest.length < 4 ? null : 4 + this.#rest.readUInt32BE(0);
  }
}

/** An operation's xid is positive; a connect reply begins with the protocol version, which is 0. */
function repliesToOperation(reply: Buffer): boolean {
  return reply.length >= 4 && reply.readInt32BE(0) > 0;
}

/** A socket that already says goodbye cannot be reset, and one whose reset fails never tells that it closed. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

function closed(socket: Socket): Promise<void> {
  // One side of a link may be gone while the other still closes, and says so only once.
  return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', () => resolve()));
}
