// claims-monitor.ts: which claims stand, and which are gone. Owns the grace of exactly those tasks whose claim vanished;
// the table decides what becomes of them (P4).
//
// It looks at /claims at a pace well below the session timeout: a claim of a worker that dies stands for at least the
// session timeout, so that it was seen before it goes. Claims that came and went between two looks ended well.

import type { WriteOp } from '../coordination/index.js';
import type { ClaimRef, MonotonicMs, TaskId, TaskRecord, WorkerId } from '../domain/index.js';
import {
  claimsOf,
  claimsPath,
  claimsStanding,
  type InterruptOutcome,
  interrupt,
  type LedgerContext,
  tasksOfClaim,
  workersPath,
} from '../ledger/index.js';

type Standing = { readonly ref: ClaimRef; readonly ids: readonly TaskId[] };
type Gone = Standing & { readonly since: MonotonicMs };

export class ClaimsMonitor {
  readonly #ctx: LedgerContext;
  readonly #graceMs: number;
  readonly #guard: () => WriteOp;
  readonly #standing = new Map<string, Standing>();
  /** By the claim's nonce. */
  readonly #gone = new Map<string, Gone>();
  /** Workers that had no claim at the last look. */
  #empty: ReadonlySet<WorkerId> = new Set();

  constructor(ctx: LedgerContext, graceMs: number, guard: () => WriteOp) {
    this.#ctx = ctx;
    this.#graceMs = graceMs;
    this.#guard = guard;
  }

  /**
   * One look: notes what is new, starts the grace of what vanished, interrupts what is past it until `signal` aborts.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  async look(signal: AbortSignal): Promise<void> {
    const { seen, empty } = await this.#list();
    for (const [path, claim] of this.#standing) {
      if (seen.has(path)) continue;
      this.#standing.delete(path);
      this.#noteGone(claim);
    }
    await Promise.all(
      [...seen].filter(([path]) => !this.#standing.has(path)).map(([path, ref]) => this.#learn(path, ref)),
    );
    await this.#interruptDue(signal);
    await this.#sweep(empty);
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

  async #list(): Promise<{ readonly seen: Map<string, ClaimRef>; readonly empty: readonly WorkerId[] }> {
    const workers = ((await this.#ctx.session.children(claimsPath)) ?? []) as WorkerId[];
    const lists = await Promise.all(workers.map((worker) => claimsStanding(this.#ctx, worker)));
    return {
      seen: new Map(lists.flat().map(({ path, ref }) => [path, ref])),
      empty: workers.filter((_, i) => lists[i]?.length === 0),
    };
  }

  async #learn(path: string, ref: ClaimRef): Promise<void> {
    const ids = await tasksOfClaim(this.#ctx, path);
    if (ids !== null) this.#standing.set(path, { ref, ids });
  }

  async #interruptDue(signal: AbortSignal): Promise<void> {
    const now = this.#ctx.runtime.clock.monotonic();
    const due = [...this.#gone.values()].filter(({ since }) => now - since >= this.#graceMs);
    for (const gone of due) {
      if (signal.aborted) return;
      const { ref, ids } = gone;
      const outcomes = await Promise.all(ids.map((id) => this.#interrupt(id, ref)));
      const interrupted = ids.filter((_, i) => outcomes[i] === 'interrupted');
      if (interrupted.length > 0) {
        this.#ctx.runtime.log.warn(
          { worker: ref.worker, tasks: interrupted },
          'claim gone past its grace: interrupted',
        );
      }
      const left = ids.filter((_, i) => outcomes[i] === 'unavailable');
      if (left.length > 0) this.#gone.set(ref.nonce, { ...gone, ids: left });
      else this.#gone.delete(ref.nonce);
    }
  }

  /** A record that cannot be read must not keep the others of its claim, or of other claims, from being interrupted. */
  async #interrupt(id: TaskId, ref: ClaimRef): Promise<InterruptOutcome> {
    try {
      return await interrupt(this.#ctx, id, ref, this.#guard());
    } catch (error) {
      this.#ctx.runtime.log.error(
        { err: error, task: id },
        'a task whose claim is gone cannot be interrupted',
      );
      return 'movedOn';
    }
  }

  /** What a worker that died leaves under /claims. One that lives and has not announced itself yet makes it again. */
  async #sweep(empty: readonly WorkerId[]): Promise<void> {
    const again = empty.filter((worker) => this.#empty.has(worker));
    this.#empty = new Set(empty);
    if (again.length === 0) return;
    const alive = new Set(await this.#ctx.session.children(workersPath));
    const dead = again.filter((worker) => !alive.has(worker));
    await Promise.all(
      dead.map((worker) =>
        this.#ctx.commits.commit([this.#guard(), { kind: 'delete', path: claimsOf(worker), version: null }], {
          lane: 'write',
        }),
      ),
    );
  }
}
