// invariants.ts: what must be true of every story. Pure: a story in, what was checked and what was violated out. The record's
// moves are judged twice: by the product's table, and by what must have been true around each (who, when, under which claim).

import { isDeepStrictEqual } from 'node:util';
import {
  type EpochMs,
  nextTicks,
  type RecordEvent,
  type ScheduleContent,
  type State,
  type TaskId,
  type TaskRecord,
  table,
} from '../../src/domain/index.js';
import type { Change, Effect, Start, Story } from './story.js';

type Kind = RecordEvent['kind'] | 'accepted' | 'retired';
type Check = (story: Story, tally: Tally) => void;

export const invariants = {
  'I1 an acknowledged task ends, and its end is known': ended,
  'I2 no more effects than attempts that were allowed': noUnwantedEffect,
  'I3 an effect belongs to an attempt that was durable, and to no other effect': durableFirst,
  'I4 another attempt has its grounds': hasGrounds,
  'I5 completed means that there was an effect': completedHasEffect,
  'I5 recorded as not executed means that there was none': notExecutedHasNone,
  'I6 an effect is in the record': effectIsRecorded,
  'I6 an effect whose end nobody recorded is uncertain': unknownIsUncertain,
  'I7 fences grow': fencesGrow,
  'I7 a receiver that compares takes no lower fence after a higher': comparesFences,
  'I8 a record moves by the table, by whom may move it': movesByTable,
  'I9 one id, one content': oneBody,
  'I10 one task per schedule and tick': onePerTick,
  'I12 all is over in time once everything is mended': settles,
  'I13 trust in a session ends before the session': leaseEndsFirst,
  'P1 a handler starts under a claim that stands': startsUnderClaim,
  'P1 a handler starts after its attempt is durable': startsDurably,
  'uncertain only after a fault': uncertainForReason,
  'nothing is left over': nothingLeft,
  'what the ledger says at the end is what was written': ledgerIsLog,
} as const satisfies Record<string, Check>;

export type InvariantName = keyof typeof invariants;

export type Finding = {
  readonly name: InvariantName;
  /** How often it was asked, whatever the answer. */
  readonly checked: number;
  /** How often it would have been, had the story what it takes. */
  readonly notChecked: number;
  readonly violated: readonly string[];
};

class Tally {
  checked = 0;
  notChecked = 0;
  readonly violated: string[] = [];

  /** `what` says what is wrong when `holds` is not true; null: it was not observed. */
  check(holds: boolean | null, what: () => string): void {
    if (holds === null) this.notChecked += 1;
    else this.checked += 1;
    if (holds === false) this.violated.push(what());
  }

  /** The story lacks what it takes, altogether. */
  skip(): void {
    this.notChecked += 1;
  }
}

export function findings(story: Story): Finding[] {
  return Object.entries(invariants).map(([name, check]) => {
    const tally = new Tally();
    check(story, tally);
    const { checked, notChecked, violated } = tally;
    return { name: name as InvariantName, checked, notChecked, violated };
  });
}

export function violations(story: Story): string[] {
  return findings(story).flatMap(({ name, violated }) => violated.map((what) => `${name}: ${what}`));
}

/** What the story says of one task, in its order. */
type Tale = {
  readonly id: TaskId;
  readonly changes: Change[];
  readonly starts: Start[];
  readonly effects: Effect[];
};

const talesTold = new WeakMap<Story, ReadonlyMap<TaskId, Tale>>();

/** Sorted out once per story: a run has tens of thousands of tasks. */
function talesOf(story: Story): ReadonlyMap<TaskId, Tale> {
  const told = talesTold.get(story);
  if (told !== undefined) return told;
  const tales = new Map<TaskId, Tale>();
  const tale = (id: TaskId): Tale => {
    const found = tales.get(id) ?? { id, changes: [], starts: [], effects: [] };
    tales.set(id, found);
    return found;
  };
  for (const change of story.changes) tale(change.id).changes.push(change);
  for (const start of story.starts) tale(start.task).starts.push(start);
  for (const effect of story.effects) tale(effect.task).effects.push(effect);
  talesTold.set(story, tales);
  return tales;
}

function taleOf(id: TaskId, story: Story): Tale {
  return talesOf(story).get(id) ?? { id, changes: [], starts: [], effects: [] };
}

/** The kind of a record's move; null: there is no such move, or it was not made as it must be. */
export function kindOf(change: Change, story: Story): Kind | null {
  const { before, after } = change;
  if (before === null || after === null) {
    if (after !== null) return isNew(change, after) ? 'accepted' : null;
    return before !== null && isRetirement(change, before, story) ? 'retired' : null;
  }
  for (const [from, kind, to] of table as readonly (readonly [
    State,
    RecordEvent['kind'],
    readonly State[],
  ])[]) {
    if (from !== before.state || !to.includes(after.state)) continue;
    if (conditions[kind]({ change, before, after, story })) return kind;
  }
  return null;
}

function isNew({ version }: Change, after: TaskRecord): boolean {
  return version === 0 && after.state === 'waiting' && after.attempt === 1;
}

/** Clocks may disagree about when the window is over, and not by half of it. */
function isRetirement(change: Change, before: TaskRecord, story: Story): boolean {
  const { changes } = taleOf(change.id, story);
  const endedAt = changes[changes.indexOf(change) - 1]?.at ?? change.at;
  return change.guarded && before.finishedAt !== undefined && change.at - endedAt >= story.dedupWindowMs / 2;
}

type Move = {
  readonly change: Change;
  readonly before: TaskRecord;
  readonly after: TaskRecord;
  readonly story: Story;
};

/** What must be true of a move, beside its states. */
const conditions: Record<RecordEvent['kind'], (move: Move) => boolean> = {
  claimed: ({ change, before, after }) =>
    after.attempt === before.attempt &&
    after.nonce !== before.nonce &&
    after.claim?.worker === change.by &&
    change.claimStands,
  readopted: ({ change, before, after }) =>
    isOwn(change, before, after) &&
    after.attempt === before.attempt &&
    after.claim?.nonce !== before.claim?.nonce &&
    change.claimStands,
  released: ({ change, before, after, story }) =>
    isOwn(change, before, after) &&
    after.attempt === before.attempt &&
    !taleOf(change.id, story).starts.some((start) => nonceOf(start, story) === before.nonce),
  succeeded: ({ change, before, after }) =>
    isOwn(change, before, after) && endedAs('succeeded', before, after) && after.result !== undefined,
  attemptFailed: ({ change, before, after }) =>
    isOwn(change, before, after) && endedAs('failed', before, after) && isNext(before, after),
  abandoned: ({ change, before, after }) =>
    isOwn(change, before, after) && endedAs('unsettled', before, after),
  interrupted: ({ change, before, after, story }) =>
    change.guarded &&
    change.claimGoneMs !== null &&
    change.claimGoneMs >= story.graceMs &&
    endedAs('interrupted', before, after) &&
    isNext(before, after) &&
    (after.state === 'uncertain' || before.policy?.onInterrupted === 'rerun'),
  verified: ({ before, after }) =>
    before.policy?.onInterrupted === 'verify' &&
    (after.state !== 'waiting' || (endedAs('notExecuted', before, after) && isNext(before, after))),
  replayed: ({ change, before, after }) =>
    isDesk(change) &&
    after.attempt === before.attempt + 1 &&
    (after.replays ?? 0) === (before.replays ?? 0) + 1 &&
    after.attemptBase === before.attempt,
  resolved: ({ change, after }) => isDesk(change) && after.note !== undefined,
  cancelled: ({ change, before, after }) => isDesk(change) && after.attempt === before.attempt,
  cancelRequested: ({ change, before, after }) =>
    isDesk(change) &&
    after.cancelRequested === true &&
    after.nonce === before.nonce &&
    after.claim?.nonce === before.claim?.nonce,
};

function isOwn(change: Change, before: TaskRecord, after: TaskRecord): boolean {
  return before.claim?.worker === change.by && after.nonce === before.nonce;
}

function isDesk({ by }: Change): boolean {
  return by === 'desk' || by === 'office';
}

function endedAs(outcome: string, before: TaskRecord, after: TaskRecord): boolean {
  const last = after.attempts?.at(-1);
  return last?.n === before.attempt && last.nonce === before.nonce && last.outcome === outcome;
}

function isNext(before: TaskRecord, after: TaskRecord): boolean {
  return after.attempt === (after.state === 'waiting' ? before.attempt + 1 : before.attempt);
}

// The checks.

function ended({ acknowledged, records }: Story, tally: Tally): void {
  const ends: readonly State[] = ['completed', 'failed', 'cancelled', 'uncertain'];
  for (const id of acknowledged) {
    const state = records.get(id)?.state;
    tally.check(state !== undefined && ends.includes(state), () => `${id} is ${state ?? 'lost'}`);
  }
}

function noUnwantedEffect(story: Story, tally: Tally): void {
  for (const { id, changes, effects } of talesOf(story).values()) {
    if (changes.some(({ after }) => after?.policy?.onInterrupted === 'rerun')) continue;
    const granted = effects.length < 2 ? 0 : changes.filter((change) => isGrant(change, story)).length;
    tally.check(
      effects.length <= 1 + granted,
      () => `${id} had ${effects.length} effects, ${granted} more attempts were granted`,
    );
  }
}

/** Whether it allows another effect: the attempt before had none, or failed, or an operator says so. */
function isGrant(change: Change, story: Story): boolean {
  const kind = kindOf(change, story);
  if (kind === 'verified') return change.after?.state === 'waiting';
  return kind === 'replayed' || kind === 'attemptFailed';
}

function durableFirst(story: Story, tally: Tally): void {
  const seen = new Set<string>();
  for (const effect of story.effects) {
    const name = `${effect.task} attempt ${effect.attempt}`;
    tally.check(!seen.has(name), () => `${name} had a second effect`);
    tally.check(nonceOf(effect, story) !== null, () => `${name} was not durable`);
    seen.add(name);
  }
}

/** Of the attempt that was claimed at this fence by this worker before. */
function nonceOf({ task, attempt, fence, worker, seq }: Effect | Start, story: Story): string | null {
  const claim = taleOf(task, story).changes.find(
    ({ version, after, seq: claimedSeq }) =>
      version === fence &&
      claimedSeq < seq &&
      after?.state === 'running' &&
      after.attempt === attempt &&
      after.claim?.worker === worker,
  );
  return claim?.after?.nonce ?? null;
}

/** Attempt n + 1 follows n, which failed by its own word, was found not to have happened, may be rerun, or is replayed. */
function hasGrounds(story: Story, tally: Tally): void {
  for (const { id, changes } of talesOf(story).values()) {
    let allowed = 1;
    for (const { before, after, by } of changes) {
      if (before === null || after === null) allowed = 1;
      else if (after.attempt !== before.attempt) {
        const sound = after.attempt === before.attempt + 1 && mayBeFollowed(before, after, by);
        if (sound) allowed = after.attempt;
      }
      if (after?.state !== 'running' || before?.state !== 'waiting' || after.attempt === 1) continue;
      tally.check(after.attempt <= allowed, () => `${id} attempt ${after.attempt} by ${by}`);
    }
  }
}

function mayBeFollowed(before: TaskRecord, after: TaskRecord, by: string): boolean {
  if ((after.replays ?? 0) > (before.replays ?? 0)) return by === 'desk' || by === 'office';
  const last = after.attempts?.at(-1);
  if (last?.n !== before.attempt || last.nonce !== before.nonce) return false;
  const policy = before.policy?.onInterrupted;
  switch (last.outcome) {
    case 'failed':
      return by === before.claim?.worker;
    case 'notExecuted':
      return policy === 'verify';
    case 'interrupted':
      return policy === 'rerun';
    default:
      return false;
  }
}

function completedHasEffect(story: Story, tally: Tally): void {
  for (const { id, state, note } of story.records.values()) {
    if (state !== 'completed' || note !== undefined) continue;
    tally.check(taleOf(id, story).effects.length > 0, () => `${id} is completed, and nothing was done`);
  }
}

function notExecutedHasNone(story: Story, tally: Tally): void {
  for (const { id, changes, effects } of talesOf(story).values()) {
    for (const { after } of changes) {
      const last = after?.attempts?.at(-1);
      if (last?.outcome !== 'notExecuted' || after?.state !== 'waiting') continue;
      const had = effects.some(({ attempt }) => attempt === last.n);
      tally.check(!had, () => `${id} attempt ${last.n} had its effect`);
    }
  }
}

/** Whatever became of the task, the attempt that had the effect is known. */
function effectIsRecorded(story: Story, tally: Tally): void {
  for (const { task, attempt } of story.effects) {
    const known = taleOf(task, story).changes.some(({ after }) =>
      after?.attempts?.some(({ n }) => n === attempt),
    );
    tally.check(known, () => `${task} attempt ${attempt} had its effect, and the record does not know it`);
  }
}

/** Recall: an effect of which its own worker has not said how it ended was shown as uncertain, unless it may be rerun. */
function unknownIsUncertain(story: Story, tally: Tally): void {
  for (const effect of story.effects) {
    const nonce = nonceOf(effect, story);
    if (nonce === null) continue; // Not durable: another invariant's.
    const end = taleOf(effect.task, story).changes.find(
      ({ before, after }) =>
        before?.nonce === nonce && before.state === 'running' && after?.state !== 'running',
    );
    const kind = end === undefined ? null : kindOf(end, story);
    if (kind === 'succeeded' || kind === 'attemptFailed') continue;
    if (kind === 'interrupted' && end?.before?.policy?.onInterrupted === 'rerun') continue;
    tally.check(
      end?.after?.state === 'uncertain',
      () => `${effect.task} attempt ${effect.attempt} is ${end?.after?.state ?? 'without an end'}`,
    );
  }
}

function fencesGrow(story: Story, tally: Tally): void {
  for (const { id, starts } of talesOf(story).values()) {
    const inOrder = [...starts].sort((a, b) => a.attempt - b.attempt);
    for (const [i, { attempt, fence }] of inOrder.entries()) {
      const earlier = inOrder[i - 1];
      tally.check(
        earlier === undefined || (earlier.attempt < attempt && earlier.fence < fence),
        () =>
          `${id} attempt ${attempt} has fence ${fence} after attempt ${earlier?.attempt} with ${earlier?.fence}`,
      );
    }
  }
}

function comparesFences(story: Story, tally: Tally): void {
  for (const { id, effects } of talesOf(story).values()) {
    let highest = 0;
    for (const { fence, compared } of effects) {
      if (!compared) continue;
      tally.check(fence >= highest, () => `${id} took fence ${fence} after ${highest}`);
      highest = Math.max(highest, fence);
    }
  }
}

function movesByTable(story: Story, tally: Tally): void {
  for (const { id, changes } of talesOf(story).values()) {
    for (const [i, change] of changes.entries()) {
      const { by, version, before, after } = change;
      const follows =
        before === null ? version === 0 : after === null || version === (changes[i - 1]?.version ?? -1) + 1;
      const isMove = follows && kindOf(change, story) !== null;
      tally.check(isMove, () => {
        const shown = `${id} @${version}: ${before?.state ?? 'nothing'} → ${after?.state ?? 'nothing'} by ${by}`;
        return `${shown} ${follows ? 'is no move' : 'follows no version'}`;
      });
    }
  }
}

/** Accepted submits of an id had one content; another was refused, and the same never. */
function oneBody({ submits }: Story, tally: Tally): void {
  if (submits === undefined) return tally.skip();
  const accepted = new Map<TaskId, string>();
  for (const { task, body, answer } of submits) {
    if (answer !== 'created' && answer !== 'same') continue;
    const other = accepted.get(task);
    tally.check(other === undefined || other === body, () => `${task} was accepted with two contents`);
    accepted.set(task, other ?? body);
  }
  for (const { task, body, answer } of submits) {
    if (answer === 'conflict')
      tally.check(accepted.get(task) !== body, () => `${task} conflicts with itself`);
  }
}

const tickPattern = /^(.+)@(\d{4}-\d\d-\d\dT\d\d:\d\d.*)$/;

/** However the tick is written, and also after retention took its task. */
function onePerTick(story: Story, tally: Tally): void {
  const fired = new Map<string, TaskId>();
  for (const { id, changes } of talesOf(story).values()) {
    const [, schedule, tick] = tickPattern.exec(id) ?? [];
    if (schedule === undefined || tick === undefined) continue;
    const name = `${schedule}@${Date.parse(tick)}`;
    const made = changes.filter(({ before }) => before === null).length;
    const other = fired.get(name);
    tally.check(other === undefined, () => `${id} is the tick of ${other}`);
    tally.check(made <= 1, () => `${id} was made ${made} times`);
    const definition = story.schedules?.get(schedule);
    if (definition !== undefined)
      tally.check(isTick(definition, tick), () => `${id} is no tick of ${definition.cron}`);
    fired.set(name, id);
  }
}

function isTick(definition: ScheduleContent, tick: string): boolean {
  const at = Date.parse(tick);
  return nextTicks(definition, (at - 1) as EpochMs, 1)[0] === at;
}

function settles({ settling }: Story, tally: Tally): void {
  if (settling === undefined) return tally.skip();
  const { tookMs, withinMs } = settling;
  tally.check(
    tookMs !== null && tookMs <= withinMs,
    () => `it took ${tookMs === null ? 'for ever' : `${tookMs} ms`}, ${withinMs} ms are allowed`,
  );
}

function leaseEndsFirst({ leases }: Story, tally: Tally): void {
  if (leases === undefined) return tally.skip();
  for (const { worker, session, expiredAt, distrustedAt, purePartition } of leases) {
    if (!purePartition) continue;
    tally.check(
      distrustedAt !== null && distrustedAt <= expiredAt,
      () => `${worker} trusted its session ${session} when it expired at ${expiredAt}`,
    );
  }
}

function startsUnderClaim({ starts }: Story, tally: Tally): void {
  for (const { task, attempt, worker, claimStood } of starts)
    tally.check(claimStood, () => `${task} attempt ${attempt} of ${worker}`);
}

function startsDurably(story: Story, tally: Tally): void {
  for (const start of story.starts) {
    const { task, attempt, fence, worker } = start;
    tally.check(
      nonceOf(start, story) !== null,
      () => `${task} attempt ${attempt} of ${worker} at fence ${fence}`,
    );
  }
}

/** What can part a worker from a task that it runs. */
const partings = new Set([
  'partition',
  'silent partition',
  'freeze',
  'killed',
  'retired',
  'expiry',
  'no quorum',
  'server fault',
  'clock jump',
  'latency',
  'lost replies',
]);

/** Precision: its worker was out of reach since the claim, or its handler hung, and nobody had said how it ended. */
function uncertainForReason(story: Story, tally: Tally): void {
  for (const { id, changes, starts } of talesOf(story).values()) {
    for (const { before, after, at, by } of changes) {
      if (before?.state !== 'running' || after?.state !== 'uncertain') continue;
      const worker = before.claim?.worker;
      const claimed = changes.find((other) => other.after?.nonce === before.nonce);
      const broken = story.faults.some(
        ({ kind, on, from, to }) =>
          partings.has(kind) && (on === worker || on === '*') && from <= at && to >= (claimed?.at ?? 0),
      );
      const ranMs = at - (claimed?.at ?? at);
      const hung = starts.some(
        ({ attempt, worker: own, deaf }) =>
          attempt === before.attempt &&
          own === by &&
          (deaf ?? ranMs >= (before.policy?.timeoutMs ?? Number.POSITIVE_INFINITY)),
      );
      const told = before.attempts?.some(({ nonce }) => nonce === before.nonce) ?? false;
      tally.check((broken || hung) && !told, () => `${id} attempt ${before.attempt} at ${at} by ${by}`);
    }
  }
}

function nothingLeft({ unsettled, claimsLeft, defects }: Story, tally: Tally): void {
  for (const [what, left] of Object.entries({ unsettled, claimsLeft, defects }))
    tally.check(left.length === 0, () => `${what}: ${left.join('; ')}`);
}

function ledgerIsLog({ ledger, records, changes }: Story, tally: Tally): void {
  if (ledger === undefined) return tally.skip();
  const versions = new Map(changes.map(({ id, version, after }) => [id, after === null ? null : version]));
  for (const id of new Set([...ledger.keys(), ...versions.keys()])) {
    const held = ledger.get(id);
    const version = versions.get(id) ?? null;
    const same =
      held === undefined
        ? version === null
        : held.version === version && isDeepStrictEqual(asJson(held.record), asJson(records.get(id)));
    tally.check(
      same,
      () =>
        `${id} is ${held?.record.state ?? 'gone'} @${held?.version}, and was left ${records.get(id)?.state} @${version}`,
    );
  }
}

/** Without what is not there. */
function asJson(record: TaskRecord | undefined): unknown {
  return JSON.parse(JSON.stringify(record ?? null));
}
