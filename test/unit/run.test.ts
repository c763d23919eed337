// run.test.ts: what a run makes of a readoption whose word comes late. How runs run is contract/worker-contract.ts.

import { expect, test } from 'vitest';
import type { Held, Nonce, TaskId, WorkerId } from '../../src/domain/index.js';
import { type EpochMs, newRecord, parseSubmission } from '../../src/domain/index.js';
import type { Claim } from '../../src/ledger/index.js';
import { Hold } from '../../src/worker/hold.js';
import { Run, type RunDeps } from '../../src/worker/run.js';

const now = 0 as EpochMs;

function heldAt(version: number, attempt: number, nonce: string): Held {
  const record = newRecord(parseSubmission({ id: 't1', type: 'a' }, now), nonce as Nonce, now);
  return { record: { ...record, state: 'running', attempt }, version };
}

function holdOf(nonce: string): Hold {
  const ref = { worker: 'w1' as WorkerId, nonce: nonce as Nonce };
  return new Hold({ ref, path: `/claims/w1/claim-${nonce}-0` } as Claim, ['t1' as TaskId]);
}

test.each([
  ['the next attempt has begun under the claim before', heldAt(7, 3, 'n3')],
  ['its own outcome was written over it', heldAt(6, 2, 'n2')],
])('a run does not go back to what was readopted: %s', (_what, current) => {
  const hold = holdOf('first');
  const run = new Run(current, hold, {} as RunDeps);
  run.readopted(heldAt(5, 2, 'n2'), holdOf('second'));
  expect([run.held, run.hold]).toEqual([current, hold]);
});

test('a run goes on under the claim by which it was readopted', () => {
  const run = new Run(heldAt(4, 2, 'n2'), holdOf('first'), {} as RunDeps);
  const [held, hold] = [heldAt(5, 2, 'n2'), holdOf('second')];
  run.readopted(held, hold);
  expect([run.held, run.hold]).toEqual([held, hold]);
});
