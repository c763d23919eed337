// manual-clock.test.ts: the tests' own time keeps the order that they rely on.

import { expect, test } from 'vitest';
import { delay } from '../../src/runtime/index.js';
import { ManualClock } from '../support/manual-clock.js';

test('timers run in the order of their due times, then of their making, each at its own time', async () => {
  const clock = new ManualClock();
  const ran: string[] = [];
  for (const [name, delayMs] of [
    ['c', 30],
    ['a', 10],
    ['b', 20],
    ['a2', 10],
    ['later', 31],
  ] as const) {
    clock.after(delayMs, () => ran.push(`${name} ${clock.monotonic()}`));
  }
  await clock.advance(30);
  expect(ran).toEqual(['a 10', 'a2 10', 'b 20', 'c 30']);
  expect(clock.monotonic()).toBe(30);
});

test('what a timer or a promise schedules runs in the same advance when it is due', async () => {
  const clock = new ManualClock();
  const at: number[] = [];
  void (async () => {
    for (let n = 0; n < 4; n += 1) {
      await delay(clock, 25);
      at.push(clock.monotonic());
    }
  })();
  await clock.advance(80);
  expect(at).toEqual([25, 50, 75]);
  await clock.advance(20);
  expect(at).toEqual([25, 50, 75, 100]);
});

test('a cancelled timer does not run, and wall clock and monotonic clock move together', async () => {
  const clock = new ManualClock(1_000_000);
  let ran = false;
  clock
    .after(10, () => {
      ran = true;
    })
    .cancel();
  await clock.advance(60_000);
  expect([ran, clock.now(), clock.monotonic()]).toEqual([false, 1_060_000, 60_000]);
});

test('what is due at once runs without an advance, in a later turn', async () => {
  const clock = new ManualClock();
  let ran = false;
  clock.after(0, () => {
    ran = true;
  });
  await Promise.resolve();
  expect(ran).toBe(false);
  await delay(clock, 0);
  expect([ran, clock.monotonic()]).toEqual([true, 0]);
});

test('many timers keep their order', async () => {
  const clock = new ManualClock();
  const expected = Array.from({ length: 500 }, (_, n) => (n * 7_919) % 1_000);
  const ran: number[] = [];
  for (const delayMs of expected) clock.after(delayMs, () => ran.push(delayMs));
  await clock.advance(1_000);
  expect(ran).toEqual([...expected].sort((a, b) => a - b));
});

test('says how long it is until the next timer', () => {
  const clock = new ManualClock();
  expect(clock.nextDueInMs()).toBeNull();
  const first = clock.after(10, () => undefined);
  clock.after(25, () => undefined);
  expect(clock.nextDueInMs()).toBe(10);
  first.cancel();
  expect(clock.nextDueInMs()).toBe(25);
});

test('the ends of a turn come after its promises and before the next timer, in the order in which they were asked for', async () => {
  const clock = new ManualClock();
  const ran: string[] = [];
  clock.after(0, () => {
    clock.atEndOfTurn(() => {
      ran.push('first end');
      void Promise.resolve().then(() => ran.push('promise of the first end'));
    });
    clock.atEndOfTurn(() => ran.push('second end'));
    void Promise.resolve()
      .then(() => undefined)
      .then(() => ran.push('promise'));
  });
  clock.after(0, () => ran.push('next timer'));
  await clock.advance(1);
  expect(ran).toEqual(['promise', 'first end', 'promise of the first end', 'second end', 'next timer']);
});

test('before the next timer every promise has settled, however long the chain', async () => {
  const clock = new ManualClock();
  const ran: string[] = [];
  clock.after(1, async () => {
    for (let n = 0; n < 1_000; n += 1) await Promise.resolve();
    ran.push('chain');
  });
  clock.after(1, () => ran.push('timer'));
  await clock.advance(1);
  expect(ran).toEqual(['chain', 'timer']);
});

test('a move of time ends where it is told to, and with what a timer throws', async () => {
  const clock = new ManualClock();
  let enough = false;
  clock.after(10, () => {
    enough = true;
  });
  clock.after(20, () => {
    throw new Error('thrown by a timer');
  });
  await clock.advance(100, () => enough);
  expect(clock.monotonic()).toBe(10);
  await expect(clock.advance(100)).rejects.toThrow('thrown by a timer');
});
