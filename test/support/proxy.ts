// proxy.ts: a network that fails on command, between a client and a server on loopback. Knows of ZooKeeper's protocol only
// that a reply is a length and a body which begins with the xid; nothing is ever sent that a peer did not send.

import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { freePort } from '../../infra/local-server.js';

export type FaultyNetwork = {
  readonly port: number;
  /** `127.0.0.1:PORT` */
  readonly url: string;
  /** While on: nothing passes in either direction, not even a close; what was sent meanwhile passes afterwards, as TCP has it. */
  blackhole(on: boolean): void;
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
  /** Connections there are now. */
  connections(): number;
  /** Closes everything at once. */
  stop(): Promise<void>;
};

export async function startProxy(targetPort: number): Promise<FaultyNetwork> {
  const proxy = new FaultProxy(targetPort, await freePort());
  await proxy.refuse(false);
  return proxy;
}

type Link = { readonly client: Socket; readonly server: Socket };

class FaultProxy implements FaultyNetwork {
  readonly port: number;
  readonly url: string;
  readonly #targetPort: number;
  readonly #links = new Set<Link>();
  #listener: Server | null = null;
  #blackhole = false;
  #drops: (reply: Buffer) => boolean = () => false;

  constructor(targetPort: number, port: number) {
    this.#targetPort = targetPort;
    this.port = port;
    this.url = `127.0.0.1:${port}`;
  }

  blackhole(on: boolean): void {
    this.#blackhole = on;
    for (const { client, server } of this.#links) for (const socket of [client, server]) this.#flow(socket);
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
    return this.#links.size;
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
    const link = { client, server: dial({ port: this.#targetPort, host: '127.0.0.1' }) };
    this.#links.add(link);
    const replies = new Frames();
    client.on('data', (bytes) => link.server.write(bytes));
    link.server.on('data', (bytes) => {
      for (const reply of replies.split(bytes)) if (!this.#drops(reply.subarray(4))) client.write(reply);
    });
    this.#closeTogether(link, link.client, link.server);
    this.#closeTogether(link, link.server, link.client);
    this.#flow(client);
    this.#flow(link.server);
  }

  #closeTogether(link: Link, one: Socket, other: Socket): void {
    one.setNoDelay(true);
    one.on('error', () => undefined); // 'close' follows, and says that there was an error.
    one.once('close', (hadError) => {
      if (other.closed) this.#links.delete(link);
      if (hadError) reset(other);
      else other.end();
    });
  }

  #flow(socket: Socket): void {
    if (this.#blackhole) socket.pause();
    else socket.resume();
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
