// waits.ts: requests that wait for a task to end. Owns how many wait at once, and for how long: until the time is over, the
// client has left, or the API stops. That the task has ended is the service's to say.

import type { FastifyInstance, FastifyReply } from 'fastify';
import { ClaimkeeperError, limits } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';
import { Lasting } from './lasting.js';

export class Waits {
  readonly #clock: Clock;
  readonly #open: Lasting;

  constructor(app: FastifyInstance, clock: Clock) {
    this.#clock = clock;
    this.#open = new Lasting(app);
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
    await this.#open.during(reply, async (over) => {
      if (over.signal.aborted) return;
      const timer = this.#clock.after(seconds * 1_000, () => over.abort(), { keepAlive: true });
      await until(over.signal).finally(() => timer.cancel());
    });
  }
}
