// slots.test.ts: who gets a slot, when, and with how many others.

import { expect, test } from 'vitest';
import { Slots } from '../../src/worker/slots.js';
import { ManualClock } from '../support/manual-clock.js';

const never = new AbortController().signal;

function world(total: number) {
  const clock = new ManualClock();
  return { clock, slots: new Slots(total, clock) };
}

/** What has come of it by now. */
function noted<T>(promise: Promise<T>): { value: T | 'pending' } {
  const note: { value: T | 'pending' } = { value: 'pending' };
  void promise.then((value) => {
    note.value = value;
  });
  return note;
}

test('whoever came first gets what is free, also where another wants less', async () => {
  const { clock, slots } = world(3);
  expect(await slots.take(3, 0, never)).toBe(3);
  const first = noted(slots.take(5, 1_000, never));
  const second = noted(slots.take(1, 1_000, never));
  slots.ending();
  await clock.advance(0);
  expect([first.value, second.value]).toEqual([1, 'pending']);
  slots.ending();
  await clock.advance(0);
  expect(second.value).toBe(1);
});

test('what becomes free in one turn is taken together, also by one who comes in that turn', async () => {
  const { clock, slots } = world(4);
  await slots.take(4, 0, never);
  slots.ending();
  const taken = noted(slots.take(4, 1_000, never));
  slots.ending();
  slots.release(1);
  await clock.advance(0);
  expect(taken.value).toBe(3);
});

test('as many tasks as there are slots may be on their way into the ledger, no more', async () => {
  const { clock, slots } = world(2);
  await slots.take(2, 0, never);
  slots.ending();
  slots.ending();
  await clock.advance(0);
  expect(await slots.take(2, 0, never)).toBe(2);
  slots.ending();
  const third = noted(slots.take(1, 1_000, never));
  await clock.advance(0);
  expect([slots.free, third.value]).toEqual([0, 'pending']);
  slots.ended();
  await clock.advance(0);
  expect(third.value).toBe(1);
});

test('who waits too long or is told to leave gets none, and holds up nobody', async () => {
  const { clock, slots } = world(1);
  await slots.take(1, 0, never);
  const leave = new AbortController();
  const told = noted(slots.take(1, 1_000, leave.signal));
  const late = noted(slots.take(1, 50, never));
  const patient = noted(slots.take(1, 1_000, never));
  leave.abort();
  await clock.advance(50);
  expect([told.value, late.value, patient.value]).toEqual([0, 0, 'pending']);
  slots.release(1);
  await clock.advance(0);
  expect(patient.value).toBe(1);
  expect(await slots.take(1, 1_000, leave.signal)).toBe(0);
});

/** Whether there is room now, where slots turn within 50 ms. */
async function hasRoom({ clock, slots }: ReturnType<typeof world>): Promise<boolean> {
  const leave = new AbortController();
  const found = noted(slots.room(50, leave.signal).then(() => !leave.signal.aborted));
  await clock.advance(0);
  leave.abort();
  await clock.advance(0);
  return found.value === true;
}

test('there is room where nobody waits for a slot, and one is free or one became free a moment ago', async () => {
  const one = world(1);
  const { clock, slots } = one;
  const room = (): Promise<boolean> => hasRoom(one);
  expect(await room()).toBe(true);
  await slots.take(1, 0, never);
  expect(await room()).toBe(false);
  slots.ending();
  await clock.advance(0);
  await slots.take(1, 0, never);
  expect(await room()).toBe(true);
  const waiting = slots.take(1, 10, never);
  expect(await room()).toBe(false);
  await clock.advance(10);
  expect(await waiting).toBe(0);
  expect(await room()).toBe(true);
  await clock.advance(40);
  expect(await room()).toBe(false);
});

test('where handlers take their time, there is no room before one of them is done', async () => {
  const one = world(1);
  await one.slots.take(1, 0, never);
  await one.clock.advance(50);
  one.slots.ending();
  await one.clock.advance(0);
  await one.slots.take(1, 0, never);
  expect(await hasRoom(one)).toBe(false);
  await one.clock.advance(49);
  one.slots.ending();
  await one.clock.advance(0);
  await one.slots.take(1, 0, never);
  expect(await hasRoom(one)).toBe(true);
});

test('it is idle once no slot is taken and every task is in the ledger', async () => {
  const { clock, slots } = world(2);
  expect(await slots.idle(0)).toBe(true);
  await slots.take(2, 0, never);
  slots.release(1);
  const late = noted(slots.idle(10));
  const idle = noted(slots.idle(1_000));
  slots.ending();
  await clock.advance(10);
  expect([late.value, idle.value]).toEqual([false, 'pending']);
  slots.ended();
  await clock.advance(0);
  expect(idle.value).toBe(true);
});
