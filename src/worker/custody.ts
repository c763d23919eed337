// custody.ts: what a worker must put right about its own claims. Owns readopting after a new session (P5), and the audit
// that finds claims of its own which nothing here runs under: made by a write whose reply was lost (P3), or not deleted
// by one (P10).

import type { SessionId } from '../coordination/index.js';
import {
  ClaimkeeperError,
  type ClaimRef,
  limits,
  type Nonce,
  type TaskId,
  type WorkerId,
} from '../domain/index.js';
import {
  again,
  claimsStanding,
  drive,
  dropClaim,
  hintAt,
  type LedgerContext,
  move,
  readAllHeld,
  type StandingClaim,
  takeClaim,
} from '../ledger/index.js';
import { Hold } from './hold.js';
import type { Run } from './run.js';

export type CustodyEvents = {
  /** See ClaimOptions. */
  readonly doubted: Set<Nonce>;
  readonly readopted: (tasks: number, session: SessionId) => void;
  readonly lost: (run: Run) => void;
};

/**
 * Puts the runs whose claim belongs to an earlier session under new claims of this one, where the ledger still says that
 * they are theirs; tells those that others moved on to stop. Goes on until every one is settled, or the session changes.
 */
export async function readopt(
  ctx: LedgerContext,
  worker: WorkerId,
  runs: () => readonly Run[],
  events: CustodyEvents,
): Promise<void> {
  const session = ctx.session.sessionId;
  await drive(ctx.runtime, { deadlineMs: Number.POSITIVE_INFINITY }, async () => {
    if (ctx.session.sessionId !== session || ctx.session.state === 'closed') return true;
    const orphans = runs().filter((run) => run.isOwed && run.hold.claim.session !== session);
    for (let from = 0; from < orphans.length; from += limits.envelopeTasksMax) {
      await readoptSome(ctx, worker, orphans.slice(from, from + limits.envelopeTasksMax), events);
    }
    return orphans.some((run) => run.isOwed && run.hold.claim.session !== session) ? again : true;
  });
}

async function readoptSome(
  ctx: LedgerContext,
  worker: WorkerId,
  runs: readonly Run[],
  events: CustodyEvents,
): Promise<void> {
  // Read anew: what was read in the session before may be another task of the same id by now (move.ts).
  const readIn = ctx.session.sessionId;
  const found = await readAllHeld(
    ctx,
    runs.map(({ held }) => held.record.id),
  );
  const candidates = runs.flatMap((run, i) => {
    const { nonce } = run.held.record;
    const held = found[i];
    if (held === null || held === undefined || held.record.nonce !== nonce) return [];
    return [{ held, event: (claim: ClaimRef) => ({ kind: 'readopted', nonce, claim }) as const }];
  });
  const { claim, won, untried, unknown } = await takeClaim(ctx, worker, candidates, {
    alone: false,
    doubted: events.doubted,
    readIn,
  });
  const open = new Set([...untried, ...(unknown?.ids ?? [])]);
  const hold =
    claim === null
      ? null
      : new Hold(
          claim,
          won.map(({ record }) => record.id),
        );
  for (const run of runs) {
    const held = won.find(({ record }) => record.id === run.held.record.id);
    if (held !== undefined && hold !== null) run.readopted(held, hold);
    else if (!open.has(run.held.record.id)) await disown(ctx, run, events);
  }
  if (claim !== null) events.readopted(won.length, claim.session);
}

/** The ledger no longer says `running` for it. An uncertain record still takes this attempt's own evidence; any other does not. */
async function disown(ctx: LedgerContext, run: Run, events: CustodyEvents): Promise<void> {
  const { id, nonce } = run.held.record;
  const [now] = await readAllHeld(ctx, [id]);
  run.disowned();
  if (now?.record.nonce === nonce && now.record.state === 'uncertain') return;
  run.abort(
    new ClaimkeeperError('LEASE_LOST', `task ${id} was moved on by others while the session was lost`),
  );
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
   * Gives back the tasks of `strays`, and deletes claims under which nothing runs. `isHeld`: whether a claim is one this
   * worker works under.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  async run(strays: Strays, isHeld: (claim: StandingClaim) => boolean, signal: AbortSignal): Promise<void> {
    await this.giveBack(strays, signal);
    const [standing = []] = await claimsStanding(this.#ctx, [this.#worker]);
    const unheld = standing.filter((claim) => !isHeld(claim));
    for (const { path } of unheld) if (this.#suspects.has(path)) await dropClaim(this.#ctx, path, signal);
    this.#suspects = new Set(unheld.map(({ path }) => path));
  }

  /** Those tasks of `strays` that the ledger says are ours. */
  async giveBack(strays: Strays, signal: AbortSignal): Promise<void> {
    const forgetAfterMs = 2 * this.#ctx.session.timeoutMs;
    for (const [nonce, { ids, since }] of strays) {
      if (signal.aborted) return;
      const known = await Promise.all(ids.map((id) => this.#giveBack(id, nonce)));
      const isOld = this.#ctx.runtime.clock.monotonic() - since > forgetAfterMs;
      if (isOld && known.every(Boolean)) strays.delete(nonce);
    }
  }

  /** Safe for a stray alone: no handler ever started under its nonce. False: ZooKeeper did not say what became of it. */
  async #giveBack(id: TaskId, nonce: Nonce): Promise<boolean> {
    const at = this.#ctx.runtime.clock.now();
    const event = { kind: 'released', at, nonce, notBefore: null } as const;
    const until = { deadlineMs: this.#ctx.session.timeoutMs };
    const moved = await move(this.#ctx, id, event, { until }).catch((error) => {
      this.#ctx.runtime.log.error({ err: error, task: id }, 'a task cannot be given back');
      return { kind: 'refused', why: 'gone', record: null } as const;
    });
    if (moved.kind === 'moved') hintAt(this.#ctx, moved.held.record);
    // The claim never was: the task waits still, and its delivery has been acknowledged.
    if (moved.kind === 'refused' && moved.record !== null) hintAt(this.#ctx, moved.record);
    return moved.kind !== 'unavailable';
  }
}
