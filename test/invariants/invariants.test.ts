// invariants.test.ts: each invariant is shown to bite: a story in which all is well, and one doctored for each way to break it.

import { describe, expect, test } from 'vitest';
import {
  type ClaimRef,
  type EpochMs,
  type Nonce,
  newRecord,
  parseSubmission,
  type RecordEvent,
  resolvePolicy,
  type TaskId,
  type TaskRecord,
  transition,
  type WorkerId,
} from '../../src/domain/index.js';
import { type invariants, violations } from './invariants.js';
import type { Change, Story } from './story.js';

const now = 0 as EpochMs;
const task = 't1' as TaskId;
const graceMs = 500;

function claimOf(worker: string, nonce: string): ClaimRef {
  return { worker: worker as WorkerId, nonce: nonce as Nonce };
}

function moved(record: TaskRecord, event: RecordEvent): TaskRecord {
  const move = transition(record, event);
  if (move.kind === 'refused') throw new Error(`the table refuses ${event.kind}: ${move.why}`);
  return move.record;
}

const waiting = newRecord(parseSubmission({ id: task, type: 'park' }, now), 'n0' as Nonce, now);
const first = claimOf('w1', 'n1');
const running = moved(waiting, {
  kind: 'claimed',
  at: now,
  nonce: first.nonce,
  claim: first,
  policy: resolvePolicy(null, null),
});
const completed = moved(running, {
  kind: 'succeeded',
  at: now,
  nonce: first.nonce,
  result: { value: 'done' },
});
const uncertain = moved(running, { kind: 'interrupted', at: now, claim: first });

function change(version: number, by: string, from: TaskRecord | null, to: TaskRecord | null): Change {
  return {
    seq: version * 10,
    at: version * 1_000,
    id: task,
    by,
    version,
    before: from,
    after: to,
    guarded: false,
    claimGoneMs: null,
    claimStands: to?.state === 'running',
  };
}

const accepted = change(0, 'desk', null, waiting);
const claimed = change(1, 'w1', waiting, running);
const finished = change(2, 'w1', running, completed);
const interrupted = {
  ...change(2, 's1', running, uncertain),
  guarded: true,
  claimGoneMs: graceMs,
};
const attempt = { task, attempt: 1, fence: 1, worker: 'w1' };
const start = { ...attempt, seq: 11, at: 1_001, claimStood: true, deaf: false };
const effect = { ...attempt, seq: 12, at: 1_002 };

/** A task that was accepted, run and completed. */
const good: Story = {
  seed: 0,
  graceMs,
  dedupWindowMs: 86_400_000,
  acknowledged: new Set([task]),
  changes: [accepted, claimed, finished],
  starts: [start],
  effects: [effect],
  faults: [],
  records: new Map([[task, completed]]),
  claimsLeft: [],
  unsettled: [],
  defects: [],
  transcript: [],
};

/** Its worker was killed after the effect, and nobody knows. */
const parked: Story = {
  ...good,
  changes: [accepted, claimed, interrupted],
  faults: [{ kind: 'killed', on: 'w1', from: 1_500, to: Number.POSITIVE_INFINITY }],
  records: new Map([[task, uncertain]]),
};

test.each([
  ['a completed task', good],
  ['a parked one', parked],
])('%s violates nothing', (_what, story) => expect(violations(story)).toEqual([]));

type Name = keyof typeof invariants;
const cases: readonly (readonly [Name, what: string, story: Story])[] = [
  ['I1 an acknowledged task ends, and its end is known', 'it is gone', { ...good, records: new Map() }],
  [
    'I1 an acknowledged task ends, and its end is known',
    'it waits',
    { ...good, records: new Map([[task, waiting]]) },
  ],
  [
    'I2 no more effects than attempts that were allowed',
    'a second effect',
    { ...good, effects: [effect, { ...effect, attempt: 2 }] },
  ],
  [
    'I3 an effect belongs to an attempt that was durable, and to no other effect',
    'the same attempt twice',
    { ...good, effects: [effect, effect] },
  ],
  [
    'I3 an effect belongs to an attempt that was durable, and to no other effect',
    'before its claim',
    { ...good, effects: [{ ...effect, seq: claimed.seq - 1 }] },
  ],
  [
    'I3 an effect belongs to an attempt that was durable, and to no other effect',
    'by a worker that did not claim it',
    { ...good, effects: [{ ...effect, worker: 'w2' }] },
  ],
  ['I5 completed means that there was an effect', 'no effect', { ...good, effects: [] }],
  ['I6 an effect is in the record', 'an attempt nobody noted', { ...parked, changes: [accepted, claimed] }],
  [
    'I7 fences grow',
    'a second attempt at the first one’s fence',
    { ...good, starts: [start, { ...start, attempt: 2 }] },
  ],
  ['I7 fences grow', 'the same attempt twice', { ...good, starts: [start, { ...start, fence: 2 }] }],
  [
    'I8 a record moves by the table, by whom may move it',
    'out of completed',
    { ...good, changes: [accepted, claimed, finished, change(3, 'desk', completed, waiting)] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'completed by another worker',
    { ...good, changes: [accepted, claimed, { ...finished, by: 'w2' }] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'over a version',
    { ...good, changes: [accepted, claimed, { ...finished, version: 3 }] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'claimed without a claim',
    { ...good, changes: [accepted, { ...claimed, claimStands: false }, finished] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'interrupted within the grace',
    { ...parked, changes: [accepted, claimed, { ...interrupted, claimGoneMs: graceMs - 1 }] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'interrupted while its claim stands',
    { ...parked, changes: [accepted, claimed, { ...interrupted, claimGoneMs: null }] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'interrupted without the term',
    { ...parked, changes: [accepted, claimed, { ...interrupted, guarded: false }] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'released after its handler was called',
    { ...good, changes: [accepted, claimed, change(2, 'w1', running, waiting)] },
  ],
  [
    'I8 a record moves by the table, by whom may move it',
    'deleted within the dedup window',
    {
      ...good,
      changes: [accepted, claimed, finished, { ...change(-1, 's1', completed, null), guarded: true }],
    },
  ],
  [
    'P1 a handler starts under a claim that stands',
    'the claim was gone',
    { ...good, starts: [{ ...start, claimStood: false }] },
  ],
  ['uncertain only after a fault', 'no fault', { ...parked, faults: [] }],
  [
    'uncertain only after a fault',
    'a fault of another process',
    { ...parked, faults: [{ kind: 'killed', on: 'w2', from: 1_500, to: 1_600 }] },
  ],
  ['nothing is left over', 'a claim', { ...good, claimsLeft: ['/claims/w1/claim-n1-0000000000'] }],
  ['nothing is left over', 'a stop that hangs', { ...good, unsettled: ['stopping'] }],
  ['nothing is left over', 'an error in the log', { ...good, defects: ['run failed'] }],
];

describe('what breaks an invariant is found', () => {
  test.each(cases)('%s: %s', (name, _what, story) => {
    expect(violations(story).map((line) => line.slice(0, name.length))).toContain(name);
  });
});
