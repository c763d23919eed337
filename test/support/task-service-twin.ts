// task-service-twin.ts: what the API serves, in memory: for tests of the API's shapes and of its clients. It knows as much of
// tasks as those show; the real one is the library's.

import {
  ClaimkeeperError,
  type EpochMs,
  type FleetMember,
  type Json,
  type Nonce,
  newRecord,
  parseSubmission,
  type Resolution,
  type State,
  type Submission,
  type TaskId,
  type TaskRecord,
} from '../../src/domain/index.js';
import type { Readiness, ServiceStats, SubmitOutcome, TaskService } from '../../src/http/index.js';
import { OverviewTwin } from './overview-twin.js';
import { ScheduleServiceTwin } from './schedule-service-twin.js';

export const twinNow = Date.UTC(2026, 0, 2, 3, 4, 5, 6) as EpochMs;
const dedupUntil = (twinNow + 86_400_000) as EpochMs;

/** Keeps submissions in a map; tells the same from other content as the ledger does. */
export class TaskServiceTwin extends OverviewTwin implements TaskService {
  readonly tasks = new Map<TaskId, Submission>();
  readonly schedules = new ScheduleServiceTwin(twinNow);
  workers: readonly FleetMember[] = [];
  /** Requests that wait for a task to end, by its id. */
  readonly waiting = new Map<string, () => void>();
  readonly ended = new Map<string, State>();
  /** What attempts say of how far they are, by `<id>:<attempt>`. */
  readonly said = new Map<string, Json>();
  counters: ServiceStats = {
    commits: { multis: 0, operations: 0, transactions: 0, refusedMultis: 0 },
    deliveriesDropped: 0,
    viewWordsDropped: 0,
  };
  failure: unknown = null;
  readiness: Readiness = { ready: true, zookeeper: 'connected', redis: 'ready' };

  ready(): Readiness {
    return this.readiness;
  }

  /** As if its attempt had ended so. */
  end(id: string, state: State): void {
    this.ended.set(id, state);
    this.waiting.get(id)?.();
  }

  async submitMany(inputs: readonly unknown[]): Promise<SubmitOutcome[]> {
    if (this.failure !== null) throw this.failure;
    return inputs.map((input) => this.#submit(input));
  }

  async get(id: TaskId): Promise<TaskRecord | null> {
    if (this.failure !== null) throw this.failure;
    const task = this.tasks.get(id);
    if (task === undefined) return null;
    const record = newRecord(task, 'nonce' as Nonce, twinNow);
    const state = this.ended.get(id);
    return state === undefined ? record : { ...record, state, finishedAt: twinNow };
  }

  async fleet(): Promise<readonly FleetMember[]> {
    if (this.failure !== null) throw this.failure;
    return this.workers;
  }

  /** The tasks end when {@link end} says so. */
  async untilEnded(id: string, signal: AbortSignal): Promise<void> {
    if (this.failure !== null) throw this.failure;
    await new Promise<void>((resolve) => {
      this.waiting.set(id, resolve);
      signal.addEventListener('abort', () => resolve());
    });
    this.waiting.delete(id);
  }

  stats(): ServiceStats {
    return this.counters;
  }

  async progress({ id, attempt }: Pick<TaskRecord, 'id' | 'attempt'>): Promise<Json | null> {
    return this.said.get(`${id}:${attempt}`) ?? null;
  }

  /** As if every task had failed whose id says so. */
  async replay(id: TaskId): Promise<TaskRecord> {
    const record = await this.#held(id);
    if (!id.startsWith('failed')) throw refused(record, 'replayed');
    return { ...record, attempt: 2, replays: 1 };
  }

  async cancel(id: TaskId): Promise<TaskRecord> {
    const record = await this.#held(id);
    return { ...record, state: 'cancelled', finishedAt: twinNow };
  }

  /** As if every task were uncertain whose id says so. */
  async resolve(id: TaskId, as: Resolution['as'], note: string): Promise<TaskRecord> {
    const record = await this.#held(id);
    if (!id.startsWith('uncertain')) throw refused(record, 'resolved');
    return { ...record, state: as, note, finishedAt: twinNow };
  }

  async #held(id: TaskId): Promise<TaskRecord> {
    const record = await this.get(id);
    if (record === null) throw new ClaimkeeperError('TASK_NOT_FOUND', `no task ${id} is in the ledger`);
    return record;
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

/** In the product's words: the guide shows them. */
function refused({ id, state }: TaskRecord, verb: string): ClaimkeeperError {
  return new ClaimkeeperError('MOVE_REFUSED', `task ${id} is ${state} and cannot be ${verb}`);
}
