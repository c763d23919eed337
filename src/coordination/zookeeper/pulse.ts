// pulse.ts: whether the server still hears and answers us on one connection. Owns the pings (every third of the session
// timeout, whatever else is sent: trap 13) and the judgement on silence (trap 1); what follows from it is connection.ts.

import type { Clock, Timer } from '../../runtime/index.js';
import { type Instant, instant, type Lease } from './lease.js';

export type PulseOwner = {
  /** Sends a ping, now. */
  ping(): void;
  /** Send time of the oldest request without an answer, pings aside; null when there is none. */
  oldestRequestAt(): Instant | null;
  /** The server is to be given up. Nothing more is said. */
  silent(cause: string): void;
};

const beatsPerTimeout = 12;

export class Pulse {
  readonly #clock: Clock;
  readonly #lease: Lease;
  readonly #timeoutMs: number;
  readonly #owner: PulseOwner;
  /** Send times of pings without an answer yet, oldest first. */
  readonly #pings: Instant[] = [];
  #pingedAtMs: number;
  #receivedAtMs: number;
  #timer: Timer | null = null;

  constructor(clock: Clock, lease: Lease, timeoutMs: number, owner: PulseOwner) {
    this.#clock = clock;
    this.#lease = lease;
    this.#timeoutMs = timeoutMs;
    this.#owner = owner;
    this.#pingedAtMs = clock.monotonic();
    this.#receivedAtMs = this.#pingedAtMs;
    this.#beat();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  onBytes(): void {
    this.#receivedAtMs = this.#clock.monotonic();
  }

  onPingSent(): Instant {
    const sentAt = instant(this.#clock);
    this.#pings.push(sentAt);
    return sentAt;
  }

  onPong(): void {
    const sentAt = this.#pings.shift();
    if (sentAt !== undefined) this.#lease.renew(sentAt);
  }

  #beat(): void {
    const intervalMs = this.#timeoutMs / beatsPerTimeout;
    const setAtMs = this.#clock.monotonic();
    this.#timer = this.#clock.after(intervalMs, () => {
      const nowMs = this.#clock.monotonic();
      // A late beat judges nothing: this process stalled, and what arrived meanwhile is read before the next one.
      const cause = nowMs - setAtMs < 2 * intervalMs ? this.#judge(nowMs) : null;
      if (cause !== null) return this.#owner.silent(cause);
      if (nowMs - this.#pingedAtMs >= this.#timeoutMs / 3 - 1) {
        this.#pingedAtMs = nowMs;
        this.#owner.ping();
      }
      this.#beat();
    });
  }

  /**
   * Why the server is to be given up, or null. Something must have been unanswered for a third of the timeout; and then
   * either nothing at all came for two thirds, or what came did not renew the lease (a black hole one way).
   */
  #judge(nowMs: number): string | null {
    const third = this.#timeoutMs / 3;
    const asked = [this.#owner.oldestRequestAt(), this.#pings[0]].map((at) => at?.monotonic ?? nowMs);
    if (nowMs - Math.min(...asked) < third) return null;
    const silentMs = nowMs - this.#receivedAtMs;
    if (silentMs >= 2 * third) return `nothing was received for ${Math.round(silentMs)} ms`;
    return this.#lease.until() <= nowMs ? 'no answer renewed the lease' : null;
  }
}
