// finish.ts: how attempts of one claim ended, recorded together: those that end before their transaction leaves share it. Owns
// that transaction; a record that it does not move goes on alone (move.ts).

import type { WriteOp, WriteOutcome } from '../coordination/index.js';
import { encodeRecord, type Held, limits, type RecordEvent, transition } from '../domain/index.js';
import type { Claim } from './claim.js';
import type { LedgerContext } from './context.js';
import type { Until } from './drive.js';
import { type MoveOptions, type MoveOutcome, move } from './move.js';
import { recordPath } from './paths.js';

export type Finished = {
  readonly moved: MoveOutcome;
  /** In the same transaction. */
  readonly claimDeleted: boolean;
};

/** Leaves room for one more record, whatever its size. */
const bytesMax = limits.multiBytesMax - limits.claimBytesMax - limits.recordBytesMax;

export class Finish {
  readonly #ctx: LedgerContext;
  readonly #claim: Claim;
  readonly #areAll: (tasks: number) => boolean;
  readonly #sets: WriteOp[] = [];
  /** As they stand if the transaction was applied. */
  readonly #moved: Held[] = [];
  #bytes = 0;
  #written: Promise<WriteOutcome> | null = null;
  #hasLeft = false;
  #deletesClaim = false;

  /** `areAll`: whether so many of the tasks of `claim` are all that are open. */
  constructor(ctx: LedgerContext, claim: Claim, areAll: (tasks: number) => boolean) {
    this.#ctx = ctx;
    this.#claim = claim;
    this.#areAll = areAll;
  }

  get hasRoom(): boolean {
    return !this.#hasLeft && this.#bytes <= bytesMax;
  }

  /** `held`: as it was read in the session of the claim. */
  async record(held: Held, event: RecordEvent, until: Until): Promise<Finished> {
    const next = transition(held.record, event);
    if (next.kind === 'refused') return this.#alone(held, event, { until, held });
    const data = encodeRecord(next.record);
    // A transaction that is too large is refused as a whole: it is not to cost the others their outcome.
    if (data.length > limits.recordBytesMax) return this.#alone(held, event, { until, held });
    const moved = { record: next.record, version: held.version + 1 };
    const place = this.#moved.push(moved) - 1;
    this.#sets.push({ kind: 'set', path: recordPath(moved.record.id), data, version: held.version });
    this.#bytes += data.length;
    this.#written ??= this.#whenLeaving();
    const written = await this.#written;
    if (written.kind === 'applied') {
      return { moved: { kind: 'moved', held: moved }, claimDeleted: this.#deletesClaim };
    }
    if (written.kind === 'unknown') {
      return this.#alone(held, event, { until, sent: { data, version: held.version } });
    }
    const hasMovedOn = written.kind === 'refused' && written.index === place;
    return this.#alone(held, event, hasMovedOn ? { until } : { until, held });
  }

  #whenLeaving(): Promise<WriteOutcome> {
    return new Promise((resolve) => {
      this.#ctx.commits.whenLeaving('write', () => resolve(this.#leave()));
    });
  }

  async #leave(): Promise<WriteOutcome> {
    this.#hasLeft = true;
    this.#deletesClaim = this.#areAll(this.#sets.length);
    const drop = { kind: 'delete', path: this.#claim.path, version: null } as const;
    const ops = this.#deletesClaim ? [...this.#sets, drop] : this.#sets;
    const { session } = this.#claim;
    const written = await this.#ctx.commits.commit(ops, { lane: 'write', session });
    if (written.kind === 'applied') this.#ctx.note(this.#moved);
    return written;
  }

  async #alone({ record: { id } }: Held, event: RecordEvent, known: MoveOptions): Promise<Finished> {
    // A lost reply was to both: where the record has moved, the claim is gone.
    const deleteClaim = this.#deletesClaim && this.#sets.length === 1 ? this.#claim.path : null;
    const moved = await move(this.#ctx, id, event, { ...known, readIn: this.#claim.session, deleteClaim });
    return { moved, claimDeleted: deleteClaim !== null && moved.kind === 'moved' };
  }
}
