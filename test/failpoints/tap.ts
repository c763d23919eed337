// tap.ts: the wire between one process and one server, with a failpoint on it: the one request that a test waits for is held
// before the server gets it, or its reply before the process gets it. The process runs as it is shipped and knows nothing
// of it. What travels on the wire is a protocol's to say (zookeeper-wire.ts, redis-wire.ts).

import type { AddressInfo } from 'node:net';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';

export type Side = 'before' | 'after';

/** One request, or one reply, with what tells which belong together; null for what answers nothing. */
export type Frame<Asked> = {
  readonly bytes: Buffer;
  readonly key: number | null;
  /** What a request asks for. */
  readonly asked?: Asked;
  /** A reply which says that nothing was done: whoever asked will ask again. */
  readonly isRefusal?: boolean;
};

/** Cuts the two directions of one connection into frames. */
export interface Wire<Asked> {
  requests(bytes: Buffer): Frame<Asked>[];
  replies(bytes: Buffer): Frame<Asked>[];
}

/** A process that stands at its failpoint. */
export type Hold = {
  /** All goes on as if nothing had been. */
  release(): void;
  /** What is held is lost, and the connection with it; the next one is let through. */
  lose(): void;
};

export type Tap<Asked> = {
  /** `127.0.0.1:PORT` */
  readonly url: string;
  /** Holds the next request that `which` accepts, or its reply. Resolves once it is held; everything behind it waits too. */
  arm(side: Side, which: (asked: Asked) => boolean): Promise<Hold>;
  /** Resolves once the server has closed every connection there is now, as ZooKeeper does when a session expires. */
  closedByServer(): Promise<void>;
  stop(): Promise<void>;
};

type Armed<Asked> = {
  readonly side: Side;
  readonly which: (asked: Asked) => boolean;
  readonly strike: (hold: Hold) => void;
};

export async function startTap<Asked>(targetPort: number, wire: () => Wire<Asked>): Promise<Tap<Asked>> {
  const links = new Set<Link<Asked>>();
  const failpoint: { armed: Armed<Asked> | null } = { armed: null };
  const server = createServer((client) => {
    const link = new Link(client, dial({ port: targetPort, host: '127.0.0.1' }), wire(), failpoint);
    links.add(link);
    void link.closed.then(() => links.delete(link));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    arm: (side, which) =>
      new Promise((strike) => {
        failpoint.armed = { side, which, strike };
      }),
    closedByServer: async () => void (await Promise.all([...links].map((link) => link.closedByServer))),
    async stop() {
      const stopped = close(server);
      for (const link of links) link.reset();
      await stopped;
    },
  };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

class Link<Asked> {
  readonly closed: Promise<void>;
  readonly closedByServer: Promise<void>;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #failpoint: { armed: Armed<Asked> | null };
  /** What waits in either direction while the process stands at its failpoint. */
  #held: { readonly side: Side; readonly frames: Buffer[] } | null = null;
  /** The request whose reply is to be held. */
  #awaited: { readonly key: number | null; readonly armed: Armed<Asked> } | null = null;

  constructor(client: Socket, server: Socket, wire: Wire<Asked>, failpoint: { armed: Armed<Asked> | null }) {
    this.#client = client;
    this.#server = server;
    this.#failpoint = failpoint;
    this.closedByServer = new Promise((resolve) => {
      server.once('end', resolve);
      server.once('close', resolve);
    });
    this.closed = Promise.all([client, server].map(gone)).then(() => undefined);
    client.on('data', (bytes) => {
      for (const frame of wire.requests(bytes)) this.#onRequest(frame);
    });
    server.on('data', (bytes) => {
      for (const frame of wire.replies(bytes)) this.#onReply(frame);
    });
    client.once('close', () => server.end());
    server.once('close', () => client.end());
  }

  reset(): void {
    for (const socket of [this.#client, this.#server]) {
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  #onRequest(frame: Frame<Asked>): void {
    if (this.#held?.side === 'before') return void this.#held.frames.push(frame.bytes);
    const { armed } = this.#failpoint;
    if (armed === null || frame.asked === undefined || !armed.which(frame.asked)) {
      return void this.#server.write(frame.bytes);
    }
    this.#failpoint.armed = null;
    if (armed.side === 'before') return this.#hold(armed, frame.bytes);
    this.#awaited = { key: frame.key, armed };
    this.#server.write(frame.bytes);
  }

  #onReply(frame: Frame<Asked>): void {
    // What answers no request passes: a process held for a while must not take its server for silent.
    if (this.#held?.side === 'after' && frame.key !== null) return void this.#held.frames.push(frame.bytes);
    const awaited = this.#awaited;
    if (awaited === null || frame.key !== awaited.key) return void this.#client.write(frame.bytes);
    this.#awaited = null;
    if (frame.isRefusal !== true) return this.#hold(awaited.armed, frame.bytes);
    this.#failpoint.armed = awaited.armed;
    this.#client.write(frame.bytes);
  }

  #hold({ side, strike }: Armed<Asked>, bytes: Buffer): void {
    const held = { side, frames: [bytes] };
    this.#held = held;
    strike({
      release: () => {
        if (this.#held !== held) return;
        this.#held = null;
        const to = side === 'before' ? this.#server : this.#client;
        for (const each of held.frames) to.write(each);
      },
      lose: () => this.reset(),
    });
  }
}

function gone(socket: Socket): Promise<void> {
  socket.setNoDelay(true);
  socket.on('error', () => undefined); // 'close' follows.
  return new Promise((resolve) => socket.once('close', () => resolve()));
}
