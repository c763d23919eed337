// custody.ts: what a worker must put right about its own claims. Owns readopting after a new session (P5), and the audit
// that finds claims of its own which nothing here runs under: made by a write whose reply was lost (P3), or not deleted
// by one (P10).

import type { SessionId } from '../coordination/index.js';
import { type ClaimRef, ClaimkeeperError, type Nonce, type TaskId, type WorkerId } from '../domain/index.js';
import {
  claimsStanding,
  dropClaim,
  hintAt,
  type LedgerContext,
  move,
  readHeld,
  takeClaim,
  tasksOfClaim,
} from '../ledger/index.js';
import { Hold } from './hold.js';
import type { Run } from './run.js';

/** Tasks put under one new claim. */
const readoptedTogetherMax = 50;

export type CustodyEvents = {
  readonly readopted: (tasks: number, session: SessionId) => void;
  readonly lost: (run: Run) => void;
};

/**
 * Puts the runs whose claim belongs to an earlier session under new claims of this one, where the ledger still says that
 * they are theirs; tells those that others moved on to stop.
 */
export async function readopt(
  ctx: LedgerContext,
  worker: WorkerId,
  runs: readonly Run[],
  events: CustodyEvents,
): Promise<void> {
  const session = ctx.session.sessionId;
  const orphans = runs.filter((run) => run.isRunning && run.hold.claim.session !== session);
  for (let from = 0; from < orphans.length; from += readoptedTogetherMax) {
    await readoptSome(ctx, worker, orphans.slice(from, from + readoptedTogetherMax), events);
  }
}

async function readoptSome(
  ctx: LedgerContext,
  worker: WorkerId,
  runs: readonly Run[],
  events: CustodyEvents,
): Promise<void> {
  const candidates = runs.map(({ held }) => ({
    held,
    event: (claim: ClaimRef) => ({ kind: 'readopted', nonce: held.record.nonce, claim }) as const,
  }));
  const { claim, won } = await takeClaim(ctx, worker, candidates, { alone: false });
  const hold = claim === null ? null : new Hold(claim, won.map(({ record }) => record.id));
  for (const run of runs) {
    const held = won.find(({ record }) => record.id === run.held.record.id);
    if (held !== undefined && hold !== null) run.readopted(held, hold);
    else if (run.isRunning) await tellIfLost(ctx, run, events);
  }
  if (claim !== null) events.readopted(won.length, claim.session);
}

/** An uncertain record still takes this attempt's own evidence; one that moved on does not. */
async function tellIfLost(ctx: LedgerContext, run: Run, events: CustodyEvents): Promise<void> {
  const { id, nonce } = run.held.record;
  const now = await readHeld(ctx, id).catch(() => undefined);
  if (now === undefined || (now?.record.nonce === nonce && now.record.state !== 'waiting')) return;
  run.abort(new ClaimkeeperError('LEASE_LOST', `task ${id} was moved on by others while the session was lost`));
  events.lost(run);
}

/** Claims whose reply was lost and could not be read back, by nonce. */
export type Strays = Map<Nonce, { readonly ids: readonly TaskId[]; readonly since: number }>;

export class Audit {
  readonly #ctx: LedgerContext;
  readonly #worker: WorkerId;
  /** Seen in the last audit: a claim that is just being made is not yet known here, and is no stray. */
  #suspects = new Set<string>();

  constructor(ctx: LedgerContext, worker: WorkerId) {
    this.#ctx = ctx;
    this.#worker = worker;
  }

  /**
   * Gives back the tasks of `strays` that the ledger says are ours (their handlers never started), and deletes claims under
   * which nothing runs. `isHeld`: whether a claim is one this worker works under.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  async run(strays: Strays, isHeld: (path: string) => boolean, signal: AbortSignal): Promise<void> {
    const forgetAfterMs = 2 * this.#ctx.session.timeoutMs;
    for (const [nonce, { ids, since }] of strays) {
      for (const id of ids) await this.#giveBack(id, nonce);
      if (this.#ctx.runtime.clock.monotonic() - since > forgetAfterMs) strays.delete(nonce);
    }
    const unknown = (await claimsStanding(this.#ctx, this.#worker)).filter(({ path }) => !isHeld(path));
    for (const { ref, path } of unknown) {
      if (!this.#suspects.has(path) && !strays.has(ref.nonce)) continue;
      for (const id of (await tasksOfClaim(this.#ctx, path)) ?? []) await this.#giveBack(id, ref.nonce);
      if (!isHeld(path)) await dropClaim(this.#ctx, path, signal);
    }
    this.#suspects = new Set(unknown.map(({ path }) => path));
  }

  /** Only an attempt that never started still has its claim's nonce for its own: see `claimed` in dispatch.ts. */
  async #giveBack(id: TaskId, nonce: Nonce): Promise<void> {
    const at = this.#ctx.runtime.clock.now();
    const event = { kind: 'released', at, nonce, notBefore: null } as const;
    const moved = await move(this.#ctx, id, event, { until: { deadlineMs: this.#ctx.session.timeoutMs } });
    if (moved.kind === 'moved') hintAt(this.#ctx, moved.held.record);
  }
}
