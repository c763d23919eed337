// cases.ts: what is measured: each case puts some contestants side by side, or one under several conditions.

import type { EntrantName } from './contestants/index.js';
import {
  backlog,
  bulk,
  bursts,
  drain,
  endToEnd,
  http,
  latency,
  memory,
  type Scenario,
  singles,
  takeover,
} from './scenarios.js';

export type Entry = { readonly name: string; readonly entrant: EntrantName; readonly scenario: Scenario };

export type Case = {
  readonly title: string;
  /** What its entries are compared by. */
  readonly metric: string;
  /** Of the tasks of a run: what is slow takes fewer. */
  readonly share: number;
  readonly entries: readonly Entry[];
};

export type Scale = {
  /** Of a run, but for the backlogs. */
  readonly tasks: number;
  /** Of single submits at a pace. */
  readonly seconds: number;
  readonly bursts: number;
  /** Tasks that wait: few, and many. */
  readonly backlogs: readonly number[];
};

const everybody = [
  'claimkeeper',
  'bullmq-always',
  'bullmq-everysec',
  'bullmq-no-fsync',
  'bee-queue-always',
  'pg-boss',
  'graphile-worker',
  'graphile-worker-local',
] as const;

/** Those that take over from a worker that was killed within minutes; the others wait for a quarter of an hour and more. */
const takers = ['claimkeeper', 'bullmq-always', 'bee-queue-always'] as const;

function among(names: readonly EntrantName[], scenario: Scenario): Entry[] {
  return names.map((entrant) => ({ name: entrant, entrant, scenario }));
}

function ours(name: string, scenario: Scenario, entrant: EntrantName = 'claimkeeper'): Entry {
  return { name, entrant, scenario };
}

function compared(title: string, scenario: Scenario, { metric = 'tasks/s', share = 1 } = {}): Case {
  return { title, metric, share, entries: among(everybody, scenario) };
}

export function casesAt(scale: Scale): Record<string, Case> {
  return {
    bulk: compared('Submit in bulk, calls of 1,000, four at once', bulk()),
    'bulk-1k': compared('Submit in bulk, payloads of 1 KiB', bulk(1_024), { share: 0.5 }),
    'bulk-16k': compared('Submit in bulk, payloads of 16 KiB', bulk(16_384), { share: 0.1 }),
    singles: compared('Submit one by one by the library, 64 at once', singles(64), { share: 0.5 }),
    http: compared('Submit one by one over HTTP, 64 connections', http(64), { share: 0.5 }),
    'drain-1': compared('Drain with 1 slot', drain({ slots: 1 }), { share: 0.1 }),
    'drain-100': compared('Drain with 100 slots', drain({ slots: 100 })),
    'drain-1000': compared('Drain with 1,000 slots', drain({ slots: 1_000 })),
    'drain-100x4': compared('Drain with 100 slots in each of 4 processes', drain({ slots: 100, workers: 4 })),
    'end-to-end-100': compared('Bulk submit to completion, 100 slots', endToEnd(100)),
    'end-to-end-1000': compared('Bulk submit to completion, 1,000 slots', endToEnd(1_000)),
    'end-to-end-1k': compared('The same with 100 slots and payloads of 1 KiB', endToEnd(100, 1_024), {
      share: 0.5,
    }),
    'end-to-end-16k': compared('The same with 100 slots and payloads of 16 KiB', endToEnd(100, 16_384), {
      share: 0.1,
    }),
    latency: compared('100 single tasks per second to idle workers', latency(100, scale.seconds), {
      metric: 'completed ms p50',
      share: 0.5,
    }),
    bursts: compared('Bursts of 1,000 tasks to idle workers, 100 slots', bursts(1_000, scale.bursts), {
      metric: 'burst ms p50',
    }),
    duplicates: {
      title: 'Drain with 100 slots, deliveries repeated',
      metric: 'tasks/s',
      share: 1,
      entries: [0, 0.01, 0.1].map((again) => ours(`${again * 100} % twice`, drain({ slots: 100, again }))),
    },
    ensemble: {
      title: 'Bulk submit to completion with 100 slots, on one ZooKeeper server and on three',
      metric: 'tasks/s',
      share: 1,
      entries: [ours('1 server', endToEnd(100)), ours('3 servers', endToEnd(100), 'claimkeeper-3-servers')],
    },
    backlog: {
      title: 'Drain with 100 slots while so many more tasks wait',
      metric: 'CPU µs/task',
      share: 1,
      entries: scale.backlogs.map((waiting) => ours(`${waiting} waiting`, backlog(waiting))),
    },
    memory: {
      title: 'ZooKeeper’s live heap, payloads of 100 bytes',
      metric: 'heap bytes/waiting task',
      share: 10,
      entries: [ours('claimkeeper', memory)],
    },
    takeover: {
      title: 'Three of four workers killed in the midst of tasks of 20 ms',
      metric: 's until all are completed',
      share: 0.5,
      entries: among(takers, takeover(3)),
    },
  };
}
