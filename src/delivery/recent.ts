// recent.ts: parcels that Redis took lately. It may forget them, when it starts again, is emptied, or a replica that lags takes
// its place: they are sent again. One that is still there is the same job (parcel.ts); one that was done comes twice (P6).

import { limits, type MonotonicMs } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';
import type { Parcel } from './parcel.js';

/** Longer than a replica lags as a rule; what else Redis forgets, the reconciler finds in the ledger. */
const keptMs = 10_000;

export class RecentParcels {
  readonly #clock: Clock;
  /** By job id, the oldest first; sent again, one is as old as before. */
  readonly #sent = new Map<string, { readonly parcel: Parcel; readonly at: MonotonicMs }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(parcels: readonly Parcel[]): void {
    const at = this.#clock.monotonic();
    for (const parcel of parcels) {
      if (!this.#sent.has(parcel.jobId)) this.#sent.set(parcel.jobId, { parcel, at });
    }
    this.#forget();
  }

  /** Of the last ten seconds, up to `limits.deliveryParcelsKept`, the newest. */
  parcels(): readonly Parcel[] {
    this.#forget();
    return [...this.#sent.values()].map(({ parcel }) => parcel);
  }

  #forget(): void {
    const since = this.#clock.monotonic() - keptMs;
    for (const [jobId, { at }] of this.#sent) {
      if (at >= since && this.#sent.size <= limits.deliveryParcelsKept) break;
      this.#sent.delete(jobId);
    }
  }
}
