// targets.ts: what the figures are to reach, and whether they do: by medians, of one and the same run of the benchmark. Pure.

import type { Results } from './results.js';

type Target = {
  readonly what: string;
  readonly case: string;
  readonly metric: string;
  readonly of: string;
  /** Compared with the best of these; without any, the figure itself is held to the bound. */
  readonly against: readonly string[];
  readonly bound: readonly ['≥' | '≤', number];
};

export type Verdict = Pick<Target, 'what' | 'bound'> & {
  /** Null: not measured. */
  readonly found: number | null;
  readonly met: boolean | null;
};

const us = 'claimkeeper';
const always = 'bullmq-always';
const local = 'graphile-worker-local';
/** Those that have what they accepted on disk, each in its fastest mode. */
const durablePeers = [always, 'bee-queue-always', 'pg-boss', 'graphile-worker', local];

function target(
  what: string,
  of: readonly [name: string, metric: string, entry?: string],
  against: readonly string[],
  ...bound: ['≥' | '≤', number]
): Target {
  const [name, metric, entry = us] = of;
  return { what, case: name, metric, of: entry, against, bound };
}

const cpu = 'CPU µs/task';

const targets: readonly Target[] = [
  target('bulk to completion, 100 slots, × BullMQ', ['end-to-end-100', 'tasks/s'], [always], '≥', 2),
  target('… × Graphile Worker’s local queue', ['end-to-end-100', 'tasks/s'], [local], '≥', 0.9),
  target('bulk to completion, 1,000 slots, × BullMQ', ['end-to-end-1000', 'tasks/s'], [always], '≥', 4),
  target('… × the fastest peer', ['end-to-end-1000', 'tasks/s'], durablePeers, '≥', 1.2),
  target('single submits over HTTP, × BullMQ', ['http', 'tasks/s'], [always], '≥', 1),
  target('bulk submit, × BullMQ', ['bulk', 'tasks/s'], [always], '≥', 3),
  target('submit to start, p50, × BullMQ', ['latency', 'start ms p50'], [always], '≤', 2),
  target('submit to start, p99, × BullMQ', ['latency', 'start ms p99'], [always], '≤', 2),
  target('submit to completed, p50, × BullMQ', ['latency', 'completed ms p50'], [always], '≤', 2),
  target('submit to completed, p99, × BullMQ', ['latency', 'completed ms p99'], [always], '≤', 2),
  target('CPU per task, all processes, × BullMQ', ['end-to-end-100', cpu], [always], '≤', 0.5),
  target('transactions per task, in bulk', ['end-to-end-100', 'ZooKeeper transactions/task'], [], '≤', 0.1),
  target('transactions per task, alone', ['latency', 'ZooKeeper transactions/task'], [], '≤', 3),
  target('heap bytes per waiting task', ['memory', 'heap bytes/waiting task'], [], '≤', 1_000),
  target('heap bytes per finished task', ['memory', 'heap bytes/finished task'], [], '≤', 600),
  target('1 % delivered twice, × none', ['duplicates', 'tasks/s', '1 % twice'], ['0 % twice'], '≥', 0.5),
  target(
    'CPU per task, a million waiting, × ten thousand',
    ['backlog', cpu, '1000000 waiting'],
    ['10000 waiting'],
    '≤',
    1.3,
  ),
  target('three ZooKeeper servers, × one', ['ensemble', 'tasks/s', '3 servers'], ['1 server'], '≥', 0.6),
];

export function judged(results: Results): Verdict[] {
  return targets.map((target) => {
    const { what, bound } = target;
    const found = foundFor(target, results);
    const met = found === null ? null : bound[0] === '≥' ? found >= bound[1] : found <= bound[1];
    return { what, bound, found, met };
  });
}

function foundFor({ case: name, metric, of, against, bound }: Target, results: Results): number | null {
  const median = (entry: string): number | null =>
    results[name]?.entries.find((each) => each.name === entry)?.figures[metric]?.median ?? null;
  const own = median(of);
  if (own === null || against.length === 0) return own;
  const others = against.map(median);
  if (others.includes(null)) return null;
  const best = bound[0] === '≥' ? Math.max(...(others as number[])) : Math.min(...(others as number[]));
  return own / best;
}
