// claims-monitor.ts: which claims stand, and which are gone. Owns the grace of exactly those tasks whose claim vanished;
// the table decides what becomes of them (P4).
//
// It looks at /claims at a pace well below the session timeout: a claim of a worker that dies stands for at least the
// session timeout, so that it was seen before it goes. Claims that came and went between two looks ended well.

import type { WriteOp } from '../coordination/index.js';
import type { ClaimRef, MonotonicMs, TaskId, TaskRecord, WorkerId } from '../domain/index.js';
import { claimsPath, claimsStanding, interrupt, type LedgerContext, tasksOfClaim } from '../ledger/index.js';

type Standing = { readonly ref: ClaimRef; readonly ids: readonly TaskId[] };
type Gone = Standing & { readonly since: MonotonicMs };

export class ClaimsMonitor {
  readonly #ctx: LedgerContext;
  readonly #graceMs: number;
  readonly #guard: () => WriteOp;
  readonly #standing = new Map<string, Standing>();
  /** By the claim's nonce. */
  readonly #gone = new Map<string, Gone>();

  constructor(ctx: LedgerContext, graceMs: number, guard: () => WriteOp) {
    this.#ctx = ctx;
    this.#graceMs = graceMs;
    this.#guard = guard;
  }

  /**
   * One look: notes what is new, starts the grace of what vanished, interrupts what is past it.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  async look(): Promise<void> {
    const seen = await this.#list();
    for (const [path, claim] of this.#standing) {
      if (seen.has(path)) continue;
      this.#standing.delete(path);
      this.#noteGone(claim);
    }
    await Promise.all(
      [...seen].filter(([path]) => !this.#standing.has(path)).map(([path, ref]) => this.#learn(path, ref)),
    );
    await this.#interruptDue();
  }

  /** A running record that no standing claim covers, found by a sweep: its grace begins now. */
  noteOrphan(record: TaskRecord): void {
    if (record.claim !== undefined) this.#noteGone({ ref: record.claim, ids: [record.id] });
  }

  #noteGone({ ref, ids }: Standing): void {
    const known = this.#gone.get(ref.nonce);
    const all = [...new Set([...(known?.ids ?? []), ...ids])];
    this.#gone.set(ref.nonce, { ref, ids: all, since: known?.since ?? this.#ctx.runtime.clock.monotonic() });
  }

  async #list(): Promise<Map<string, ClaimRef>> {
    const workers = ((await this.#ctx.session.children(claimsPath)) ?? []) as WorkerId[];
    const lists = await Promise.all(workers.map((worker) => claimsStanding(this.#ctx, worker)));
    return new Map(lists.flat().map(({ path, ref }) => [path, ref]));
  }

  async #learn(path: string, ref: ClaimRef): Promise<void> {
    const ids = await tasksOfClaim(this.#ctx, path);
    if (ids !== null) this.#standing.set(path, { ref, ids });
  }

  async #interruptDue(): Promise<void> {
    const now = this.#ctx.runtime.clock.monotonic();
    const due = [...this.#gone.values()].filter(({ since }) => now - since >= this.#graceMs);
    for (const { ref, ids } of due) {
      const outcomes = await Promise.all(ids.map((id) => interrupt(this.#ctx, id, ref, this.#guard())));
      const interrupted = ids.filter((_, i) => outcomes[i] === 'interrupted');
      if (interrupted.length > 0) {
        this.#ctx.runtime.log.warn(
          { worker: ref.worker, tasks: interrupted },
          'claim gone past its grace: interrupted',
        );
      }
      if (!outcomes.includes('unavailable')) this.#gone.delete(ref.nonce);
    }
  }
}
