// task-service-twin.ts: what the API serves, in memory: for tests of the API's shapes and of its clients. It knows as much of
// tasks as those show; the real one is the library's.

import {
  ClaimkeeperError,
  type EpochMs,
  type Nonce,
  newRecord,
  parseSubmission,
  type Resolution,
  type Submission,
  type TaskId,
  type TaskRecord,
} from '../../src/domain/index.js';
import type { Readiness, SubmitOutcome, TaskService } from '../../src/http/index.js';
import { OverviewTwin } from './overview-twin.js';

export const twinNow = Date.UTC(2026, 0, 2, 3, 4, 5, 6) as EpochMs;
const dedupUntil = (twinNow + 86_400_000) as EpochMs;

/** Keeps submissions in a map; tells the same from other content as the ledger does. */
export class TaskServiceTwin extends OverviewTwin implements TaskService {
  readonly tasks = new Map<TaskId, Submission>();
  failure: unknown = null;
  readiness: Readiness = { ready: true, zookeeper: 'connected', redis: 'ready' };

  ready(): Readiness {
    return this.readiness;
  }

  async submitMany(inputs: readonly unknown[]): Promise<SubmitOutcome[]> {
    if (this.failure !== null) throw this.failure;
    return inputs.map((input) => this.#submit(input));
  }

  async get(id: TaskId): Promise<TaskRecord | null> {
    if (this.failure !== null) throw this.failure;
    const task = this.tasks.get(id);
    return task === undefined ? null : newRecord(task, 'nonce' as Nonce, twinNow);
  }

  async progress(): Promise<null> {
    return null;
  }

  /** As if every task had failed whose id says so. */
  async replay(id: TaskId): Promise<TaskRecord> {
    const record = await this.get(id);
    if (record === null) throw new ClaimkeeperError('TASK_NOT_FOUND', `there is no task "${id}"`);
    if (!id.startsWith('failed')) {
      throw new ClaimkeeperError('MOVE_REFUSED', `the task "${id}" is ${record.state}`);
    }
    return { ...record, attempt: 2, replays: 1 };
  }

  async cancel(id: TaskId): Promise<TaskRecord> {
    const record = await this.get(id);
    if (record === null) throw new ClaimkeeperError('TASK_NOT_FOUND', `there is no task "${id}"`);
    return { ...record, state: 'cancelled', finishedAt: twinNow };
  }

  /** As if every task were uncertain whose id says so. */
  async resolve(id: TaskId, as: Resolution['as'], note: string): Promise<TaskRecord> {
    const record = await this.get(id);
    if (record === null) throw new ClaimkeeperError('TASK_NOT_FOUND', `there is no task "${id}"`);
    if (!id.startsWith('uncertain')) {
      throw new ClaimkeeperError('MOVE_REFUSED', `the task "${id}" is ${record.state}`);
    }
    return { ...record, state: as, note, finishedAt: twinNow };
  }

  #submit(input: unknown): SubmitOutcome {
    try {
      const task = parseSubmission(input, twinNow);
      const known = this.tasks.get(task.id);
      if (known === undefined) this.tasks.set(task.id, task);
      else if (known.hash !== task.hash) throw new ClaimkeeperError('TASK_CONFLICT', 'other content');
      return { kind: known ? 'same' : 'created', id: task.id, state: 'waiting', dedupUntil };
    } catch (error) {
      if (error instanceof ClaimkeeperError) return { kind: 'refused', error };
      throw error;
    }
  }
}
