// queue-guard.ts: the service as a caller may use it: tasks of queues that its key does not cover are refused, whatever the
// route. Without a key, or with one for all queues, it is the service itself.

import type { FeedItem } from '../delivery/index.js';
import {
  ClaimkeeperError,
  coversQueue,
  type FleetMember,
  type FollowInput,
  type Json,
  type ListInput,
  type Resolution,
  shown,
  type TaskRecord,
} from '../domain/index.js';
import type { Caller } from './access.js';
import type { Readiness, ServiceStats, SubmitOutcome, TaskService } from './port.js';
import { ScheduleGuard } from './schedule-guard.js';
import type { ScheduleService } from './schedule-port.js';

/** Whether the caller may make, see and steer tasks of that queue. */
function mayUseQueue({ key }: Caller, queue: string): boolean {
  return key === null || coversQueue(key.queues, queue);
}

export function guarded(tasks: TaskService, caller: Caller): TaskService {
  return caller.key === null || caller.key.queues.includes('*') ? tasks : new QueueGuard(tasks, caller);
}

class QueueGuard implements TaskService {
  readonly #tasks: TaskService;
  readonly #caller: Caller;
  readonly schedules: ScheduleService;

  constructor(tasks: TaskService, caller: Caller) {
    this.#tasks = tasks;
    this.#caller = caller;
    this.schedules = new ScheduleGuard(tasks.schedules, {
      covers: (queue) => mayUseQueue(caller, queue),
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
    if (record === null || mayUseQueue(this.#caller, record.queue)) return record;
    // Its queue is none of the caller's business.
    throw this.#forbidden(`does not cover the queue of the task ${shown(id)}`);
  }

  async progress(id: string): Promise<Json | null> {
    return (await this.get(id)) === null ? null : this.#tasks.progress(id);
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

  async untilEnded(id: string, signal: AbortSignal): Promise<void> {
    await this.get(id);
    return this.#tasks.untilEnded(id, signal);
  }

  /** Whole: what a worker has taken are ids, and those tell nothing of their queues. */
  fleet(): Promise<readonly FleetMember[]> {
    return this.#tasks.fleet();
  }

  stats(): ServiceStats {
    return this.#tasks.stats();
  }

  ready(): Readiness {
    return this.#tasks.ready();
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
    return { ...rest, queues: queues.filter(({ queue }) => mayUseQueue(this.#caller, queue)) };
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
    return this.#covered(await this.#tasks.events(input, signal));
  }

  async *#covered(feed: AsyncGenerator<FeedItem, void, void>): AsyncGenerator<FeedItem, void, void> {
    for await (const item of feed) {
      if (item.kind !== 'event' || mayUseQueue(this.#caller, item.task.queue)) yield item;
    }
  }

  /** What is no queue's name is the service's to say. */
  #assertCovered(queue: unknown): void {
    if (typeof queue !== 'string' || mayUseQueue(this.#caller, queue)) return;
    throw this.#forbidden(`does not cover the queue ${shown(queue)}`, 'queue');
  }

  /** What is not valid is not this guard's to say: the service says it. */
  #refusalOf(input: unknown): SubmitOutcome | null {
    const { queue = 'default' } = (typeof input === 'object' && input !== null ? input : {}) as {
      queue?: unknown;
    };
    if (typeof queue !== 'string' || mayUseQueue(this.#caller, queue)) return null;
    return { kind: 'refused', error: this.#forbidden(`does not cover the queue ${shown(queue)}`, 'queue') };
  }

  #forbidden(why: string, field?: string): ClaimkeeperError {
    const message = `the key ${this.#caller.key?.id} ${why}; it covers ${this.#caller.key?.queues.join(', ')}`;
    return new ClaimkeeperError('QUEUE_FORBIDDEN', message, field === undefined ? {} : { field });
  }
}
