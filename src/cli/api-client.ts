// api-client.ts: the API from the outside. Owns requests and the reading of answers; what is asked belongs to the commands.

import {
  ClaimkeeperError,
  type ErrorCode,
  errorRegistry,
  limits,
  parseName,
  parseTaskId,
  type Resolution,
} from '../domain/index.js';
import type { Problem, QueueView, SummaryView, TaskView } from '../http/index.js';
import { type Clock, delay } from '../runtime/index.js';

export type SubmitReply =
  | {
      readonly kind: 'created' | 'same';
      readonly id: string;
      readonly state: string;
      readonly dedupUntil: string;
    }
  | { readonly kind: 'refused'; readonly error: Problem };

export type ListReply = {
  readonly tasks: readonly SummaryView[];
  readonly cursor: string | null;
  readonly rebuilding: boolean;
};
export type QueuesReply = { readonly queues: readonly QueueView[]; readonly rebuilding: boolean };

/** The API answers within `limits.requestMsMax`, be it with an error; the rest is for the way. */
const answerMsMax = limits.requestMsMax + 5_000;

export class ApiClient {
  readonly #base: URL;
  readonly #clock: Clock;
  readonly #headers: Readonly<Record<string, string>>;

  /** `apiKey` null: none is presented. */
  constructor(base: string, clock: Clock, apiKey: string | null = null) {
    this.#base = new URL(base.endsWith('/') ? base : `${base}/`);
    this.#clock = clock;
    this.#headers = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
  }

  /** At most `limits.batchTasksMax`; one reply each, in order. Repeating it does no harm: the ids tell. */
  async submit(inputs: readonly unknown[]): Promise<readonly SubmitReply[]> {
    const { outcomes } = (await this.#ask('POST', 'v1/tasks/batch', { tasks: inputs })) as {
      outcomes: readonly SubmitReply[];
    };
    return outcomes;
  }

  async get(id: string): Promise<TaskView> {
    return (await this.#ask('GET', `v1/tasks/${encodeURIComponent(parseTaskId(id))}`)) as TaskView;
  }

  replay(id: string): Promise<TaskView> {
    return this.#act(id, 'replay');
  }

  cancel(id: string): Promise<TaskView> {
    return this.#act(id, 'cancel');
  }

  resolve(id: string, resolution: Resolution): Promise<TaskView> {
    return this.#act(id, 'resolve', resolution);
  }

  async list(query: Readonly<Record<string, string>>): Promise<ListReply> {
    return (await this.#ask('GET', `v1/tasks?${new URLSearchParams(query)}`)) as ListReply;
  }

  async queues(): Promise<QueuesReply> {
    return (await this.#ask('GET', 'v1/queues')) as QueuesReply;
  }

  steerQueue(queue: string, act: 'pause' | 'resume'): Promise<unknown> {
    return this.#ask('POST', `v1/queues/${encodeURIComponent(parseName(queue, 'queue'))}/${act}`);
  }

  /**
   * The text of the stream of events, as it comes, until it ends or `signal` aborts. `after`: the id of the last one seen.
   * @throws ClaimkeeperError as the API answers it, or `API_UNREACHABLE`
   */
  async *events(
    query: Readonly<Record<string, string>>,
    after: string | null,
    signal: AbortSignal,
  ): AsyncGenerator<string, void, void> {
    const url = new URL(`v1/events?${new URLSearchParams(query)}`, this.#base);
    const headers = after === null ? {} : { 'last-event-id': after };
    try {
      const response = await fetch(url, { signal, headers });
      if (response.status !== 200 || response.body === null) {
        answerOf(url, response.status, await response.text());
        return;
      }
      const decoder = new TextDecoder();
      for await (const bytes of response.body) yield decoder.decode(bytes, { stream: true });
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof ClaimkeeperError ? error : unreachable(url, causeOf(error), error);
    }
  }

  async #act(id: string, act: string, body?: unknown): Promise<TaskView> {
    const path = `v1/tasks/${encodeURIComponent(parseTaskId(id))}/${act}`;
    return (await this.#ask('POST', path, body)) as TaskView;
  }

  /** @throws ClaimkeeperError as the API answers it, or `API_UNREACHABLE` */
  async #ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
    const url = new URL(path, this.#base);
    const overdue = new AbortController();
    const timer = this.#clock.after(answerMsMax, () => overdue.abort(), { keepAlive: true });
    try {
      const json = { 'content-type': 'application/json' };
      const sent =
        body === undefined
          ? { headers: this.#headers }
          : { body: JSON.stringify(body), headers: { ...this.#headers, ...json } };
      for (;;) {
        const response = await fetch(url, { method, signal: overdue.signal, ...sent });
        const text = await response.text();
        if (response.status !== 429) return answerOf(url, response.status, text);
        await delay(this.#clock, pauseMsOf(response), overdue.signal);
        if (overdue.signal.aborted) return answerOf(url, response.status, text);
      }
    } catch (error) {
      if (error instanceof ClaimkeeperError) throw error;
      const why = overdue.signal.aborted ? `no answer within ${answerMsMax} ms` : causeOf(error);
      throw unreachable(url, why, error);
    } finally {
      timer.cancel();
    }
  }
}

/** What a caller that asks too often is told to wait. */
function pauseMsOf({ headers }: Response): number {
  const seconds = Number(headers.get('retry-after') ?? 1);
  return seconds > 0 && seconds < 60 ? seconds * 1_000 : 1_000;
}

function answerOf(url: URL, status: number, text: string): unknown {
  const answer = parseJson(text);
  if (typeof answer !== 'object' || answer === null)
    throw unreachable(url, `it answered ${status} without JSON`);
  if (status < 400) return answer;
  const { code, detail, field } = answer as Partial<Problem>;
  if (code === undefined || !Object.hasOwn(errorRegistry, code)) {
    throw unreachable(url, `it answered ${status}, and not as the API does`);
  }
  throw new ClaimkeeperError(code as ErrorCode, String(detail), field === undefined ? {} : { field });
}

function unreachable(url: URL, why: string, cause?: unknown): ClaimkeeperError {
  return new ClaimkeeperError('API_UNREACHABLE', `no answer from the API at ${url.origin}: ${why}`, {
    cause,
  });
}

/** fetch says only that it failed; why is in the cause. */
function causeOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
