// bench.test.ts: how the benchmark counts and judges: its figures, its proof that each task was run once, its targets.

import { describe, expect, test } from 'vitest';
import { figuresOf, median, quantile } from '../../bench/figures.js';
import type { Results } from '../../bench/results.js';
import { assertNoneTwice, assertOnce, merged, Tally } from '../../bench/tally.js';
import { judged } from '../../bench/targets.js';
import { numberOf, tasksOf } from '../../bench/task.js';

describe('figures', () => {
  test('the median of an even count is the middle of two', () => {
    expect(median([9, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  test('a quantile is a value that was measured', () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)]).toEqual([50, 99, 100]);
    expect(quantile([7], 0.5)).toBe(7);
  });

  test('a metric that some runs lack has the figures of the others', () => {
    expect(figuresOf([{ a: 1, b: 5 }, { a: 3 }])).toEqual({
      a: { median: 2, min: 1, max: 3, rounds: 2 },
      b: { median: 5, min: 5, max: 5, rounds: 1 },
    });
  });
});

describe('tasks', () => {
  test('have the payload that was asked for, and their number in their id', () => {
    const tasks = tasksOf({ from: 998, count: 3, bytes: 100 });
    expect(tasks.map(({ payload }) => JSON.stringify(payload).length)).toEqual([100, 100, 100]);
    expect(tasks.map(({ id }) => numberOf(id))).toEqual([998, 999, 1000]);
  });
});

describe('the proof that each task was run once', () => {
  function tallies(...runs: readonly (readonly number[])[]) {
    return runs.map((numbers) => {
      const tally = new Tally(3);
      for (const n of numbers) {
        tally.start(n);
        tally.complete(n);
      }
      return tally.counts;
    });
  }

  test('counts over all processes', () => {
    assertOnce(merged(tallies([0, 2], [1]), 3), 3);
  });

  test('finds a task that was lost, and one that two processes ran', () => {
    expect(() => assertOnce(merged(tallies([0], [1]), 3), 3)).toThrow('task 2 was started 0 times');
    expect(() => assertOnce(merged(tallies([0, 1], [1, 2]), 3), 3)).toThrow('task 1 was started 2 times');
  });

  test('finds a task that was run twice where others still wait', () => {
    assertNoneTwice(merged(tallies([0], [1]), 3));
    expect(() => assertNoneTwice(merged(tallies([1], [1]), 3))).toThrow('task 1 was run more than once');
  });
});

describe('targets', () => {
  function results(name: string, metric: string, medians: Record<string, number>): Results {
    const entries = Object.entries(medians).map(([entry, value]) => ({
      name: entry,
      figures: { [metric]: { median: value, min: value, max: value, rounds: 1 } },
    }));
    return { [name]: { title: name, metric, entries, runs: [] } };
  }
  const found = (of: Results, what: string) => judged(of).find((verdict) => verdict.what === what);

  test('a ratio is of the medians, and is held to its bound', () => {
    const what = 'bulk submit, × BullMQ';
    const at = (tasks: number) =>
      found(results('bulk', 'tasks/s', { claimkeeper: tasks, 'bullmq-always': 10 }), what);
    expect(at(30)).toMatchObject({ found: 3, met: true });
    expect(at(29)).toMatchObject({ found: 2.9, met: false });
  });

  test('what is to be low is judged from above, and a figure alone against the bound', () => {
    const waiting = (bytes: number) =>
      found(
        results('memory', 'heap bytes/waiting task', { claimkeeper: bytes }),
        'heap bytes per waiting task',
      );
    expect(waiting(1_000)?.met).toBe(true);
    expect(waiting(1_001)?.met).toBe(false);
  });

  test('what was not measured is neither met nor missed', () => {
    expect(found({}, 'bulk submit, × BullMQ')).toMatchObject({ found: null, met: null });
    const alone = results('bulk', 'tasks/s', { claimkeeper: 30 });
    expect(found(alone, 'bulk submit, × BullMQ')?.met).toBeNull();
  });
});
