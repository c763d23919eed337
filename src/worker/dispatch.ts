// dispatch.ts: from a delivery to claimed tasks. A delivery decides nothing (P6): the records are read, and what is not
// to be run here and now is dropped or put off; dropped never upon the word of a server that may lag behind. Claims only
// what has a free slot to start in.

import {
  type EpochMs,
  type Held,
  hintOf,
  type Name,
  type Policy,
  type PolicyOverride,
  resolvePolicy,
  type TaskId,
  type WorkerId,
} from '../domain/index.js';
import {
  type Candidate,
  type ClaimOptions,
  type ClaimOutcome,
  type LedgerContext,
  readAllSurely,
  takeClaim,
  wantsVerification,
} from '../ledger/index.js';
import type { Breaker } from './breaker.js';
import type { TaskType } from './task-type.js';

/** When a task came to a worker that has no handler for its type, somebody else gets it after this long. */
const unknownTypeDelayMs = 5_000;

/** What a worker can do, as the dispatch needs to know it. */
export type Skill = {
  readonly type: TaskType;
  readonly breaker: Breaker;
  /** Of its tasks that wish for nothing of their own. */
  readonly policy: Policy;
};
export type Skills = ReadonlyMap<Name, Skill>;

type Verdict =
  | { readonly kind: 'claim'; readonly skill: Skill }
  | { readonly kind: 'verify' }
  | { readonly kind: 'putOff'; readonly untilMs: number; readonly why: 'notDue' | 'breaker' | 'unknownType' }
  | { readonly kind: 'drop'; readonly why: 'unknown' | 'held' | 'settled' };

/** Why a delivered task was not claimed here and now (P6); `lost`: others were quicker. */
export type NotClaimed = (Verdict & { readonly why: string })['why'] | 'lost';

export type Dispatched = {
  readonly outcome: ClaimOutcome;
  readonly toVerify: readonly Held[];
  readonly notClaimed: ReadonlyMap<NotClaimed, number>;
};

/** Reads the tasks of a delivery and claims those to be run now; puts the others off, or drops them. */
export async function dispatch(
  ctx: LedgerContext,
  worker: WorkerId,
  skills: Skills,
  ids: readonly TaskId[],
  options: ClaimOptions,
): Promise<Dispatched> {
  const now = ctx.runtime.clock.now();
  const readIn = ctx.session.sessionId;
  const found = await readAllSurely(ctx, ids);
  const admitted = new Map<Name, number>();
  const candidates: Candidate[] = [];
  const toVerify: Held[] = [];
  const notClaimed = new Map<NotClaimed, number>();
  const count = (why: NotClaimed, tasks = 1): unknown =>
    notClaimed.set(why, (notClaimed.get(why) ?? 0) + tasks);
  for (const held of found) {
    const verdict =
      held === null ? ({ kind: 'drop', why: 'unknown' } as const) : judge(held, skills, admitted, now);
    if ('why' in verdict) count(verdict.why);
    if (held === null) continue;
    if (verdict.kind === 'claim') candidates.push(candidate(held, verdict.skill, now));
    if (verdict.kind === 'verify') toVerify.push(held);
    if (verdict.kind === 'putOff') {
      ctx.deliver([{ ...hintOf(held.record), notBefore: (now + verdict.untilMs) as EpochMs }]);
    }
  }
  const outcome = await takeClaim(ctx, worker, candidates, { ...options, readIn });
  if (outcome.lost.length > 0) count('lost', outcome.lost.length);
  return { outcome, toVerify, notClaimed };
}

function judge({ record }: Held, skills: Skills, admitted: Map<Name, number>, now: EpochMs): Verdict {
  const skill = skills.get(record.type);
  const verifiable = wantsVerification(record);
  if (record.state === 'running') return { kind: 'drop', why: 'held' };
  if (record.state !== 'waiting' && !verifiable) return { kind: 'drop', why: 'settled' };
  if (skill === undefined || (verifiable && skill.type.verify === null)) {
    return { kind: 'putOff', untilMs: unknownTypeDelayMs, why: 'unknownType' };
  }
  const dueInMs = (record.notBefore ?? 0) - now;
  if (dueInMs > 0) return { kind: 'putOff', untilMs: dueInMs, why: 'notDue' };
  if (verifiable) return { kind: 'verify' };
  const already = admitted.get(record.type) ?? 0;
  if (already >= skill.breaker.admits()) {
    return { kind: 'putOff', untilMs: skill.breaker.retryInMs(), why: 'breaker' };
  }
  admitted.set(record.type, already + 1);
  return { kind: 'claim', skill };
}

function candidate(held: Held, { type, policy }: Skill, at: EpochMs): Candidate {
  const { wishes } = held.record;
  const own = wishes === undefined ? policy : policyOf(type, wishes);
  return { held, event: (claim) => ({ kind: 'claimed', at, nonce: claim.nonce, claim, policy: own }) };
}

/** A submission may wish for a hook that its type does not have: nobody could verify. */
export function policyOf(type: TaskType, wishes: PolicyOverride | null): Policy {
  const policy = resolvePolicy(type.policy, wishes);
  const isUnverifiable = policy.onInterrupted === 'verify' && type.verify === null;
  return isUnverifiable ? { ...policy, onInterrupted: 'park' } : policy;
}
