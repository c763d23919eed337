// outbox.ts: hints on their way to Redis. Owns their order, their bound and their sending again after an outage; what it
// drops, the reconciler finds in the ledger and delivers.

import { type Hint, limits } from '../domain/index.js';
import { delay, type Runtime } from '../runtime/index.js';
import { type Parcel, pack } from './parcel.js';

export type Carrier = {
  /** Whether it makes sense to send now; {@link Outbox.wake} is called when that turns true. */
  ready(): boolean;
  /** Rejects when one of them may not have been sent; it may then be given again. */
  send(parcels: readonly Parcel[]): Promise<void>;
};

const hintsPerPack = 10_000;
const refusalsMax = 5;
const backoffMsMin = 100;

export class Outbox {
  readonly #carrier: Carrier;
  readonly #runtime: Runtime;
  readonly #closed = new AbortController();
  #hints: Hint[] = [];
  #parcels: Parcel[] = [];
  #handed = 0;
  #settled = 0;
  #dropped = 0;
  #refusals = 0;
  #awake = false;
  #flushes: { readonly upTo: number; readonly resolve: () => void }[] = [];

  constructor(carrier: Carrier, runtime: Runtime) {
    this.#carrier = carrier;
    this.#runtime = runtime;
  }

  /** Hints that were given up since the start, for the metrics. */
  get dropped(): number {
    return this.#dropped;
  }

  put(hints: readonly Hint[]): void {
    this.#handed += hints.length;
    for (const hint of hints) this.#hints.push(hint);
    const over = this.#hints.length - limits.deliveryBufferMax;
    if (over > 0) {
      // A tenth at a time, for the array is moved by it.
      const count = Math.min(this.#hints.length, over + limits.deliveryBufferMax / 10);
      this.#hints.splice(0, count);
      this.#drop(count, 'the buffer is full');
    }
    this.wake();
  }

  /** Sends what there is, from the next turn of the event loop on: all hints of this turn leave together. */
  wake(): void {
    if (this.#awake || this.#closed.signal.aborted) return;
    this.#awake = true;
    this.#runtime.clock.atEndOfTurn(() => void this.#pump());
  }

  /** Resolves once all hints handed over so far were sent or dropped. */
  flush(): Promise<void> {
    if (this.#settled >= this.#handed) return Promise.resolve();
    return new Promise((resolve) => this.#flushes.push({ upTo: this.#handed, resolve }));
  }

  /** Drops what is left. */
  close(): void {
    this.#closed.abort();
    this.#drop(this.#handed - this.#settled, 'it was closed');
    this.#hints = [];
    this.#parcels = [];
  }

  async #pump(): Promise<void> {
    const { clock, random } = this.#runtime;
    while (this.#carrier.ready() && !this.#closed.signal.aborted) {
      if (this.#parcels.length === 0) {
        const hints = this.#hints.splice(0, hintsPerPack);
        if (hints.length === 0) break;
        this.#parcels = pack(hints, clock.now(), random);
        this.#settle(hints.length - idsIn(this.#parcels));
      }
      await this.#sendSome();
    }
    this.#awake = false;
  }

  async #sendSome(): Promise<void> {
    const parcels = this.#parcels.slice(0, limits.deliveryParcelsPerSend);
    try {
      await this.#carrier.send(parcels);
    } catch (error) {
      return this.#onRefusal(parcels, error);
    }
    this.#refusals = 0;
    this.#remove(parcels, () => this.#settle(idsIn(parcels)));
  }

  /** While Redis is away they wait; what Redis, being there, refuses again and again must not block the rest. */
  async #onRefusal(parcels: readonly Parcel[], error: unknown): Promise<void> {
    if (!this.#carrier.ready()) return;
    this.#refusals += 1;
    this.#runtime.log.warn({ err: error, refusals: this.#refusals }, 'Redis refused deliveries');
    if (this.#refusals < refusalsMax) {
      await delay(this.#runtime.clock, backoffMsMin * 2 ** this.#refusals, this.#closed.signal);
      return;
    }
    this.#refusals = 0;
    this.#remove(parcels, () => this.#drop(idsIn(parcels), 'Redis refuses them'));
  }

  /** `close` may have dropped them in the meantime. */
  #remove(parcels: readonly Parcel[], account: () => void): void {
    if (this.#parcels[0] !== parcels[0]) return;
    this.#parcels.splice(0, parcels.length);
    account();
  }

  #drop(count: number, why: string): void {
    if (count > 0 && this.#dropped === 0) {
      this.#runtime.log.warn({ count, why }, 'deliveries are dropped; the reconciler will repeat them');
    }
    this.#dropped += count;
    this.#settle(count);
  }

  #settle(count: number): void {
    this.#settled += count;
    const over = this.#flushes.filter(({ upTo }) => upTo <= this.#settled);
    this.#flushes = this.#flushes.filter(({ upTo }) => upTo > this.#settled);
    for (const { resolve } of over) resolve();
  }
}

function idsIn(parcels: readonly Parcel[]): number {
  return parcels.reduce((sum, parcel) => sum + parcel.ids.length, 0);
}
