// queue-guard.ts: what a caller may do with tasks and queues: those that its key does not cover are refused, whatever the route.
// Without a key, or with one for all queues, it is the service itself. What is asked of a task once it was shown to the caller
// (its progress, its end) is asked of the service: nothing is read twice.

import {
  type ApiKey,
  ClaimkeeperError,
  coversQueue,
  type FollowInput,
  type ListInput,
  type Resolution,
  shown,
  type TaskRecord,
} from '../domain/index.js';
import type { Caller } from './access.js';
import type { SubmitOutcome, TaskService } from './port.js';
import { ScheduleGuard } from './schedule-guard.js';
import type { ScheduleService } from './schedule-port.js';

/** What of the service depends on who asks. */
export type Guarded = Omit<TaskService, 'progress' | 'untilEnded' | 'fleet' | 'stats' | 'ready'>;

export function guarded(tasks: TaskService, { key }: Caller): Guarded {
  return key === null || key.queues.includes('*') ? tasks : new QueueGuard(tasks, key);
}

class QueueGuard implements Guarded {
  readonly #tasks: TaskService;
  readonly #key: ApiKey;
  readonly schedules: ScheduleService;

  constructor(tasks: TaskService, key: ApiKey) {
    this.#tasks = tasks;
    this.#key = key;
    this.schedules = new ScheduleGuard(tasks.schedules, {
      queues: key.queues,
      refusal: (why, field) => this.#forbidden(why, field),
    });
  }

  async submitMany(inputs: readonly unknown[]): Promise<readonly SubmitOutcome[]> {
    const refused = inputs.map((input) => this.#refusalOf(input));
    const covered = inputs.filter((_, i) => refused[i] === null);
    const outcomes = [...(await this.#tasks.submitMany(covered))];
    return refused.map((refusal) => {
      const outcome = refusal ?? outcomes.shift();
      if (outcome === undefined) throw new Error('the service gave no outcome');
      return outcome;
    });
  }

  async get(id: string): Promise<TaskRecord | null> {
    const record = await this.#tasks.get(id);
    if (record === null || coversQueue(this.#key.queues, record.queue)) return record;
    // Its queue is none of the caller's business.
    throw this.#forbidden(`does not cover the queue of the task ${shown(id)}`);
  }

  async replay(id: string): Promise<TaskRecord> {
    await this.get(id);
    return this.#tasks.replay(id);
  }

  async cancel(id: string): Promise<TaskRecord> {
    await this.get(id);
    return this.#tasks.cancel(id);
  }

  async resolve(id: string, as: Resolution['as'], note: string): Promise<TaskRecord> {
    await this.get(id);
    return this.#tasks.resolve(id, as, note);
  }

  /** One queue at a time: a cursor over all would tell of tasks that are none of the caller's business. */
  async list(input: ListInput): ReturnType<TaskService['list']> {
    if (input.queue === undefined) {
      throw this.#forbidden('does not cover all queues: name the one to list', 'queue');
    }
    this.#assertCovered(input.queue);
    return this.#tasks.list(input);
  }

  async queues(): ReturnType<TaskService['queues']> {
    const { queues, ...rest } = await this.#tasks.queues();
    return { ...rest, queues: queues.filter(({ queue }) => coversQueue(this.#key.queues, queue)) };
  }

  async pauseQueue(queue: string): ReturnType<TaskService['pauseQueue']> {
    this.#assertCovered(queue);
    return this.#tasks.pauseQueue(queue);
  }

  async resumeQueue(queue: string): ReturnType<TaskService['resumeQueue']> {
    this.#assertCovered(queue);
    return this.#tasks.resumeQueue(queue);
  }

  async events(input: FollowInput, signal: AbortSignal): ReturnType<TaskService['events']> {
    if (input.queue !== undefined) this.#assertCovered(input.queue);
    return this.#tasks.events({ ...input, queues: this.#key.queues }, signal);
  }

  /** What is no queue's name is the service's to say. */
  #assertCovered(queue: unknown): void {
    if (typeof queue !== 'string' || coversQueue(this.#key.queues, queue)) return;
    throw this.#forbidden(`does not cover the queue ${shown(queue)}`, 'queue');
  }

  /** What is not valid is not this guard's to say: the service says it. */
  #refusalOf(input: unknown): SubmitOutcome | null {
    const { queue = 'default' } = (typeof input === 'object' && input !== null ? input : {}) as {
      queue?: unknown;
    };
    if (typeof queue !== 'string' || coversQueue(this.#key.queues, queue)) return null;
    return { kind: 'refused', error: this.#forbidden(`does not cover the queue ${shown(queue)}`, 'queue') };
  }

  #forbidden(why: string, field?: string): ClaimkeeperError {
    const { id, queues } = this.#key;
    const message = `the key ${id} ${why}; it covers ${queues.join(', ')}`;
    return new ClaimkeeperError('QUEUE_FORBIDDEN', message, field === undefined ? {} : { field });
  }
}
