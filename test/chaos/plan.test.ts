// plan.test.ts: what the plan of a chaos run promises, over many seeds.

import { describe, expect, test } from 'vitest';
import { drawPlan, type FaultKind, type KindSpec, kinds, type PlannedFault } from './plan.js';

const seeds = Array.from({ length: 300 }, (_, seed) => seed);
const all = Object.keys(kinds) as FaultKind[];

function specOf({ kind }: PlannedFault): KindSpec {
  return kinds[kind];
}

describe.each([1.5, 2, 10])('in %d minutes', (minutes) => {
  const plans = seeds.map((seed) => drawPlan(seed, minutes));

  test('every kind comes, and more than forty faults in every two minutes', () => {
    for (const plan of plans) {
      expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set(all));
      expect(plan.length).toBeGreaterThan(40 * Math.max(1, minutes / 2) - 1);
    }
  });

  test('every kind that any process may have comes to a worker', () => {
    const any = all.filter((kind) => new Set(kinds[kind].on).size > 4);
    expect(any).toEqual(expect.arrayContaining(['black-hole', 'latency', 'lost-replies']));
    for (const plan of plans) {
      const ofWorkers = plan.filter(({ on }) => on.startsWith('worker-')).map(({ kind }) => kind);
      expect(ofWorkers).toEqual(expect.arrayContaining(any));
    }
  });

  test('no process has two faults at once', () => {
    for (const plan of plans) {
      for (const [i, one] of plan.entries()) {
        if (one.on === 'tasks' || specOf(one).apart !== undefined) continue;
        const next = plan.slice(i + 1).find(({ on }) => on === one.on);
        expect(next === undefined || next.atMs > one.atMs + one.forMs).toBe(true);
      }
    }
  });

  test('one ZooKeeper server is down at a time, so that two are left, and between two there is time to mend', () => {
    for (const plan of plans) {
      for (const group of ['zookeeper', 'redis']) {
        const ofGroup = plan.filter((fault) => specOf(fault).apart?.group === group);
        ofGroup.slice(1).forEach((fault, i) => {
          const before = ofGroup[i] as PlannedFault;
          expect(fault.atMs).toBeGreaterThan(before.atMs + before.forMs);
        });
      }
    }
  });

  test('faults of different processes overlap', () => {
    for (const plan of plans) {
      const overlaps = plan.filter((one) =>
        plan.some(
          (other) => other !== one && other.atMs < one.atMs && other.atMs + other.forMs > one.atMs + 500,
        ),
      );
      expect(overlaps.length).toBeGreaterThan(5);
    }
  });

  test('the last has ended when the time is over', () => {
    for (const plan of plans) {
      for (const { atMs, forMs } of plan) expect(atMs + forMs).toBeLessThanOrEqual(minutes * 60_000);
    }
  });
});

test('a seed draws the same plan again, another seed another one', () => {
  expect(drawPlan(7, 2)).toEqual(drawPlan(7, 2));
  expect(drawPlan(7, 2)).not.toEqual(drawPlan(8, 2));
});

test('what cannot be laid here is left out', () => {
  const plan = drawPlan(1, 2, new Set(['disk-full', 'clock-jump']));
  expect(plan.some(({ kind }) => kind === 'disk-full' || kind === 'clock-jump')).toBe(false);
  expect(plan.length).toBeGreaterThan(40);
});
