// client.ts: the API as a program calls it. Owns the calls and their types; requests are request.ts, and what the API gives
// and takes is shapes.ts.

import { unreachable } from './api-error.js';
import { itemsOf, type StreamItem } from './events.js';
import { pathPart, queryOf } from './path.js';
import { type ClientOptions, Requests } from './request.js';
import { SchedulesClient } from './schedules.js';
import type {
  Accepted,
  Outcomes,
  QueueSetting,
  Queues,
  Resolution,
  State,
  Submission,
  Task,
  TaskPage,
  Worker,
  Workers,
} from './shapes.js';

/** The API waits no longer for one request. */
const waitSecondsMax = 30;

/** Which tasks: all that fit. Times are ISO 8601 with an offset, or ms since 1970. */
export type ListFilter = {
  readonly state?: State;
  readonly queue?: string;
  readonly type?: string;
  /** Of the last attempt that ended. */
  readonly errorCode?: string;
  readonly acceptedAfter?: string | number;
  readonly acceptedBefore?: string | number;
  /** Of one page, 1 – 500; default 50. */
  readonly limit?: number;
  /** Of the page before. */
  readonly cursor?: string;
};

export type EventFilter = Pick<ListFilter, 'state' | 'queue' | 'type'>;

/** Every call throws `ClaimkeeperApiError`. */
export class ClaimkeeperClient {
  readonly schedules: SchedulesClient;
  readonly #requests: Requests;

  constructor(options: ClientOptions) {
    this.#requests = new Requests(options);
    this.schedules = new SchedulesClient(this.#requests);
  }

  /** Once this resolves, the task is in the ledger. Repeating it does no harm: the id tells. */
  async submit(task: Submission): Promise<Accepted> {
    const call = { method: 'POST', path: 'v1/tasks', body: task, repeatable: true } as const;
    return (await this.#requests.ask(call)) as Accepted;
  }

  /** Up to 1,000; one outcome each, in order: one that is refused harms no other, and is not asked again. */
  async submitMany(tasks: readonly Submission[]): Promise<Outcomes['outcomes']> {
    const call = { method: 'POST', path: 'v1/tasks/batch', body: { tasks }, repeatable: true } as const;
    const { outcomes } = (await this.#requests.ask(call)) as Partial<Outcomes>;
    if (outcomes?.length === tasks.length) return outcomes;
    const why = `it gave ${outcomes?.length ?? 'no'} outcomes for ${tasks.length} tasks`;
    throw unreachable(this.#requests.origin, why);
  }

  async get(id: string): Promise<Task> {
    return (await this.#requests.ask({ method: 'GET', path: taskPath(id) })) as Task;
  }

  /** Resolves once the task has ended, or `seconds` (whole, default 30) are over: its `state` tells. */
  async wait(id: string, { seconds = waitSecondsMax }: { readonly seconds?: number } = {}): Promise<Task> {
    for (let left = seconds; ; left -= waitSecondsMax) {
      const part = Math.min(left, waitSecondsMax);
      const call = { method: 'GET', path: `${taskPath(id)}?wait=${part}`, waitMs: part * 1_000 } as const;
      const task = (await this.#requests.ask(call)) as Task;
      const goesOn = task.state === 'waiting' || task.state === 'running';
      if (!goesOn || left <= waitSecondsMax) return task;
    }
  }

  cancel(id: string): Promise<Task> {
    return this.#act(id, 'cancel');
  }

  replay(id: string): Promise<Task> {
    return this.#act(id, 'replay');
  }

  resolve(id: string, resolution: Resolution): Promise<Task> {
    return this.#act(id, 'resolve', resolution);
  }

  /** The newest first, a page at a time. */
  async list(filter: ListFilter = {}): Promise<TaskPage> {
    return (await this.#requests.ask({ method: 'GET', path: `v1/tasks${queryOf(filter)}` })) as TaskPage;
  }

  /** Every queue with its counts. */
  async queues(): Promise<Queues> {
    return (await this.#requests.ask({ method: 'GET', path: 'v1/queues' })) as Queues;
  }

  /** No worker takes its tasks any more; those that run go on. */
  pauseQueue(queue: string): Promise<QueueSetting> {
    return this.#steer(queue, 'pause');
  }

  resumeQueue(queue: string): Promise<QueueSetting> {
    return this.#steer(queue, 'resume');
  }

  /**
   * Changes of state as they happen, until the stream ends. `after`: the id of the last item that was seen; '0': from the
   * oldest that is kept; without it from now on.
   */
  events(
    filter: EventFilter = {},
    { after, signal }: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<StreamItem, void, undefined> {
    const path = `v1/events${queryOf(filter)}`;
    const seen: Record<string, string> = after === undefined ? {} : { 'last-event-id': after };
    return itemsOf((over) => this.#requests.stream(path, seen, over), signal);
  }

  async workers(): Promise<readonly Worker[]> {
    return ((await this.#requests.ask({ method: 'GET', path: 'v1/workers' })) as Workers).workers;
  }

  async #steer(queue: string, act: 'pause' | 'resume'): Promise<QueueSetting> {
    const path = `v1/queues/${pathPart(queue, 'NAME_INVALID', 'queue')}/${act}`;
    return (await this.#requests.ask({ method: 'POST', path, repeatable: true })) as QueueSetting;
  }

  async #act(id: string, act: string, body?: unknown): Promise<Task> {
    const sent = body === undefined ? {} : { body };
    return (await this.#requests.ask({ method: 'POST', path: `${taskPath(id)}/${act}`, ...sent })) as Task;
  }
}

function taskPath(id: string): string {
  return `v1/tasks/${pathPart(id, 'TASK_ID_INVALID', 'task id')}`;
}
