// api-client.ts: the API as the commands ask it: the package's own client, with the errors and exit codes of a command line.

import {
  type Accepted,
  ClaimkeeperApiError,
  ClaimkeeperClient,
  type Outcomes,
  type QueueSetting,
  type Queues,
  type Resolution,
  type Schedule,
  type ScheduleChange,
  type ScheduleDefinition,
  type StreamItem,
  type Submission,
  type Task,
  type TaskPage,
  type TicksAsked,
  type Worker,
} from '../client/index.js';
import {
  ClaimkeeperError,
  type ErrorCode,
  errorRegistry,
  parseName,
  parseScheduleId,
  parseTaskId,
} from '../domain/index.js';
import type { Config } from '../runtime/index.js';

export type SubmitReply = Outcomes['outcomes'][number];

/**
 * Inputs as they came: what is valid, the API says. What fails is not asked twice: whoever runs a command sees
 * why, and decides. Only where it asks too often it waits as it is told.
 */
export class ApiClient {
  readonly #client: ClaimkeeperClient;

  /** `apiKey` null: none is presented. */
  constructor(url: string, apiKey: string | null = null) {
    const key = apiKey === null ? {} : { apiKey };
    this.#client = new ClaimkeeperClient({ url, ...key, retry: { attempts: 1 } });
  }

  /** At most `limits.batchTasksMax`; one reply each, in order. Repeating it does no harm: the ids tell. */
  submit(inputs: readonly unknown[]): Promise<readonly SubmitReply[]> {
    return told(this.#client.submitMany(inputs as readonly Submission[]));
  }

  async get(id: string): Promise<Task> {
    return told(this.#client.get(parseTaskId(id)));
  }

  /** Once it has ended, or after `seconds`. */
  async wait(id: string, seconds: number): Promise<Task> {
    return told(this.#client.wait(parseTaskId(id), { seconds }));
  }

  async replay(id: string): Promise<Task> {
    return told(this.#client.replay(parseTaskId(id)));
  }

  async cancel(id: string): Promise<Task> {
    return told(this.#client.cancel(parseTaskId(id)));
  }

  async resolve(id: string, resolution: Resolution): Promise<Task> {
    return told(this.#client.resolve(parseTaskId(id), resolution));
  }

  list(filter: Readonly<Record<string, string>>): Promise<TaskPage> {
    return told(this.#client.list(filter));
  }

  queues(): Promise<Queues> {
    return told(this.#client.queues());
  }

  async steerQueue(queue: string, act: 'pause' | 'resume'): Promise<QueueSetting> {
    const name = parseName(queue, 'queue');
    return told(act === 'pause' ? this.#client.pauseQueue(name) : this.#client.resumeQueue(name));
  }

  /** Until the stream ends. `after`: the id of the last item seen. @throws ClaimkeeperError as every call */
  async *events(
    filter: Readonly<Record<string, string>>,
    after: string | null,
  ): AsyncGenerator<StreamItem, void, undefined> {
    const items = this.#client.events(filter, after === null ? {} : { after });
    try {
      for (let next = await told(items.next()); !next.done; next = await told(items.next())) yield next.value;
    } finally {
      await items.return();
    }
  }

  workers(): Promise<readonly Worker[]> {
    return told(this.#client.workers());
  }

  schedules(): Promise<readonly Schedule[]> {
    return told(all(this.#client.schedules.list()));
  }

  async schedule(id: string): Promise<Schedule> {
    return told(this.#client.schedules.get(parseScheduleId(id)));
  }

  createSchedule(definition: object): Promise<Schedule> {
    return told(this.#client.schedules.create(definition as ScheduleDefinition));
  }

  async updateSchedule(id: string, change: object, revision: string | undefined): Promise<Schedule> {
    return told(this.#client.schedules.update(parseScheduleId(id), change as ScheduleChange, revision));
  }

  async removeSchedule(id: string, revision: string | undefined): Promise<void> {
    return told(this.#client.schedules.remove(parseScheduleId(id), revision));
  }

  async actOnSchedule(id: string, act: 'pause' | 'resume'): Promise<Schedule> {
    return told(this.#client.schedules[act](parseScheduleId(id)));
  }

  async runSchedule(id: string, key: string | undefined): Promise<Accepted> {
    return told(this.#client.schedules.run(parseScheduleId(id), key));
  }

  async nextTicks(id: string, asked: TicksAsked): Promise<readonly string[]> {
    return told(this.#client.schedules.next(parseScheduleId(id), asked));
  }

  previewTicks(definition: object, asked: TicksAsked): Promise<readonly string[]> {
    return told(this.#client.schedules.preview(definition as ScheduleDefinition, asked));
  }
}

/** As the settings say. */
export function apiClient({ api, apiKey }: Pick<Config, 'api' | 'apiKey'>): ApiClient {
  return new ApiClient(api, apiKey);
}

/** @throws ClaimkeeperError as the API answers it, or `API_UNREACHABLE` */
async function told<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof ClaimkeeperApiError)) throw error;
    const { message, field } = error;
    const code: ErrorCode = Object.hasOwn(errorRegistry, error.code) ? error.code : 'API_UNREACHABLE';
    throw new ClaimkeeperError(code, message, { cause: error, ...(field === undefined ? {} : { field }) });
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
