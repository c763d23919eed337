// envelope.ts: one delivery in the hands of a worker. Owns its end: done, or given back. Neither is ever an error for the
// worker, since a delivery that comes twice or is lost decides nothing (P6).

import type { Job, Queue } from 'bullmq';
import type { EpochMs, Name, TaskId } from '../domain/index.js';
import { type Runtime, within } from '../runtime/index.js';
import { type Cargo, cargoOf, jobOf, newParcel } from './parcel.js';

/** The worker does not wait longer for Redis; the command still goes when it is back. */
const endMsMax = 2_000;

export class Envelope {
  #onEnded: () => void = () => undefined;
  readonly ids: readonly TaskId[];
  /** It was delivered before, and whoever had it went silent: its tasks are claimed alone, not in a batch. */
  readonly redelivered: boolean;
  /** Resolves once `done` or `giveBack` has come to its end, whatever that was. */
  readonly ended = new Promise<void>((resolve) => {
    this.#onEnded = resolve;
  });
  readonly #cargo: Cargo;
  readonly #job: Job;
  readonly #token: string;
  readonly #queue: Queue;
  readonly #runtime: Runtime;
  #over = false;

  constructor(job: Job, token: string, queue: Queue, runtime: Runtime) {
    this.#cargo = cargoOf(job.data);
    this.ids = this.#cargo.ids;
    this.redelivered = job.stalledCounter > 0;
    this.#job = job;
    this.#token = token;
    this.#queue = queue;
    this.#runtime = runtime;
  }

  /**
   * All ids are dealt with: the delivery may go. Only after the records moved (P7). Never throws: a lock that was lost, or
   * Redis being away, is logged, and the delivery may then come again. The first call of `done` or `giveBack` counts.
   */
  async done(): Promise<void> {
    await this.#end('done', () => this.#remove());
  }

  /**
   * Puts these of the ids back as a new delivery, due in `delayMs` (0: at once, and first of its queue where the priority
   * is 0), and then lets this one go. Never throws; if it fails, the whole delivery comes again once its lock has run out.
   */
  async giveBack(ids: readonly TaskId[], delayMs: number): Promise<void> {
    await this.#end('given back', async () => {
      if (ids.length > 0) await this.#repeat(ids, delayMs);
      await this.#remove();
    });
  }

  async #end(how: string, act: () => Promise<void>): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const fields = { delivery: this.#job.id, tasks: this.ids.length };
    try {
      const late = (await within(this.#runtime.clock, endMsMax, act())) === null;
      if (late) this.#runtime.log.warn(fields, `a delivery is not yet ${how}: Redis does not answer`);
    } catch (error) {
      this.#runtime.log.warn({ ...fields, err: error }, `a delivery could not be ${how}; it may come again`);
    } finally {
      this.#onEnded();
    }
  }

  async #repeat(ids: readonly TaskId[], delayMs: number): Promise<void> {
    const now = this.#runtime.clock.now();
    const due = delayMs > 0 ? (Math.ceil(now + delayMs) as EpochMs) : null;
    const queue = this.#queue.name as Name;
    const { priority } = this.#cargo;
    const content = { queue, ids, priority, due, inFront: due === null };
    const { name, data, opts } = jobOf(newParcel(content, this.#runtime.random), now);
    await this.#queue.add(name, data, opts);
  }

  async #remove(): Promise<void> {
    await this.#job.moveToCompleted('', this.#token, false);
  }
}
