// request.ts: one call of the API: its request, its answer, and its repetition. Owns when a call is made again: a 429, and a 503
// whose Retry-After is near, and never one that may have been done unless doing it twice is doing it once.

import { ClaimkeeperApiError, unreachable } from './api-error.js';
import { pause } from './pause.js';
import type { Problem } from './shapes.js';

export type ClientOptions = {
  /** Of the API, as `http://127.0.0.1:7411`. */
  readonly url: string;
  /** Where the API requires one. */
  readonly apiKey?: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For an answer, in ms, beyond what a call asks the API to wait; default 35 000. So long in all a 429 is waited out. */
  readonly timeoutMs?: number;
  /** Of a 503 that says when to ask again: so many calls in all (default 3), and not when it says more than `delayMsMax` (default 5 000). */
  readonly retry?: { readonly attempts?: number; readonly delayMsMax?: number };
  /** Default: the runtime's. */
  readonly fetch?: typeof fetch;
};

export type Call = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With its query, without a slash at its beginning. */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Doing it twice is doing it once: asked again also when it may have been done. */
  readonly repeatable?: boolean;
  /** How long the API was asked to wait. */
  readonly waitMs?: number;
};

type Answer =
  | { readonly value: unknown }
  | { readonly error: ClaimkeeperApiError; readonly afterMs: number | null };

/** Not followed: on its way a POST may become a GET, and a task that was never submitted look accepted. */
const redirect = 'error';

/** After a 429 that names no time. */
const pauseMsMin = 100;

type Texts = AsyncGenerator<string, void, undefined>;

export class Requests {
  readonly #base: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;
  readonly #attempts: number;
  readonly #delayMsMax: number;
  readonly #fetch: typeof fetch;

  constructor({ url, apiKey, headers = {}, timeoutMs = 35_000, retry = {}, fetch: given }: ClientOptions) {
    this.#base = new URL(url.endsWith('/') ? url : `${url}/`);
    const key = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
    this.#headers = { ...key, ...headers };
    this.#timeoutMs = timeoutMs;
    this.#attempts = retry.attempts ?? 3;
    this.#delayMsMax = retry.delayMsMax ?? 5_000;
    this.#fetch = given ?? ((...args) => fetch(...args));
  }

  /** Where it asks. */
  get origin(): string {
    return this.#base.origin;
  }

  /** @throws ClaimkeeperApiError */
  async ask(call: Call): Promise<unknown> {
    let pausedMs = 0;
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#once(call);
      if ('value' in answer) return answer.value;
      const { error, afterMs } = answer;
      if (error.status === 429) {
        // Nothing was done, and nothing is wrong: no attempt.
        attempt -= 1;
        const pauseMs = Math.max(afterMs ?? 0, pauseMsMin);
        pausedMs += pauseMs;
        if (pausedMs > this.#timeoutMs) throw error;
        await pause(pauseMs);
        continue;
      }
      const certain = call.repeatable === true || error.code !== 'OUTCOME_UNKNOWN';
      if (afterMs === null || afterMs > this.#delayMsMax || attempt >= this.#attempts || !certain)
        throw error;
      await pause(afterMs);
    }
  }

  /** The text of an answer that goes on, as it comes, until it ends or `signal` aborts. @throws ClaimkeeperApiError */
  async *stream(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Texts {
    const url = new URL(path, this.#base);
    try {
      const response = await this.#fetch(url, {
        headers: { ...this.#headers, ...headers },
        redirect,
        signal,
      });
      if (response.status !== 200 || response.body === null) {
        const answer = answerOf(url, response, await response.text());
        throw 'error' in answer ? answer.error : unreachable(url.origin, 'it answered without a stream');
      }
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        yield decoder.decode(part.value, { stream: true });
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof ClaimkeeperApiError ? error : unreachable(url.origin, causeOf(error), error);
    }
  }

  async #once({ method, path, body, headers, waitMs = 0 }: Call): Promise<Answer> {
    const url = new URL(path, this.#base);
    const timeoutMs = this.#timeoutMs + waitMs;
    const signal = AbortSignal.timeout(timeoutMs);
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    try {
      const response = await this.#fetch(url, {
        method,
        headers: { ...this.#headers, ...json, ...headers },
        redirect,
        signal,
        ...sent,
      });
      return answerOf(url, response, await response.text());
    } catch (error) {
      if (error instanceof ClaimkeeperApiError) throw error;
      const why = signal.aborted ? `no answer within ${timeoutMs} ms` : causeOf(error);
      throw unreachable(url.origin, why, error);
    }
  }
}

function answerOf(url: URL, response: Response, text: string): Answer {
  const { status } = response;
  if (status === 204) return { value: null };
  const answer = parsed(text);
  if (typeof answer !== 'object' || answer === null) {
    throw unreachable(url.origin, `it answered ${status} without JSON`);
  }
  if (status < 400) return { value: answer };
  const problem = answer as Partial<Problem>;
  if (typeof problem.code !== 'string' || !problem.type?.startsWith('urn:claimkeeper:error:')) {
    throw unreachable(url.origin, `it answered ${status}, and not as the API does`);
  }
  const seconds = Number(response.headers.get('retry-after') ?? 'none');
  const isAskedAgain = (status === 503 || status === 429) && Number.isFinite(seconds);
  const afterMs = isAskedAgain ? Math.max(0, seconds) * 1_000 : null;
  return { error: new ClaimkeeperApiError(problem as Problem), afterMs };
}

/** fetch says only that it failed; why is in the cause. */
function causeOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  const why = cause?.code ?? cause?.message ?? message ?? String(error);
  return /redirect/i.test(why)
    ? 'it redirects, which is not followed: give the URL that it redirects to'
    : why;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
