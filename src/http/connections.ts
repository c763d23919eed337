// connections.ts: who is connected to the API. Owns their end at a close: Node would wait, for as long as it takes, for a
// client that has not sent a whole request, and no longer bounds the time of one.

import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

export class Connections {
  readonly #open = new Set<Socket>();
  /** Requests without their whole answer. */
  readonly #asked = new Set<IncomingMessage>();
  #closing = false;

  constructor(server: Server) {
    server.on('connection', (socket) => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
      if (this.#closing) socket.destroySoon();
    });
    server.on('request', (request, response) => {
      this.#asked.add(request);
      response.once('close', () => {
        this.#asked.delete(request);
        if (this.#closing) this.close();
      });
    });
  }

  /** Ends each at once, or after the answer to what has arrived on it in full. */
  close(): void {
    this.#closing = true;
    const arrived = [...this.#asked].filter(({ complete }) => complete);
    const busy = new Set(arrived.map(({ socket }) => socket));
    for (const socket of this.#open) {
      if (busy.has(socket)) continue;
      this.#open.delete(socket); // Ended once: with every request that ends this is gone through again.
      socket.destroySoon();
    }
  }
}
