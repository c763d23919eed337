// claim.ts: who may run a task now. Owns claim znodes and how a worker takes, readopts and drops them; outcomes of
// attempts belong to move.ts. One transaction makes the claim and moves its records: the claim is the durable intent (P1).

import { ensureTree, type SessionId, type WriteOp, type WriteOutcome } from '../coordination/index.js';
import {
  type ClaimRef,
  encodeRecord,
  type Held,
  limits,
  type Nonce,
  type RecordEvent,
  type TaskId,
  transition,
  type WorkerId,
} from '../domain/index.js';
import { type LedgerContext, readAllHeld } from './context.js';
import { again, drive } from './drive.js';
import { claimOfName, claimPrefix, claimsOf, recordPath } from './paths.js';

export type Claim = { readonly ref: ClaimRef; readonly path: string; readonly session: SessionId };

/** A record and the event (`claimed` or `readopted`) by which it is to be put under the claim. */
export type Candidate = { readonly held: Held; readonly event: (claim: ClaimRef) => RecordEvent };

export type ClaimOutcome = {
  /** Null when nothing was won. */
  readonly claim: Claim | null;
  /** As they stand under the claim; `version` is the fence. */
  readonly won: readonly Held[];
  /** Moved on, or not claimable as read. */
  readonly lost: readonly TaskId[];
  /** Not tried to the end (ZooKeeper being away), or more than one transaction carries: still to be taken, as far as is known. */
  readonly untried: readonly TaskId[];
  /** The reply was lost and could not be read back: not to be run (P3). `ref` names what may yet turn up in the ledger. */
  readonly unknown: { readonly ref: ClaimRef; readonly ids: readonly TaskId[] } | null;
};

type Won = { readonly claim: Claim; readonly won: readonly Held[] };
type Found = Won & { readonly left: readonly Held[] };
type Try = {
  readonly ref: ClaimRef;
  readonly session: SessionId;
  /** As they stand if the transaction was applied. */
  readonly moved: readonly Held[];
  /** Claimable, and too many bytes for one transaction. */
  readonly over: readonly Held[];
  readonly outcome: WriteOutcome;
};

/** Each refusal for what a record is drops that record at least, so that this ends; it may move back in between. */
const triesMax = 8;

export type ClaimOptions = {
  /** Likely to be refused: not to share a multi with others. */
  readonly alone: boolean;
  /** Holds the claims whose reply was lost while they are read back: nobody may take them for left behind. */
  readonly doubted: Set<Nonce>;
  /** The session in which the candidates were read, when it may have changed since: versions count in it alone (move.ts). */
  readonly readIn?: SessionId | null;
};

/** Takes what can be taken of `candidates` (1–100) with one claim of `worker`. */
export async function takeClaim(
  ctx: LedgerContext,
  worker: WorkerId,
  candidates: readonly Candidate[],
  options: ClaimOptions,
): Promise<ClaimOutcome> {
  const readIn = options.readIn ?? ctx.session.sessionId;
  let left = candidates;
  for (let n = 1; n <= triesMax; n += 1) {
    const attempt = await tryClaim(ctx, worker, left, readIn, options.alone || n > 1);
    if (attempt === null) return concluded(candidates, {});
    const { outcome, ref, moved, over } = attempt;
    switch (outcome.kind) {
      case 'applied':
        ctx.note(moved);
        return concluded(candidates, { taken: claimed(attempt, outcome), untried: over });
      case 'notSent':
        return concluded(candidates, { untried: [...moved, ...over] });
      case 'unknown': {
        options.doubted.add(ref.nonce);
        const found = await readBack(ctx, attempt).finally(() => options.doubted.delete(ref.nonce));
        if (found === null) return concluded(candidates, { doubtful: attempt, untried: over });
        ctx.note(found.won);
        return concluded(candidates, { taken: found, untried: [...found.left, ...over] });
      }
      case 'refused':
        if (outcome.code === 'OTHER') {
          ctx.runtime.log.warn({ code: outcome.detail, tasks: moved.length }, 'ZooKeeper takes no claim');
          return concluded(candidates, { untried: [...moved, ...over] });
        }
        if (outcome.index === 0) await ensureTree(ctx.session, [claimsOf(ref.worker)]);
        left = await fresh(
          ctx,
          left.filter(({ held }) => [...moved, ...over].some(({ record }) => record.id === held.record.id)),
        );
    }
  }
  return concluded(candidates, { untried: left.map(({ held }) => held) });
}

async function tryClaim(
  ctx: LedgerContext,
  worker: WorkerId,
  candidates: readonly Candidate[],
  session: SessionId | null,
  alone: boolean,
): Promise<Try | null> {
  const ref: ClaimRef = { worker, nonce: ctx.runtime.random.nonce() };
  const claimable = candidates.flatMap(({ held, event }) => {
    const next = transition(held.record, event(ref));
    return next.kind === 'moved' ? [{ record: next.record, version: held.version + 1 }] : [];
  });
  if (session === null || claimable.length === 0) return null;
  const { sets, carried } = carriedBy(claimable);
  const moved = claimable.slice(0, carried);
  const data = Buffer.from(
    JSON.stringify({ nonce: ref.nonce, session, tasks: moved.map(({ record }) => record.id) }),
  );
  const create = { kind: 'create', path: claimPrefix(ref), data, mode: 'ephemeral-sequential' } as const;
  const outcome = await ctx.commits.commit([create, ...sets], { lane: 'claim', session, alone });
  return { ref, session, moved, over: claimable.slice(carried), outcome };
}

/** The writes of the first of `moved`, as many as one transaction carries; one record always fits (limits.ts). */
function carriedBy(moved: readonly Held[]): { readonly sets: WriteOp[]; readonly carried: number } {
  const sets: WriteOp[] = [];
  let bytes = 0;
  for (const { record, version } of moved) {
    const data = encodeRecord(record);
    bytes += data.length;
    if (sets.length > 0 && bytes > limits.multiBytesMax - limits.claimBytesMax) break;
    sets.push({ kind: 'set', path: recordPath(record.id), data, version: version - 1 });
  }
  return { sets, carried: sets.length };
}

function claimed({ ref, session, moved }: Try, outcome: Extract<WriteOutcome, { kind: 'applied' }>): Won {
  const [created] = outcome.results;
  if (created?.kind !== 'created') throw new Error('a multi with a create answered without its path');
  return { claim: { ref, session, path: created.path }, won: moved };
}

/**
 * After a lost reply: the records tell, read in the same session, whose reads see its own writes (P3). `left`: those that
 * stand as they did, the transaction not having been applied.
 */
async function readBack(ctx: LedgerContext, { ref, session, moved }: Try): Promise<Found | null> {
  return drive<Found | null>(ctx.runtime, { deadlineMs: ctx.session.timeoutMs }, async () => {
    if (ctx.session.sessionId !== session || ctx.session.state === 'lost') return null;
    await ctx.session.sync();
    const found = await readAllHeld(
      ctx,
      moved.map(({ record }) => record.id),
    );
    const won = found.filter((held): held is Held => held !== null && isUnder(held, ref));
    const left = moved.filter(({ version }, i) => found[i]?.version === version - 1);
    const path = await claimPath(ctx, ref);
    if (ctx.session.sessionId !== session) return null;
    if (won.length > 0 && path === null) return again;
    return { claim: { ref, session, path: path ?? '' }, won, left };
  });
}

function isUnder({ record }: Held, ref: ClaimRef): boolean {
  return record.state === 'running' && record.claim?.nonce === ref.nonce;
}

async function claimPath(ctx: LedgerContext, ref: ClaimRef): Promise<string | null> {
  const [standing = []] = await claimsStanding(ctx, [ref.worker]);
  return standing.find((claim) => claim.ref.nonce === ref.nonce)?.path ?? null;
}

async function fresh(ctx: LedgerContext, candidates: readonly Candidate[]): Promise<Candidate[]> {
  const found = await readAllHeld(
    ctx,
    candidates.map(({ held }) => held.record.id),
  );
  return candidates.flatMap(({ event }, i) => {
    const held = found[i];
    return held === null || held === undefined ? [] : [{ held, event }];
  });
}

type Ending = { readonly taken?: Won; readonly untried?: readonly Held[]; readonly doubtful?: Try };

function concluded(
  candidates: readonly Candidate[],
  { taken, untried = [], doubtful }: Ending,
): ClaimOutcome {
  const won = taken?.won ?? [];
  const notLost = new Set([...won, ...untried, ...(doubtful?.moved ?? [])].map(({ record }) => record.id));
  return {
    claim: won.length > 0 ? (taken?.claim ?? null) : null,
    won,
    lost: candidates.map(({ held }) => held.record.id).filter((id) => !notLost.has(id)),
    untried: untried.map(({ record }) => record.id),
    unknown:
      doubtful === undefined
        ? null
        : { ref: doubtful.ref, ids: doubtful.moved.map(({ record }) => record.id) },
  };
}

/** Deletes a claim until that is confirmed (P10), or until `signal` aborts; a claim that is gone is deleted. */
export async function dropClaim(ctx: LedgerContext, path: string, signal: AbortSignal): Promise<void> {
  await drive(ctx.runtime, { signal }, async () => {
    const written = await ctx.commits.commit([{ kind: 'delete', path, version: null }], { lane: 'write' });
    return written.kind === 'applied' || written.kind === 'refused' ? true : again;
  });
}

export type StandingClaim = { readonly ref: ClaimRef; readonly path: string };

/** The claims of each of `workers` that stand in the tree now. */
export async function claimsStanding(
  ctx: LedgerContext,
  workers: readonly WorkerId[],
): Promise<StandingClaim[][]> {
  const lists = await ctx.session.childrenOfAll(workers.map(claimsOf));
  return workers.map((worker, i) =>
    (lists[i] ?? []).flatMap((name) => {
      const ref = claimOfName(worker, name);
      return ref === null ? [] : [{ ref, path: `${claimsOf(worker)}/${name}` }];
    }),
  );
}

/** The tasks that each claim names; null when it is gone. None when it is no claim of ours: a sweep finds what it may cover. */
export async function tasksOfClaims(
  ctx: LedgerContext,
  paths: readonly string[],
): Promise<(TaskId[] | null)[]> {
  const nodes = await ctx.session.readAll(paths);
  return nodes.map((node, i) => {
    if (node === null) return null;
    try {
      return (JSON.parse(node.data.toString()) as { tasks: TaskId[] }).tasks ?? [];
    } catch (error) {
      ctx.runtime.log.error({ err: error, path: paths[i] }, 'a claim cannot be read');
      return [];
    }
  });
}
