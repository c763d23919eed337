// lasting.ts: answers that take as long as they take: waits and streams. Owns how many there are, and the end of each: its
// client has left, or the API stops; what they wait for is their own.

import type { FastifyInstance, FastifyReply } from 'fastify';

export class Lasting {
  readonly #open = new Set<AbortController>();
  #closing = false;

  constructor(app: FastifyInstance) {
    app.addHook('preClose', async () => {
      this.#closing = true;
      for (const over of this.#open) over.abort();
    });
  }

  get size(): number {
    return this.#open.size;
  }

  /** `over` is aborted at the end, also by `work` itself; before its beginning where the end has come already. */
  async during<T>(reply: FastifyReply, work: (over: AbortController) => Promise<T>): Promise<T> {
    const over = new AbortController();
    const end = (): void => over.abort();
    if (this.#closing || reply.raw.destroyed) end();
    reply.raw.once('close', end);
    this.#open.add(over);
    try {
      return await work(over);
    } finally {
      this.#open.delete(over);
      reply.raw.removeListener('close', end);
      end();
    }
  }
}
