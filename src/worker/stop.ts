// stop.ts: why an attempt must stop. Owns the signal that its handler may look at, which is made for those who do.

import type { ClaimkeeperError } from '../domain/index.js';

export class Stop {
  #reason: ClaimkeeperError | null = null;
  #controller: AbortController | null = null;
  #onStop: (() => void) | null = null;

  /** Null: it need not. */
  get reason(): ClaimkeeperError | null {
    return this.#reason;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== null) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** The first reason counts. */
  now(reason: ClaimkeeperError): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.#onStop?.();
  }

  /** Calls `act` once it is to stop, or at once when it is to already; one at a time, null: nobody. */
  whenever(act: (() => void) | null): void {
    this.#onStop = act;
    if (this.#reason !== null) act?.();
  }
}
