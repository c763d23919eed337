// options.ts: what `connect` and a worker may be told. Owns the options' shapes, ranges and defaults.

import { z } from 'zod';
import { limits } from './domain/index.js';
import type { Logger } from './runtime/index.js';
import type { TaskType } from './worker/index.js';

const dayMs = 24 * 3_600_000;

export const optionsSchema = z.strictObject({
  zookeeper: z.string().min(1),
  redis: z.string().min(1),
  chroot: z.string().default('/claimkeeper'),
  prefix: z.string().min(1).default('claimkeeper'),
  sessionTimeoutMs: z.int().min(1_000).max(600_000).default(10_000),
  requestMsMax: z.int().min(100).max(600_000).default(10_000),
  graceMs: z.int().min(0).max(600_000).default(1_000),
  reconcileEveryMs: z.int().min(100).default(30_000),
  dedupWindowMs: z
    .int()
    .min(0)
    .default(7 * dayMs),
  historyMs: z
    .int()
    .min(1)
    .default(30 * dayMs),
  log: z.custom<Logger>().optional(),
});

export type ConnectOptions = {
  /** `host:port[,host:port…]`. */
  readonly zookeeper: string;
  /** `redis://…` */
  readonly redis: string;
  /** Root of the znode tree; default `/claimkeeper`. */
  readonly chroot?: string;
  /** Before every Redis key; default `claimkeeper`. */
  readonly prefix?: string;
  /** ZooKeeper session timeout to ask for, in ms: 1 000 – 600 000, default 10 000. A dead worker's tasks are seen after it. */
  readonly sessionTimeoutMs?: number;
  /** How long a submit or an operator's call may take, in ms; default 10 000. */
  readonly requestMsMax?: number;
  /** From a claim's vanishing to its tasks' interruption, in ms; default 1 000. */
  readonly graceMs?: number;
  /** Between two slow passes over the ledger, in ms; default 30 000. */
  readonly reconcileEveryMs?: number;
  /** How long a finished task's id is remembered in the ledger, in ms; default 7 days. */
  readonly dedupWindowMs?: number;
  /** How long a task can be read after it left the ledger, in ms; default 30 days. */
  readonly historyMs?: number;
  /** Default: warnings and errors as JSON lines on standard error. */
  readonly log?: Logger;
};

export type WorkerSettings = {
  readonly types: readonly TaskType[];
  /** Default `['default']`. */
  readonly queues?: readonly string[];
  /** Handlers run at once: 1 – 10 000, default 10. As many tasks again may be on their way into the ledger. */
  readonly concurrency?: number;
  /** How long a stop waits for running tasks before it aborts their signals, in ms; default 30 000. */
  readonly drainMsMax?: number;
};

export const workerSchema = z.strictObject({
  types: z.array(z.custom<TaskType>()).min(1),
  queues: z.array(z.string()).min(1).default(['default']),
  concurrency: z.int().min(1).max(10_000).default(10),
  drainMsMax: z.int().min(0).max(limits.timeoutMsMax).default(30_000),
});

export type Resolved = z.output<typeof optionsSchema>;
