// hold.ts: a claim as its worker holds it: which of its tasks are still open, and its deletion once none is.

import type { TaskId } from '../domain/index.js';
import { type Claim, dropClaim, type LedgerContext } from '../ledger/index.js';

export class Hold {
  readonly claim: Claim;
  readonly #open: Set<TaskId>;
  #deleted = false;

  constructor(claim: Claim, tasks: readonly TaskId[]) {
    this.claim = claim;
    this.#open = new Set(tasks);
  }

  /** The claim's path when `task` is the last one open: its outcome's transaction deletes the claim as well. */
  pathIfLast(task: TaskId): string | null {
    return this.#open.size === 1 && this.#open.has(task) ? this.claim.path : null;
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
