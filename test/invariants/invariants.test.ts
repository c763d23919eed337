// invariants.test.ts: each invariant is shown to bite: a story in which all is well, and one doctored for each way to break it.

import { describe, expect, test } from 'vitest';
import {
  type ClaimRef,
  type EpochMs,
  type Nonce,
  newRecord,
  parseSchedule,
  parseSubmission,
  type RecordEvent,
  resolvePolicy,
  type TaskId,
  type TaskRecord,
  transition,
  type WorkerId,
} from '../../src/domain/index.js';
import { findings, type invariants, violations } from './invariants.js';
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
const failedOnce = moved(running, {
  kind: 'attemptFailed',
  at: now,
  nonce: first.nonce,
  error: { code: 'HANDLER_FAILED', message: 'it broke' },
  retryAt: now,
});
const second = claimOf('w1', 'n2');
const runningAgain = moved(failedOnce, {
  kind: 'claimed',
  at: now,
  nonce: second.nonce,
  claim: second,
  policy: resolvePolicy(null, null),
});
const completedAgain = moved(runningAgain, {
  kind: 'succeeded',
  at: now,
  nonce: second.nonce,
  result: { value: 'done' },
});
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

/** Its first attempt failed without an effect, and its second completed it. */
const retried: Story = {
  ...good,
  changes: [
    accepted,
    claimed,
    change(2, 'w1', running, failedOnce),
    change(3, 'w1', failedOnce, runningAgain),
    change(4, 'w1', runningAgain, completedAgain),
  ],
  starts: [start, { ...start, attempt: 2, fence: 3, seq: 31 }],
  effects: [{ ...effect, attempt: 2, fence: 3, seq: 32 }],
  records: new Map([[task, completedAgain]]),
};

/** Its worker was killed after the effect, and nobody knows. */
const parked: Story = {
  ...good,
  changes: [accepted, claimed, interrupted],
  faults: [{ kind: 'killed', on: 'w1', from: 1_500, to: Number.POSITIVE_INFINITY }],
  records: new Map([[task, uncertain]]),
};

/** Its handler waited for what did not answer, and its worker gave it up after its deadline of a minute. */
const error = { code: 'HANDLER_UNSETTLED', message: 'it did not settle' };
const abandoned = moved(running, { kind: 'abandoned', at: now, nonce: first.nonce, error });
const givenUp = { ...change(2, 'w1', running, abandoned), at: claimed.at + 60_000 };
const hung: Story = {
  ...good,
  changes: [accepted, claimed, givenUp],
  starts: [{ ...start, deaf: null }],
  records: new Map([[task, abandoned]]),
};

/** The hook of its type said that the attempt that was interrupted had not happened. */
const asked = moved(waiting, {
  kind: 'claimed',
  at: now,
  nonce: first.nonce,
  claim: first,
  policy: resolvePolicy({ onInterrupted: 'verify' }, null),
});
const doubtful = moved(asked, { kind: 'interrupted', at: now, claim: first });
const cleared = moved(doubtful, {
  kind: 'verified',
  at: now,
  nonce: first.nonce,
  verdict: { kind: 'notExecuted' },
});
const verified: Story = {
  ...parked,
  changes: [
    accepted,
    change(1, 'w1', waiting, asked),
    { ...interrupted, before: asked, after: doubtful },
    change(3, 'w2', doubtful, cleared),
  ],
  effects: [],
  acknowledged: new Set(),
  records: new Map([[task, cleared]]),
};

/** All that a source may see beside: each as it should be. */
const submit = { task, body: 'b1', answer: 'created' } as const;
const lease = { worker: 'w1', session: 's1', expiredAt: 4_000, distrustedAt: 3_200, purePartition: true };
const observed: Story = {
  ...good,
  effects: [{ ...effect, compared: true }],
  submits: [
    submit,
    { ...submit, answer: 'same' },
    { ...submit, body: 'b2', answer: 'conflict' },
    { ...submit, body: 'b2', answer: 'unanswered' },
  ],
  leases: [lease, { ...lease, distrustedAt: null, purePartition: false }],
  settling: { withinMs: 5_000, tookMs: 5_000 },
  ledger: new Map([[task, { version: 2, record: completed }]]),
};

/** Parked, though its handler was never called, as its worker comes to say; then it is claimed and parked again. */
const givenBack = moved(uncertain, { kind: 'released', at: now, nonce: first.nonce, notBefore: null });
const third = claimOf('w2', 'n3');
const claimedAgain = moved(givenBack, {
  kind: 'claimed',
  at: now,
  nonce: third.nonce,
  claim: third,
  policy: resolvePolicy(null, null),
});
const parkedTwice: Story = {
  ...parked,
  changes: [
    accepted,
    claimed,
    interrupted,
    change(3, 'w1', uncertain, givenBack),
    change(4, 'w2', givenBack, claimedAgain),
    {
      ...interrupted,
      ...change(5, 's1', claimedAgain, moved(claimedAgain, { kind: 'interrupted', at: now, claim: third })),
      guarded: true,
      claimGoneMs: graceMs,
    },
  ],
  starts: [],
  effects: [],
  faults: [...parked.faults, { kind: 'killed', on: 'w2', from: 4_500, to: 4_600 }],
};

test.each([
  ['a completed task', good],
  ['a retried one', retried],
  ['a parked one', parked],
  ['one that hung', hung],
  ['one that was parked, given back and parked again', parkedTwice],
  ['one that was found not to have happened', verified],
  ['one of which everything was observed', observed],
])('%s violates nothing', (_what, story) => expect(violations(story)).toEqual([]));

test('what was not observed is counted as not checked, and what was is counted', () => {
  const counts = (story: Story): Record<string, [checked: number, notChecked: number]> =>
    Object.fromEntries(findings(story).map(({ name, checked, notChecked }) => [name, [checked, notChecked]]));
  const blind = counts({ ...good, starts: [{ ...start, claimStood: null }] });
  const seeing = counts(observed);
  const sources = {
    'I9 one id, one content': [3, 0],
    'I12 all is over in time once everything is mended': [1, 0],
    'I13 trust in a session ends before the session': [1, 0],
    'what the ledger says at the end is what was written': [1, 0],
    'P1 a handler starts under a claim that stands': [1, 0],
  };
  for (const [name, seen] of Object.entries(sources)) {
    expect([name, blind[name]]).toEqual([name, [0, 1]]);
    expect([name, seeing[name]]).toEqual([name, seen]);
  }
  expect(seeing['I7 a receiver that compares takes no lower fence after a higher']).toEqual([1, 0]);
  expect(blind['I7 a receiver that compares takes no lower fence after a higher']).toEqual([0, 0]);
});

/** A story of tasks that were made and nothing more. */
function made(...ids: readonly string[]): Story {
  const changes = ids.map((id, i) => ({
    ...accepted,
    seq: i,
    id: id as TaskId,
    after: { ...waiting, id: id as TaskId },
  }));
  return { ...good, acknowledged: new Set(), changes, starts: [], effects: [], records: new Map() };
}

type Name = keyof typeof invariants;
const cases: readonly (readonly [Name, what: string, story: Story])[] = [
  [
    'I4 another attempt has its grounds',
    'a second attempt after nothing',
    {
      ...retried,
      changes: [
        accepted,
        claimed,
        change(2, 'w1', running, { ...failedOnce, attempts: [] }),
        change(3, 'w1', failedOnce, runningAgain),
      ],
    },
  ],
  [
    'I4 another attempt has its grounds',
    'a failure that another worker tells of',
    {
      ...retried,
      changes: retried.changes.map((each) => (each.version === 2 ? { ...each, by: 'w2' } : each)),
    },
  ],
  [
    'I4 another attempt has its grounds',
    'interrupted, and not to be rerun',
    {
      ...parked,
      changes: [
        accepted,
        claimed,
        { ...interrupted, after: { ...uncertain, state: 'waiting', attempt: 2 } },
        change(3, 'w1', { ...uncertain, state: 'waiting', attempt: 2 }, { ...runningAgain }),
      ],
    },
  ],
  [
    'I4 another attempt has its grounds',
    'a replay that no operator asked for',
    {
      ...parked,
      changes: [
        accepted,
        claimed,
        interrupted,
        change(3, 'w2', uncertain, { ...uncertain, state: 'waiting', attempt: 2, replays: 1 }),
        change(4, 'w2', { ...uncertain, state: 'waiting', attempt: 2, replays: 1 }, runningAgain),
      ],
    },
  ],
  [
    'I5 recorded as not executed means that there was none',
    'it had its effect',
    { ...verified, effects: [effect] },
  ],
  [
    'I6 an effect whose end nobody recorded is uncertain',
    'it waits again',
    {
      ...parked,
      changes: [accepted, claimed, { ...interrupted, after: { ...uncertain, state: 'waiting' } }],
    },
  ],
  [
    'I6 an effect whose end nobody recorded is uncertain',
    'it runs for ever',
    { ...parked, changes: [accepted, claimed] },
  ],
  [
    'I7 a receiver that compares takes no lower fence after a higher',
    'the lower comes later',
    {
      ...good,
      effects: [
        { ...effect, fence: 3, compared: true },
        { ...effect, compared: true },
      ],
    },
  ],
  [
    'I9 one id, one content',
    'two contents are accepted',
    { ...observed, submits: [submit, { ...submit, body: 'b2', answer: 'same' }] },
  ],
  [
    'I9 one id, one content',
    'the same content is refused',
    { ...observed, submits: [submit, { ...submit, answer: 'conflict' }] },
  ],
  [
    'I10 one task per schedule and tick',
    'the same tick under two ids',
    made('report@2026-01-02T03:04:00Z', 'report@2026-01-02T03:04:00.000Z'),
  ],
  [
    'I10 one task per schedule and tick',
    'the same tick twice',
    made('report@2026-01-02T03:04:00Z', 'report@2026-01-02T03:04:00Z'),
  ],
  [
    'I10 one task per schedule and tick',
    'a moment that is no tick',
    {
      ...made('report@2026-01-02T03:04:01Z'),
      schedules: new Map([
        ['report', parseSchedule({ id: 'report', cron: '* * * * *', task: { type: 't' } }).content],
      ]),
    },
  ],
  [
    'I12 all is over in time once everything is mended',
    'later',
    { ...observed, settling: { withinMs: 5_000, tookMs: 5_001 } },
  ],
  [
    'I12 all is over in time once everything is mended',
    'never',
    { ...observed, settling: { withinMs: 5_000, tookMs: null } },
  ],
  [
    'I13 trust in a session ends before the session',
    'after it',
    { ...observed, leases: [{ ...lease, distrustedAt: lease.expiredAt + 1 }] },
  ],
  [
    'I13 trust in a session ends before the session',
    'never',
    { ...observed, leases: [{ ...lease, distrustedAt: null }] },
  ],
  [
    'P1 a handler starts after its attempt is durable',
    'before its claim',
    { ...good, starts: [{ ...start, seq: claimed.seq - 1 }] },
  ],
  [
    'P1 a handler starts after its attempt is durable',
    'at a fence of another claim',
    { ...good, starts: [{ ...start, fence: 2 }] },
  ],
  [
    'what the ledger says at the end is what was written',
    'another version',
    { ...observed, ledger: new Map([[task, { version: 3, record: completed }]]) },
  ],
  [
    'what the ledger says at the end is what was written',
    'another record',
    { ...observed, ledger: new Map([[task, { version: 2, record: uncertain }]]) },
  ],
  ['what the ledger says at the end is what was written', 'none', { ...observed, ledger: new Map() }],
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
    'given up before its deadline',
    { ...hung, changes: [accepted, claimed, { ...givenUp, at: claimed.at + 59_999 }] },
  ],
  [
    'uncertain only after a fault',
    'a handler that honours its signal is given up',
    { ...hung, starts: [{ ...start, deaf: false }] },
  ],
  [
    'uncertain only after a fault',
    'a fault that parts no worker from its task',
    { ...parked, faults: [{ kind: 'Redis away', on: 'w1', from: 1_500, to: 1_600 }] },
  ],
  [
    'uncertain only after a fault',
    'a fault that was over before',
    { ...parked, faults: [{ kind: 'killed', on: 'w1', from: 500, to: 900 }] },
  ],
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

test('no invariant is without a story that it refuses', () => {
  expect(new Set(cases.map(([name]) => name))).toEqual(new Set(findings(good).map(({ name }) => name)));
});
