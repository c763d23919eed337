// judge.ts: what is wrong with a history. Owns which of the invariants hold where the ensemble's data went back under the
// fleet, and what is promised for that alone; the invariants themselves are test/invariants.

import type { TaskId, TaskRecord } from '../../src/domain/index.js';
import { findings, type InvariantName, kindOf, violations } from '../invariants/invariants.js';
import type { Change, Effect, Start, Story } from '../invariants/story.js';
import type { Restore } from './restore.js';
import type { History } from './simulate.js';

/** Of what had happened when the data went back: nothing says how it ended. */
const endsUnknown: readonly InvariantName[] = [
  'I1 an acknowledged task ends, and its end is known',
  'I6 an effect is in the record',
  'I6 an effect whose end nobody recorded is uncertain',
  'nothing is left over',
];

/** Of tasks that the restored ledger holds: each move, and each attempt made since. Where they stood is not theirs to prove. */
const holdsSince: readonly InvariantName[] = [
  'I2 no more effects than attempts that were allowed',
  'I3 an effect belongs to an attempt that was durable, and to no other effect',
  'I7 fences grow',
  'P1 a handler starts under a claim that stands',
  'P1 a handler starts after its attempt is durable',
];

type Rest = Pick<Story, 'acknowledged' | 'records'> & { readonly submits: NonNullable<Story['submits']> };

export function judge({ story, restore, halts, startOf }: History): string[] {
  if (restore === null || restore.seq === Number.POSITIVE_INFINITY) return violations(story);
  const before = part(story, startOf, (seq) => seq < restore.seq, {
    acknowledged: new Set(),
    records: recordsAt(story, restore.seq),
    submits: story.submits?.slice(0, restore.submitsBefore) ?? [],
  });
  const after = part(story, startOf, (seq) => seq > restore.seq, {
    acknowledged: owed(story, restore),
    records: story.records,
    submits: story.submits?.slice(restore.submitsBefore) ?? [],
  });
  const old = (id: TaskId): boolean => restore.ledger.has(id);
  return [
    ...named(before, (name) => !endsUnknown.includes(name)),
    ...violations(only(after, (id) => !old(id))),
    ...named(only(after, old), (name) => holdsSince.includes(name)),
    ...after.changes
      .filter((change) => old(change.id) && kindOf(change, change.after === null ? story : after) === null)
      .filter((change) => !isLateInterruption(change))
      .map(
        ({ id, version, by }) =>
          `I8 a record moves by the table, by whom may move it: ${id} @${version} by ${by}, after a restore`,
      ),
    ...silent(story, halts),
  ];
}

/** The leader may have seen the claim go before it came back with the restore: its grace was over then. */
function isLateInterruption({ before, after, guarded, claimGoneMs }: Change): boolean {
  const last = after?.attempts?.at(-1);
  return (
    before?.state === 'running' &&
    guarded &&
    claimGoneMs !== null &&
    last?.nonce === before.nonce &&
    last.outcome === 'interrupted'
  );
}

/** P11: who has found other data than it knew writes nothing, and starts nothing, until that is confirmed. */
function silent({ changes, starts }: Story, halts: History['halts']): string[] {
  return halts.flatMap(({ by, from, to }) => {
    const within = ({ seq }: { readonly seq: number }): boolean => seq > from && seq < to;
    const wrote = changes.filter((change) => change.by === by && within(change));
    const started = starts.filter((start) => start.worker === by && within(start));
    return [
      ...wrote.map(({ id }) => `P11 who has stopped writes nothing: ${by} wrote ${id}`),
      ...started.map(({ task }) => `P11 who has stopped starts nothing: ${by} started ${task}`),
    ];
  });
}

/** What the ledger holds must end, and so must what was acknowledged since. */
function owed(
  { acknowledged, submits }: Story,
  { ledger, acknowledgedBefore, submitsBefore }: Restore,
): Set<TaskId> {
  const again = (submits ?? [])
    .slice(submitsBefore)
    .filter(({ answer }) => answer === 'created' || answer === 'same');
  return new Set([
    ...ledger.keys(),
    ...[...acknowledged].filter((id) => !acknowledgedBefore.has(id)),
    ...again.map(({ task }) => task),
  ]);
}

function recordsAt({ changes }: Story, seqMax: number): Map<TaskId, TaskRecord> {
  const records = new Map<TaskId, TaskRecord>();
  for (const { seq, id, after } of changes) if (after !== null && seq < seqMax) records.set(id, after);
  return records;
}

/**
 * What a handler does belongs to the part in which its attempt was claimed: a process that has not noticed the restore yet
 * may start what it claimed before. Whether that claim stands in the data restored says nothing.
 */
function part(
  story: Story,
  startOf: History['startOf'],
  within: (seq: number) => boolean,
  rest: Rest,
): Story {
  const { ledger: _ledger, settling: _settling, ...told } = story;
  const belongs = (doing: Start | Effect): boolean => {
    const seq = startOf.get(doing.seq) ?? doing.seq;
    return within(claimSeqOf({ ...doing, seq }, story) ?? seq);
  };
  return {
    ...told,
    ...rest,
    changes: story.changes.filter(({ seq }) => within(seq)),
    starts: story.starts
      .filter(belongs)
      .map((start) => (within(start.seq) ? start : { ...start, claimStood: null })),
    effects: story.effects.filter(belongs),
  };
}

function claimSeqOf(
  { task, attempt, fence, worker, seq }: Start | Effect,
  { changes }: Story,
): number | undefined {
  return changes.findLast(
    (change) =>
      change.id === task &&
      change.seq < seq &&
      change.version === fence &&
      change.after?.state === 'running' &&
      change.after.attempt === attempt &&
      change.after.claim?.worker === worker,
  )?.seq;
}

function only(story: Story, which: (id: TaskId) => boolean): Story {
  return {
    ...story,
    acknowledged: new Set([...story.acknowledged].filter(which)),
    changes: story.changes.filter(({ id }) => which(id)),
    starts: story.starts.filter(({ task }) => which(task)),
    effects: story.effects.filter(({ task }) => which(task)),
    records: new Map([...story.records].filter(([id]) => which(id))),
  };
}

function named(story: Story, which: (name: InvariantName) => boolean): string[] {
  return findings(story)
    .filter(({ name }) => which(name))
    .flatMap(({ name, violated }) => violated.map((what) => `${name}: ${what}`));
}
