// waits.ts: requests that wait for a task to end. Owns how many wait at once, and their end: the time is over, the client has
// left, or the API stops. That the task has ended is the service's to say.

import type { FastifyInstance, FastifyReply } from 'fastify';
import { ClaimkeeperError, limits } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';

export class Waits {
  readonly #clock: Clock;
  readonly #open = new Set<AbortController>();

  constructor(app: FastifyInstance, clock: Clock) {
    this.#clock = clock;
    app.addHook('preClose', async () => {
      for (const wait of this.#open) wait.abort();
    });
  }

  /** @throws ClaimkeeperError `WAITS_EXHAUSTED`, and as `until` */
  async during(
    reply: FastifyReply,
    seconds: number,
    until: (over: AbortSignal) => Promise<void>,
  ): Promise<void> {
    if (this.#open.size >= limits.waitsOpenMax) {
      const message = `${limits.waitsOpenMax} requests wait already: ask again, or ask without "wait"`;
      throw new ClaimkeeperError('WAITS_EXHAUSTED', message, { field: 'wait' });
    }
    const over = new AbortController();
    const end = (): void => over.abort();
    const timer = this.#clock.after(seconds * 1_000, end, { keepAlive: true });
    reply.raw.once('close', end);
    this.#open.add(over);
    try {
      await until(over.signal);
    } finally {
      this.#open.delete(over);
      reply.raw.removeListener('close', end);
      timer.cancel();
    }
  }
}
