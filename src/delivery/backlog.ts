// backlog.ts: items on their way to Redis. Owns their order, their bound, their pace, their sending again after an outage or a
// refusal, and who waits for them. What they are, and how they leave together, is outbox.ts's and news.ts's; what is dropped, the
// reconciler finds in the ledger.

import { delay, type Runtime } from '../runtime/index.js';

export type Road<Content> = {
  /** Whether it makes sense to send now; {@link Backlog.wake} is called when that turns true. */
  ready(): boolean;
  /** Rejects when some of it may not have been taken; it may then be given again. */
  send(content: Content): Promise<unknown>;
};

/** What leaves in one round trip, and for how many items it stands. */
export type Batch<Content> = { readonly content: Content; readonly items: number };

export type Goods<Item, Content> = {
  /** In the log. */
  readonly name: string;
  /** Items that wait to be packed; the oldest beyond are dropped. */
  readonly keptMax: number;
  /** Items packed together. */
  readonly packedMax: number;
  /** Between two batches, unless a full pack waits, or somebody does; 0: none. */
  readonly paceMs: number;
  pack(items: readonly Item[]): readonly Batch<Content>[];
};

const refusalsMax = 5;
const backoffMsMin = 100;

export class Backlog<Item, Content> {
  readonly #road: Road<Content>;
  readonly #goods: Goods<Item, Content>;
  readonly #runtime: Runtime;
  readonly #closed = new AbortController();
  #items: Item[] = [];
  /** Packed once: what is given again is the same. */
  #batches: Batch<Content>[] = [];
  #handed = 0;
  #settled = 0;
  #dropped = 0;
  #refusals = 0;
  #awake = false;
  #flushes: { readonly upTo: number; readonly resolve: () => void }[] = [];

  constructor(road: Road<Content>, goods: Goods<Item, Content>, runtime: Runtime) {
    this.#road = road;
    this.#goods = goods;
    this.#runtime = runtime;
  }

  /** Items given up since the start, for the metrics. */
  get dropped(): number {
    return this.#dropped;
  }

  put(items: readonly Item[]): void {
    if (this.#closed.signal.aborted) return;
    const { keptMax } = this.#goods;
    this.#handed += items.length;
    for (const item of items) this.#items.push(item);
    const over = this.#items.length - keptMax;
    // A tenth at a time, for the array is moved by it.
    if (over > 0) this.#drop(this.#items.splice(0, over + keptMax / 10).length, 'the buffer is full');
    this.wake();
  }

  /** Ahead of what is not packed yet. */
  putPacked(batches: readonly Batch<Content>[]): void {
    if (this.#closed.signal.aborted) return;
    this.#handed += batches.reduce((sum, { items }) => sum + items, 0);
    this.#batches.push(...batches);
    this.wake();
  }

  /** Sends what there is, from the end of this turn of the event loop on: what is put in it leaves together. */
  wake(): void {
    if (this.#awake || this.#closed.signal.aborted) return;
    this.#awake = true;
    this.#runtime.clock.atEndOfTurn(() => void this.#pump());
  }

  /** Resolves once all that was put so far was sent or dropped. */
  flush(): Promise<void> {
    if (this.#settled >= this.#handed) return Promise.resolve();
    return new Promise((resolve) => this.#flushes.push({ upTo: this.#handed, resolve }));
  }

  /** Drops what is left. */
  close(): void {
    this.#closed.abort();
    this.#items = [];
    this.#batches = [];
    this.#drop(this.#handed - this.#settled, 'it was closed');
  }

  async #pump(): Promise<void> {
    const { packedMax, paceMs } = this.#goods;
    const { signal } = this.#closed;
    while (this.#road.ready() && !signal.aborted) {
      const batch = this.#next();
      if (batch === undefined) break;
      await this.#send(batch);
      const hurried = this.#flushes.length > 0;
      this.#tell();
      if (paceMs > 0 && !hurried && this.#items.length < packedMax)
        await delay(this.#runtime.clock, paceMs, signal);
    }
    this.#awake = false;
  }

  #next(): Batch<Content> | undefined {
    if (this.#batches.length === 0 && this.#items.length > 0) {
      const items = this.#items.splice(0, this.#goods.packedMax);
      this.#batches = [...this.#goods.pack(items)];
      // What was put twice travels once.
      this.#settled += items.length - this.#batches.reduce((sum, batch) => sum + batch.items, 0);
    }
    return this.#batches[0];
  }

  async #send(batch: Batch<Content>): Promise<void> {
    try {
      await this.#road.send(batch.content);
    } catch (error) {
      return this.#onRefusal(batch, error);
    }
    this.#refusals = 0;
    if (this.#closed.signal.aborted) return; // `close` has counted it.
    this.#batches.shift();
    this.#settled += batch.items;
  }

  /** While Redis is away they wait; what Redis, being there, refuses again and again must not block the rest. */
  async #onRefusal({ items }: Batch<Content>, error: unknown): Promise<void> {
    const { clock, log } = this.#runtime;
    if (this.#closed.signal.aborted || !this.#road.ready()) return;
    this.#refusals += 1;
    log.warn({ err: error, refusals: this.#refusals }, `Redis refused ${this.#goods.name}`);
    if (this.#refusals < refusalsMax)
      return delay(clock, backoffMsMin * 2 ** this.#refusals, this.#closed.signal);
    this.#refusals = 0;
    this.#batches.shift();
    this.#drop(items, 'Redis refuses them');
  }

  #drop(count: number, why: string): void {
    if (count > 0 && this.#dropped === 0) {
      const message = `${this.#goods.name} are dropped; the reconciler will make up for it`;
      this.#runtime.log.warn({ count, why }, message);
    }
    this.#dropped += count;
    this.#settled += count;
    this.#tell();
  }

  #tell(): void {
    const over = this.#flushes.filter(({ upTo }) => upTo <= this.#settled);
    this.#flushes = this.#flushes.filter(({ upTo }) => upTo > this.#settled);
    for (const { resolve } of over) resolve();
  }
}
