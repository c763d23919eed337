// fleet.ts: a worker process as others know it.

import type { EpochMs } from './brand.js';
import type { Name, TaskId, WorkerId } from './ids.js';

/** A worker process as the fleet knows it. */
export type FleetMember = {
  readonly id: WorkerId;
  /** Of the host it runs on. */
  readonly pid: number;
  readonly host: string;
  readonly queues: readonly Name[];
  readonly types: readonly Name[];
  readonly concurrency: number;
  readonly startedAt: EpochMs;
  /** Its ZooKeeper session: a new one after an expiry. */
  readonly session: string;
  /** What it has claimed now. */
  readonly tasks: readonly TaskId[];
};
