// link.ts: one connection between a memory session and the ensemble: two queues of messages that keep their order,
// whatever the latency of each. Owns delivery alone; what a message does is in the message.

import type { Clock } from '../../runtime/index.js';

export type LatencyMs = () => number;

export class Link {
  readonly toServer: Pipe;
  readonly toClient: Pipe;

  constructor(clock: Clock, latencyMs: LatencyMs) {
    this.toServer = new Pipe(clock, latencyMs);
    this.toClient = new Pipe(clock, latencyMs);
  }

  get open(): boolean {
    return this.toClient.open;
  }

  /** Whatever is under way is gone, and so is whatever is sent from now on. */
  cut(): void {
    this.toServer.cut();
    this.toClient.cut();
  }

  /** A black hole: nothing arrives, in either direction, until it thaws. */
  freeze(): void {
    this.toServer.freeze();
    this.toClient.freeze();
  }

  thaw(): void {
    this.toServer.thaw();
    this.toClient.thaw();
  }
}

class Pipe {
  readonly #clock: Clock;
  readonly #latencyMs: LatencyMs;
  #messages: (() => void)[] = [];
  /** Messages whose time came while the pipe was frozen. */
  #overdue = 0;
  #frozen = false;
  open = true;

  constructor(clock: Clock, latencyMs: LatencyMs) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
  }

  send(message: () => void): void {
    if (!this.open) return;
    this.#messages.push(message);
    this.#clock.after(this.#latencyMs(), () => this.#arrive(), { keepAlive: true });
  }

  cut(): void {
    this.open = false;
    this.#messages = [];
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    while (this.#overdue > 0 && this.open && !this.#frozen) {
      this.#overdue -= 1;
      this.#arrive();
    }
  }

  /** The time of *some* message came: the oldest arrives, so that no message overtakes another. */
  #arrive(): void {
    if (this.#frozen) this.#overdue += 1;
    else this.#messages.shift()?.();
  }
}
