// cells.ts: the matrix: every step of the protocol, every fault, and the end that the design demands: the state table
// (docs/architecture.md) and the promises (docs/guarantees.md), not what was seen to happen.

import type { OnInterrupted } from '../../src/domain/index.js';
import type { Cell, Fault, Outcome } from './play.js';
import type { StepName } from './steps.js';

type End = Omit<Outcome, 'answer' | 'replays'> & Partial<Outcome>;

/** One effect, in the first attempt, which nobody has doubted in the end. */
const once: End = { state: 'completed', attempt: 1, attempts: ['1 succeeded'], effects: [1] };
/** Its worker is gone, and nobody can say whether the handler ran. */
const uncertain: End = { state: 'uncertain', attempt: 1, attempts: ['1 interrupted'], effects: [] };
/** The same; outside one sees that it did. */
const uncertainAfterEffect: End = { ...uncertain, effects: [1] };
/** Interrupted, and found by the `verify` hook to be done. */
const foundDone: End = { ...uncertainAfterEffect, state: 'completed' };
/** Interrupted, and found by the hook not to be done: the second attempt does it. */
const foundUndone: End = {
  state: 'completed',
  attempt: 2,
  attempts: ['1 notExecuted', '2 succeeded'],
  effects: [2],
};
/** Interrupted before the effect, and run again, as `rerun` allows. */
const rerun: End = {
  state: 'completed',
  attempt: 2,
  attempts: ['1 interrupted', '2 succeeded'],
  effects: [2],
};
/** Interrupted after the effect, and run again: `rerun` allows for a second effect. */
const rerunAfterEffect: End = { ...rerun, effects: [1, 2] };
/** The first attempt's failure is recorded, the second does it. */
const retried: End = { ...rerun, attempts: ['1 failed', '2 succeeded'] };
const failed: End = { state: 'failed', attempt: 1, attempts: ['1 failed'], effects: [] };
const cancelled: End = { state: 'cancelled', attempt: 1, attempts: [], effects: [] };
/** Cancelled while it ran: the handler gave way to its signal. */
const stopped: End = { ...failed, state: 'cancelled' };
const retired: End = { ...once, state: 'retired' };

const created = { answer: ['created'] };
const done = { answer: ['done'] };
/** It was created, and is found under way already by who reads it back late. */
const accepted = { answer: ['created', 'same'] };
/** It was obeyed, and others may have gone on from there before that could be read back. */
const obeyed = { answer: ['done', 'OUTCOME_UNKNOWN'] };

type Row = Partial<Record<Fault, End>>;

export const faults: readonly Fault[] = [
  'killed before',
  'killed after',
  'frozen before',
  'frozen after',
  'lost, not applied',
  'lost, applied',
];

/** All six faults end alike. */
function always(end: End): Row {
  return Object.fromEntries(faults.map((fault) => [fault, end]));
}

/** … and the step moves no record: for who dies or freezes at it, its two sides are one. */
function alike(end: End): Row {
  const { 'killed before': _killed, 'frozen before': _frozen, ...row } = always(end);
  return row;
}

/** The write was applied, and its reply did not come in time. */
function whenApplied(end: End): Row {
  return { 'frozen after': end, 'lost, applied': end };
}

/** … but for the process that dies before it is known what it was about to write. */
function unlessKilledBefore(before: End, otherwise: End): Row {
  return { ...always(otherwise), 'killed before': before };
}

const park: Readonly<Record<StepName, Row>> = {
  // What was not acknowledged may be there or not; the same submit again tells, and runs nothing twice.
  accepted: {
    ...always({ ...once, ...created }),
    ...whenApplied({ ...once, ...accepted }),
    'killed after': { ...once, answer: ['same'] },
  },
  'delivery sent': {
    ...alike({ ...once, ...created }),
    // Accepted all the same: the walk over the ledger finds what has no delivery.
    'killed before': once,
    'killed after': once,
  },
  announced: alike(once),
  // Until a claim is made nothing has begun: another worker gets the delivery, or gets it again.
  'delivery taken': alike(once),
  'record read': alike(once),
  claimed: {
    'killed before': once,
    'killed after': uncertain,
    // The claim never came to be: its request went with the session.
    'frozen before': once,
    // It may have the answer, but not trust it any more: it runs nothing under the claim, and gives the task back.
    'frozen after': once,
    'lost, not applied': once,
    'lost, applied': once,
  },
  // The handler is in the middle; what becomes of the delivery is of no account.
  'delivery done': { ...alike(once), 'killed after': uncertain },
  'handler called': { 'killed after': uncertain, 'frozen after': once },
  'ownership asked': {
    'killed after': uncertain,
    // Not its own any more: the handler throws before its effect, and that is evidence of a failed attempt.
    'frozen after': retried,
    'lost, not applied': once,
    'lost, applied': once,
  },
  'effect done': {
    'killed after': uncertainAfterEffect,
    'frozen after': once,
    // The handler cannot tell a lost request from a lost answer: it throws, and has failed.
    'lost, not applied': retried,
    'lost, applied': { ...retried, effects: [1, 2] },
  },
  succeeded: unlessKilledBefore(uncertainAfterEffect, once),
  'attemptFailed, retry later': unlessKilledBefore(uncertain, retried),
  'attemptFailed for good': unlessKilledBefore(uncertain, failed),
  'claimed again in place': {
    ...always(retried),
    'killed after': { ...uncertain, attempt: 2, attempts: ['1 failed', '2 interrupted'] },
  },
  // The handler was never called: no attempt is spent.
  released: unlessKilledBefore(uncertain, once),
  'claim deleted': alike(retried),
  readopted: {
    ...always(once),
    'killed before': uncertainAfterEffect,
    'killed after': uncertainAfterEffect,
  },
  'stray given back': unlessKilledBefore(uncertain, once),
  'stray claim deleted': alike(once),
  'verify asked': {},
  'verified completed': {},
  'verified notExecuted': {},
  // Whoever leads next finds what the last leader left.
  'candidate made': alike(uncertainAfterEffect),
  'term raised': alike(uncertainAfterEffect),
  'claims looked at': alike(uncertainAfterEffect),
  interrupted: always(uncertainAfterEffect),
  redelivered: alike(once),
  'history kept': alike(retired),
  retired: always(retired),
  replayed: {
    ...always({ ...retried, replays: 1, ...done }),
    ...whenApplied({ ...retried, replays: 1, ...obeyed }),
    'killed before': failed,
    'killed after': { ...retried, replays: 1 },
  },
  resolved: {
    ...always({ ...foundDone, ...done }),
    ...whenApplied({ ...foundDone, ...obeyed }),
    'killed before': uncertainAfterEffect,
    'killed after': foundDone,
  },
  cancelled: {
    ...always({ ...cancelled, ...done }),
    ...whenApplied({ ...cancelled, ...obeyed }),
    'killed before': once,
    'killed after': cancelled,
  },
  cancelRequested: {
    ...always({ ...stopped, ...done }),
    ...whenApplied({ ...stopped, ...obeyed }),
    'killed before': once,
    'killed after': stopped,
  },
  'stopping: handler runs': { 'killed after': uncertainAfterEffect, 'frozen after': once },
  'stopping: withdrawn': alike(once),
  // The leader may be quicker, and what is gone cannot be deleted: there is no other side.
  'stopping: claims closed': { 'killed before': once, 'frozen before': once, 'lost, not applied': once },
  'stopping: session closed': alike(once),
};

const byPolicy: Readonly<Record<'rerun' | 'verify', Partial<Record<StepName, Row>>>> = {
  rerun: {
    claimed: { 'killed after': rerun, 'frozen after': rerun },
    'handler called': { 'killed after': rerun },
    // Another attempt has run: this one's failure is no longer asked for.
    'ownership asked': { 'frozen after': rerun },
    'effect done': { 'killed after': rerunAfterEffect, 'frozen after': rerunAfterEffect },
    succeeded: { 'killed before': rerunAfterEffect, 'frozen before': rerunAfterEffect, 'killed after': once },
    'attemptFailed, retry later': { 'killed before': rerun },
    'claimed again in place': {
      'killed after': {
        state: 'completed',
        attempt: 3,
        attempts: ['1 failed', '2 interrupted', '3 succeeded'],
        effects: [3],
      },
    },
    interrupted: always(rerun),
  },
  verify: {
    claimed: { 'killed after': foundUndone },
    'handler called': { 'killed after': foundUndone },
    'effect done': { 'killed after': foundDone, 'frozen after': foundDone },
    succeeded: { 'killed before': foundDone },
    interrupted: { 'killed before': foundUndone, 'killed after': foundUndone },
    'verify asked': alike(foundDone),
    'verified completed': always(foundDone),
    'verified notExecuted': always(foundUndone),
  },
};

/** Those that wait longest for the end of a lock or a session come first. */
export const cells: readonly Cell[] = [
  ...cellsOf('park', park),
  ...cellsOf('rerun', byPolicy.rerun),
  ...cellsOf('verify', byPolicy.verify),
].sort((a, b) => faults.indexOf(a.fault) - faults.indexOf(b.fault));

function cellsOf(policy: OnInterrupted, rows: Partial<Record<StepName, Row>>): Cell[] {
  return Object.entries(rows).flatMap(([step, row]) =>
    Object.entries(row).map(([fault, end]) => ({
      step: step as StepName,
      fault: fault as Fault,
      policy,
      expected: { replays: 0, answer: ['none'], ...end },
    })),
  );
}
