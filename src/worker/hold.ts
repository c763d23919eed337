// hold.ts: a claim as its worker holds it: which of its tasks are still open, and its deletion once none is.

import type { Held, RecordEvent, TaskId } from '../domain/index.js';
import {
  type Claim,
  dropClaim,
  Finish,
  type Finished,
  type LedgerContext,
  type Until,
} from '../ledger/index.js';

export class Hold {
  readonly claim: Claim;
  readonly #open: Set<TaskId>;
  #finish: Finish | null = null;
  #deleted = false;

  constructor(claim: Claim, tasks: readonly TaskId[]) {
    this.claim = claim;
    this.#open = new Set(tasks);
  }

  /** Records how an open task's attempt ended; with the last of them goes the claim. */
  finish(ctx: LedgerContext, held: Held, event: RecordEvent, until: Until): Promise<Finished> {
    if (this.#finish?.hasRoom !== true) {
      this.#finish = new Finish(ctx, this.claim, (tasks) => tasks === this.#open.size);
    }
    return this.#finish.record(held, event, until);
  }

  /**
   * `task` is no longer this worker's, and the ledger has that. `deleted`: the claim went in the same transaction. A claim
   * goes only after its last record has moved: were it gone before, the record would look orphaned.
   */
  close(ctx: LedgerContext, task: TaskId, deleted: boolean, signal: AbortSignal): void {
    this.#open.delete(task);
    this.#deleted ||= deleted;
    if (this.#open.size > 0 || this.#deleted) return;
    this.#deleted = true;
    void dropClaim(ctx, this.claim.path, signal);
  }
}
