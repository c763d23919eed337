// undelivered.test.ts: when a task is called undelivered, and how often Redis is asked for that.

import { expect, test } from 'vitest';
import {
  type EpochMs,
  type Name,
  parseSubmission,
  type TaskId,
  type TaskRecord,
} from '../../src/domain/index.js';
import { delay } from '../../src/runtime/index.js';
import { UndeliveredSearch } from '../../src/scheduler/undelivered.js';
import { ManualClock } from '../support/manual-clock.js';

test('what is pending in Redis is read again before a delivery is called missing, where that was read long ago', async () => {
  const clock = new ManualClock();
  const queue = 'default' as Name;
  const pending = new Set<TaskId>(['a' as TaskId]);
  let reads = 0;
  const search = new UndeliveredSearch(async () => {
    reads += 1;
    return new Set(pending);
  }, clock);
  const missing = async (id: string): Promise<number> => {
    const task = {
      ...parseSubmission({ id, type: 'note', queue }, 0 as EpochMs),
      state: 'waiting',
      attempt: 1,
    };
    return (await search.among([{ record: task as TaskRecord, version: 0 }], true)).length;
  };
  expect([await missing('a'), await missing('b'), reads]).toEqual([0, 1, 1]);
  pending.delete('a' as TaskId);
  pending.add('b' as TaskId);
  await clock.advance(4_999);
  expect([await missing('b'), reads]).toEqual([1, 1]);
  await clock.advance(1);
  expect([await missing('a'), reads]).toEqual([0, 1]); // Its delivery was there: the next pass will see that it is gone.
  expect([await missing('b'), reads]).toEqual([0, 2]);
  expect([await missing('a'), reads]).toEqual([1, 2]);
});

test('of a task that has come since Redis was asked nothing is said, and Redis is not asked again for it', async () => {
  const clock = new ManualClock();
  let reads = 0;
  const search = new UndeliveredSearch(async () => {
    reads += 1;
    return new Set();
  }, clock);
  const missing = async (id: string, acceptedAt: number, evenYoung: boolean): Promise<number> => {
    const submission = parseSubmission({ id, type: 'note' }, acceptedAt as EpochMs);
    const record = { ...submission, acceptedAt, state: 'waiting', attempt: 1 } as TaskRecord;
    return (await search.among([{ record, version: 0 }], evenYoung)).length;
  };
  await clock.advance(60_000);
  const askedAt = clock.now();
  expect([await missing('first', askedAt - 4_999, false), reads]).toEqual([0, 0]);
  expect([await missing('old', askedAt - 5_000, false), reads]).toEqual([1, 1]);
  await clock.advance(60_000);
  expect([await missing('young', askedAt - 4_999, false), reads]).toEqual([0, 1]);
  expect([await missing('new', askedAt + 1, false), reads]).toEqual([0, 1]);
  expect([await missing('new', askedAt + 1, true), reads]).toEqual([1, 2]);
  expect([await missing('young', askedAt - 4_999, false), reads]).toEqual([1, 2]);
});

test('what took long to read is not read again for ten times as long', async () => {
  const clock = new ManualClock();
  let reads = 0;
  const search = new UndeliveredSearch(async () => {
    reads += 1;
    await delay(clock, 1_000);
    return new Set();
  }, clock);
  const task = { ...parseSubmission({ id: 'a', type: 'note' }, 0 as EpochMs), state: 'waiting', attempt: 1 };
  const look = async (): Promise<void> => {
    const looked = search.among([{ record: task as TaskRecord, version: 0 }], true);
    await clock.advance(1_000);
    expect(await looked).toHaveLength(1);
  };
  await look();
  await clock.advance(9_000);
  await look();
  expect(reads).toBe(1);
  await look();
  expect(reads).toBe(2);
});
