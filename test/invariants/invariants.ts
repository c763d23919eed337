// invariants.ts: what must be true of every story. Pure: a story in, lines that say what was violated out. The record's
// moves are judged twice: by the product's table, and by what must have been true around each (who, when, under which claim).

import { type RecordEvent, type State, type TaskId, type TaskRecord, table } from '../../src/domain/index.js';
import type { Change, Story } from './story.js';

type Kind = RecordEvent['kind'] | 'accepted' | 'retired';
type Check = (story: Story) => string[];

export const invariants = {
  'I1 an acknowledged task ends, and its end is known': ended,
  'I2 no more effects than attempts that were allowed': noUnwantedEffect,
  'I3 an effect belongs to an attempt that was durable, and to no other effect': durableFirst,
  'I5 completed means that there was an effect': completedHasEffect,
  'I6 an effect is in the record': effectIsRecorded,
  'I7 fences grow': fencesGrow,
  'I8 a record moves by the table, by whom may move it': movesByTable,
  'P1 a handler starts under a claim that stands': startsUnderClaim,
  'uncertain only after a fault': uncertainForReason,
  'nothing is left over': nothingLeft,
} as const satisfies Record<string, Check>;

export function violations(story: Story): string[] {
  return Object.entries(invariants).flatMap(([name, check]) =>
    check(story).map((what) => `${name}: ${what}`),
  );
}

/** The kind of a record's move; null: there is no such move, or it was not made as it must be. */
export function kindOf(change: Change, story: Story): Kind | null {
  const { before, after } = change;
  if (before === null || after === null) {
    if (after !== null) return isNew(change, after) ? 'accepted' : null;
    return before !== null && isRetirement(change, before, story) ? 'retired' : null;
  }
  const kinds = (table as readonly (readonly [State, RecordEvent['kind'], readonly State[]])[])
    .filter(([from, , to]) => from === before.state && to.includes(after.state))
    .map(([, kind]) => kind);
  return kinds.find((kind) => conditions[kind]({ change, before, after, story })) ?? null;
}

function isNew({ version }: Change, after: TaskRecord): boolean {
  return version === 0 && after.state === 'waiting' && after.attempt === 1;
}

function isRetirement({ guarded }: Change, before: TaskRecord, story: Story): boolean {
  return guarded && before.finishedAt !== undefined && story.dedupWindowMs <= 60_000;
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
    !story.starts.some((start) => start.seq < change.seq && nonceOf(start, story) === before.nonce),
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

function ended({ acknowledged, records }: Story): string[] {
  const ends: readonly State[] = ['completed', 'failed', 'cancelled', 'uncertain'];
  return [...acknowledged].flatMap((id) => {
    const state = records.get(id)?.state;
    return state !== undefined && ends.includes(state) ? [] : [`${id} is ${state ?? 'lost'}`];
  });
}

function noUnwantedEffect(story: Story): string[] {
  return tasksOf(story).flatMap((id) => {
    const effects = story.effects.filter(({ task }) => task === id).length;
    const changes = story.changes.filter((change) => change.id === id);
    if (changes.some(({ after }) => after?.policy?.onInterrupted === 'rerun')) return [];
    const granted = changes.filter((change) => {
      const kind = kindOf(change, story);
      if (kind === 'verified') return change.after?.state === 'waiting';
      return kind === 'replayed' || kind === 'attemptFailed';
    }).length;
    return effects <= 1 + granted
      ? []
      : [`${id} had ${effects} effects, ${granted} more attempts were granted`];
  });
}

function durableFirst(story: Story): string[] {
  const seen = new Set<string>();
  return story.effects.flatMap((effect) => {
    const name = `${effect.task} attempt ${effect.attempt}`;
    const twice = seen.has(name) ? [`${name} had a second effect`] : [];
    seen.add(name);
    return nonceOf(effect, story) === null ? [...twice, `${name} was not durable`] : twice;
  });
}

/** Of the attempt that was claimed at this fence by this worker before. */
function nonceOf(
  { task, attempt, fence, worker, seq }: Story['effects'][number],
  { changes }: Story,
): string | null {
  const claim = changes.find(
    ({ id, version, after, seq: claimedSeq }) =>
      id === task &&
      version === fence &&
      claimedSeq < seq &&
      after?.state === 'running' &&
      after.attempt === attempt &&
      after.claim?.worker === worker,
  );
  return claim?.after?.nonce ?? null;
}

function completedHasEffect(story: Story): string[] {
  return [...story.records.values()]
    .filter(({ state, note }) => state === 'completed' && note === undefined)
    .filter(({ id }) => !story.effects.some(({ task }) => task === id))
    .map(({ id }) => `${id} is completed, and nothing was done`);
}

/** Whatever became of the task, the attempt that had the effect is known. */
function effectIsRecorded(story: Story): string[] {
  return story.effects.flatMap(({ task, attempt }) => {
    const known = story.changes.some(
      ({ id, after }) => id === task && after?.attempts?.some(({ n }) => n === attempt),
    );
    return known ? [] : [`${task} attempt ${attempt} had its effect, and the record does not know it`];
  });
}

function fencesGrow(story: Story): string[] {
  return tasksOf(story).flatMap((id) => {
    const starts = story.starts.filter(({ task }) => task === id).sort((a, b) => a.attempt - b.attempt);
    return starts.flatMap(({ attempt, fence }, i) => {
      const earlier = starts[i - 1];
      if (earlier === undefined || (earlier.attempt < attempt && earlier.fence < fence)) return [];
      return [
        `${id} attempt ${attempt} has fence ${fence} after attempt ${earlier.attempt} with ${earlier.fence}`,
      ];
    });
  });
}

function movesByTable(story: Story): string[] {
  const last = new Map<TaskId, Change>();
  return story.changes.flatMap((change) => {
    const { id, by, version, before, after } = change;
    const earlier = last.get(id);
    last.set(id, change);
    const follows =
      before === null ? version === 0 : after === null || version === (earlier?.version ?? -1) + 1;
    const shown = `${id} @${version}: ${before?.state ?? 'nothing'} → ${after?.state ?? 'nothing'} by ${by}`;
    if (!follows) return [`${shown} follows no version`];
    return kindOf(change, story) === null ? [`${shown} is no move`] : [];
  });
}

function startsUnderClaim({ starts }: Story): string[] {
  return starts
    .filter(({ claimStood }) => !claimStood)
    .map(({ task, attempt, worker }) => `${task} attempt ${attempt} of ${worker}`);
}

/** Its worker was out of reach since the claim, or its handler deaf. */
function uncertainForReason(story: Story): string[] {
  const reasons = ['partition', 'silent partition', 'freeze', 'killed', 'retired', 'expiry', 'no quorum'];
  return story.changes.flatMap(({ id, before, after, at, by }) => {
    if (before?.state !== 'running' || after?.state !== 'uncertain') return [];
    const worker = before.claim?.worker;
    const claimed = story.changes.find((other) => other.id === id && other.after?.nonce === before.nonce);
    const broken = story.faults.some(
      ({ kind, on, from, to }) =>
        reasons.includes(kind) && (on === worker || on === '*') && from <= at && to >= (claimed?.at ?? 0),
    );
    const deaf = story.starts.some(
      (start) => start.task === id && start.attempt === before.attempt && start.worker === by && start.deaf,
    );
    return broken || deaf ? [] : [`${id} attempt ${before.attempt} at ${at} by ${by}`];
  });
}

function nothingLeft({ unsettled, claimsLeft, defects }: Story): string[] {
  return [...unsettled, ...claimsLeft, ...defects];
}

function tasksOf({ changes }: Story): TaskId[] {
  return [...new Set(changes.map(({ id }) => id))];
}
