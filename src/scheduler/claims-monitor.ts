// claims-monitor.ts: which claims stand, and which are gone. Owns the grace of exactly those tasks whose claim vanished;
// the table decides what becomes of them (P4).
//
// It looks at /claims at a pace well below the session timeout: a claim of a worker that dies stands for at least the
// session timeout, so that it was seen before it goes. Claims that came and went between two looks ended well.
//
// Every scheduler looks, and only the leader acts: whoever is elected next knows of the claims that went while nobody led.
// A claim counts as gone only within the session in which it was seen to stand: another session's server may lag behind. One
// that stands again, as after a restore, is not gone.

import type { SessionId, WriteOp } from '../coordination/index.js';
import type { ClaimRef, Held, MonotonicMs, TaskId, TaskRecord, WorkerId } from '../domain/index.js';
import {
  claimsOf,
  claimsPath,
  claimsStanding,
  interrupt,
  type LedgerContext,
  readAllHeld,
  type StandingClaim,
  tasksOfClaims,
  workersPath,
} from '../ledger/index.js';

type Standing = { readonly ref: ClaimRef; readonly ids: readonly TaskId[] };
type Gone = Standing & { readonly since: MonotonicMs };
type Read = { readonly held: Held; readonly readIn: SessionId | null };
type Records = ReadonlyMap<TaskId, Read>;

/** Claims whose tasks are interrupted together: many may die with one worker, and each may name a hundred tasks. */
const claimsAtOnce = 8;
/** Session timeouts that may pass between a leader's death and the next one's first act, with room to spare. */
const sessionsKept = 3;

export class ClaimsMonitor {
  readonly #ctx: LedgerContext;
  readonly #graceMs: number;
  #session: SessionId | null = null;
  readonly #standing = new Map<string, Standing>();
  /** By the claim's nonce. */
  readonly #gone = new Map<string, Gone>();
  /** Who has claims, or had some; null: to be read. A watch tells when it changes. */
  #workers: readonly WorkerId[] | null = null;
  #watchesFleet = false;
  /** Workers that had no claim at the last look, and those that had none at the last two. */
  #empty: ReadonlySet<WorkerId> = new Set();
  #longEmpty: readonly WorkerId[] = [];

  constructor(ctx: LedgerContext, graceMs: number) {
    this.#ctx = ctx;
    this.#graceMs = graceMs;
  }

  /**
   * Notes what is new, and starts the grace of what vanished. `onFleet` is called when a worker comes or goes after it: the
   * claims of one that dies go with its membership.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  async look(onFleet?: () => void): Promise<void> {
    const { sessionId } = this.#ctx.session;
    if (sessionId !== this.#session) {
      this.#standing.clear();
      this.#workers = null;
    }
    this.#session = sessionId;
    if (onFleet !== undefined) await this.#watchFleet(onFleet);
    const { seen, empty } = await this.#list();
    if (this.#ctx.session.sessionId !== sessionId) return; // Seen by two sessions, and so by neither.
    for (const { ref } of seen.values()) this.#gone.delete(ref.nonce);
    for (const [path, claim] of this.#standing) {
      if (seen.has(path)) continue;
      this.#standing.delete(path);
      this.#noteGone(claim);
    }
    await this.#learn([...seen.values()].filter(({ path }) => !this.#standing.has(path)));
    this.#longEmpty = empty.filter((worker) => this.#empty.has(worker));
    this.#empty = new Set(empty);
  }

  /**
   * The leader's part: interrupts what is past its grace, until `signal` aborts, and sweeps after workers that died. `guard`:
   * its term's (P8).
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  async act(guard: () => WriteOp, signal: AbortSignal): Promise<void> {
    await this.#interruptDue(guard, signal);
    await this.#sweep(guard);
  }

  /** What the leader must have dealt with is forgotten by those who do not lead; a pass over the ledger finds the rest. */
  forget(): void {
    const { runtime, session } = this.#ctx;
    const keptMs = this.#graceMs + sessionsKept * session.timeoutMs;
    for (const [nonce, { since }] of this.#gone) {
      if (runtime.clock.monotonic() - since > keptMs) this.#gone.delete(nonce);
    }
  }

  /**
   * In ms, until the next grace is over of a claim whose worker has no other, and may have died; `Infinity`: none runs. Of a
   * worker that has others, claims go as they end well: were each of them a reason to look sooner, every look would find more.
   */
  dueInMs(): number {
    const now = this.#ctx.runtime.clock.monotonic();
    const alive = new Set([...this.#standing.values()].map(({ ref }) => ref.worker));
    const urgent = [...this.#gone.values()].filter(({ ref }) => !alive.has(ref.worker));
    return Math.min(...urgent.map(({ since }) => since + this.#graceMs - now));
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

  /** At most one watch stands: it is told of one change, or of the session's loss. */
  async #watchFleet(onFleet: () => void): Promise<void> {
    if (this.#watchesFleet) return;
    this.#watchesFleet = true;
    const changed = (): void => {
      this.#watchesFleet = false;
      onFleet();
    };
    try {
      if ((await this.#ctx.session.children(workersPath, changed)) === null) this.#watchesFleet = false;
    } catch (error) {
      this.#watchesFleet = false;
      throw error;
    }
  }

  async #list(): Promise<{
    readonly seen: ReadonlyMap<string, StandingClaim>;
    readonly empty: readonly WorkerId[];
  }> {
    const workers = this.#workers ?? (await this.#listWorkers());
    const lists = await claimsStanding(this.#ctx, workers);
    return {
      seen: new Map(lists.flat().map((claim) => [claim.path, claim])),
      empty: workers.filter((_, i) => lists[i]?.length === 0),
    };
  }

  async #listWorkers(): Promise<readonly WorkerId[]> {
    let changed = false;
    const names = await this.#ctx.session.children(claimsPath, () => {
      changed = true;
      this.#workers = null;
    });
    const workers = (names ?? []) as WorkerId[];
    if (names !== null && !changed) this.#workers = workers;
    return workers;
  }

  async #learn(claims: readonly StandingClaim[]): Promise<void> {
    const tasks = await tasksOfClaims(
      this.#ctx,
      claims.map(({ path }) => path),
    );
    claims.forEach(({ path, ref }, i) => {
      const ids = tasks[i] ?? null;
      if (ids !== null) this.#standing.set(path, { ref, ids });
    });
  }

  async #interruptDue(guard: () => WriteOp, signal: AbortSignal): Promise<void> {
    const now = this.#ctx.runtime.clock.monotonic();
    const due = [...this.#gone.values()].filter(({ since }) => now - since >= this.#graceMs);
    for (let from = 0; from < due.length && !signal.aborted; from += claimsAtOnce) {
      const some = due.slice(from, from + claimsAtOnce);
      const records = await this.#read(some.flatMap(({ ids }) => ids));
      await Promise.all(some.map((gone) => this.#interruptAll(gone, records, guard)));
    }
  }

  /** Together: most claims that go have ended well, and their tasks are over. One that is not there was retired since. */
  async #read(ids: readonly TaskId[]): Promise<Records> {
    const readIn = this.#ctx.session.sessionId;
    const found = await readAllHeld(this.#ctx, ids);
    return new Map(
      found.flatMap((held): [TaskId, Read][] => (held === null ? [] : [[held.record.id, { held, readIn }]])),
    );
  }

  async #interruptAll(gone: Gone, records: Records, guard: () => WriteOp): Promise<void> {
    const { ref, ids } = gone;
    const outcomes = await Promise.all(
      ids.map((id) => {
        const read = records.get(id);
        return read === undefined ? 'movedOn' : interrupt(this.#ctx, id, ref, guard(), read);
      }),
    );
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

  /** What a worker that died leaves under /claims. One that lives and has not announced itself yet makes it again. */
  async #sweep(guard: () => WriteOp): Promise<void> {
    if (this.#longEmpty.length === 0) return;
    const alive = new Set(await this.#ctx.session.children(workersPath));
    const dead = this.#longEmpty.filter((worker) => !alive.has(worker));
    await Promise.all(
      dead.map((worker) =>
        this.#ctx.commits.commit([guard(), { kind: 'delete', path: claimsOf(worker), version: null }], {
          lane: 'write',
        }),
      ),
    );
  }
}
