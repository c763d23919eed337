// recent-parcels.test.ts: what is sent again after Redis may have forgotten it, and for how long.

import { expect, test } from 'vitest';
import type { Parcel } from '../../src/delivery/parcel.js';
import { RecentParcels } from '../../src/delivery/recent.js';
import { limits, type Name, type TaskId } from '../../src/domain/index.js';
import { ManualClock } from '../support/manual-clock.js';

function parcel(n: number): Parcel {
  return {
    jobId: `p${n}`,
    queue: 'mail' as Name,
    ids: [`t${n}` as TaskId],
    priority: 0,
    due: null,
    inFront: false,
  };
}

test('parcels of the last ten seconds, and one that was sent again is no younger', async () => {
  const clock = new ManualClock();
  const recent = new RecentParcels(clock);
  recent.note([parcel(1)]);
  await clock.advance(6_000);
  recent.note([parcel(1), parcel(2)]);
  expect(recent.parcels()).toEqual([parcel(1), parcel(2)]);
  await clock.advance(4_001);
  expect(recent.parcels()).toEqual([parcel(2)]);
  await clock.advance(6_000);
  expect(recent.parcels()).toEqual([]);
});

test('the newest, where there are too many', () => {
  const recent = new RecentParcels(new ManualClock());
  const all = Array.from({ length: limits.deliveryParcelsKept + 5 }, (_, n) => parcel(n));
  recent.note(all);
  expect(recent.parcels()).toEqual(all.slice(5));
});
