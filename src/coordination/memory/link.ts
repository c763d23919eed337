// link.ts: one connection between a memory session and the ensemble: two queues of messages that keep their order,
// whatever the latency of each. Owns delivery alone; what a message does is in the message.

import type { Clock, Timer } from '../../runtime/index.js';

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

  /** Something is under way. */
  get waiting(): boolean {
    return this.toServer.waiting || this.toClient.waiting;
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

type Message = { readonly at: number; readonly deliver: () => void };

export class Pipe {
  readonly #clock: Clock;
  readonly #latencyMs: LatencyMs;
  #messages: Message[] = [];
  /** When the last message sent arrives: none overtakes another. */
  #lastAt = 0;
  #timer: Timer | null = null;
  #frozen = false;
  open = true;

  constructor(clock: Clock, latencyMs: LatencyMs) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
  }

  get waiting(): boolean {
    return this.#messages.length > 0;
  }

  send(deliver: () => void): void {
    if (!this.open) return;
    this.#lastAt = Math.max(this.#lastAt, this.#clock.monotonic() + this.#latencyMs());
    this.#messages.push({ at: this.#lastAt, deliver });
    this.#arm();
  }

  /** What is sent from now on arrives later by `ms`. */
  stall(ms: number): void {
    this.#lastAt = Math.max(this.#lastAt, this.#clock.monotonic()) + ms;
  }

  /** What is under way arrives now. */
  hasten(): void {
    this.#messages = this.#messages.map(({ deliver }) => ({ at: 0, deliver }));
    this.#lastAt = 0;
    this.#arrive();
  }

  cut(): void {
    this.open = false;
    this.#messages = [];
    this.#disarm();
  }

  freeze(): void {
    this.#frozen = true;
    this.#disarm();
  }

  thaw(): void {
    this.#frozen = false;
    this.#arrive();
  }

  /** One timer for all that is under way. */
  #arm(): void {
    const [first] = this.#messages;
    if (this.#timer !== null || this.#frozen || first === undefined) return;
    const inMs = Math.max(0, first.at - this.#clock.monotonic());
    const due = (): void => {
      this.#timer = null;
      this.#arrive();
    };
    this.#timer = this.#clock.after(inMs, due, { keepAlive: true });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arrive(): void {
    const now = this.#clock.monotonic();
    for (let first = this.#messages[0]; first !== undefined; first = this.#messages[0]) {
      if (this.#frozen || first.at > now) break;
      this.#messages.shift();
      first.deliver();
    }
    this.#arm();
  }
}
