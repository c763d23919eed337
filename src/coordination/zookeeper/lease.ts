// lease.ts: how long the session may be trusted, by this process's own clocks (P9). It runs from the send time of the last
// answered request, because the server's own count cannot have begun before that (trap 2).

import type { MonotonicMs } from '../../domain/index.js';
import type { Clock } from '../../runtime/index.js';

/** One moment on both clocks: a paused machine may stop the monotonic one (trap 3). */
export type Instant = { readonly monotonic: number; readonly wall: number };

export function instant(clock: Clock): Instant {
  return { monotonic: clock.monotonic(), wall: clock.now() };
}

export class Lease {
  readonly #clock: Clock;
  #anchor: Instant = { monotonic: Number.NEGATIVE_INFINITY, wall: 0 };
  #lengthMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Session timeout less the margin, as negotiated with every handshake. */
  set lengthMs(value: number) {
    this.#lengthMs = value;
  }

  renew(sentAt: Instant): void {
    if (sentAt.monotonic > this.#anchor.monotonic) this.#anchor = sentAt;
  }

  until(): MonotonicMs {
    const now = instant(this.#clock);
    const slept = now.wall - this.#anchor.wall - (now.monotonic - this.#anchor.monotonic);
    // A wall clock set back shortens nothing; one set forward costs a lease until the next answer.
    return (this.#anchor.monotonic + this.#lengthMs - Math.max(0, slept)) as MonotonicMs;
  }

  holds(): boolean {
    return this.#clock.monotonic() < this.until();
  }
}
