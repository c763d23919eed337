// load.ts: what people do to the installation while it is being broken: submit, submit again, in bulk and all at once, look
// after tasks that failed or are uncertain, cancel. Owns what is submitted; every call becomes an AnswerLine.

import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Claimkeeper, ClaimkeeperError, type SubmissionInput } from '../../src/index.js';
import type { SeededRandom } from '../support/seeded-random.js';
import { type ChaosPayload, type Oddity, odd, timeoutMs, types, usual } from './behaviour.js';
import type { AnswerLine } from './evidence.js';
import type { EvidenceWriter } from './evidence-writer.js';

export type LoadOptions = {
  readonly seed: number;
  readonly random: SeededRandom;
  /** The API processes. */
  readonly fronts: readonly string[];
  readonly keeper: Claimkeeper;
  readonly evidence: EvidenceWriter;
};

type Answer = { readonly status: number | null; readonly code?: string; readonly body: unknown };

const tickMs = 100;
const singlesPerSecond = 30;
const bulkEveryMs = 1_800;
const bulkSize = { min: 20, max: 60 } as const;
/** What {@link Load.run} sets out to submit. */
export const loadPerSecond = singlesPerSecond + ((bulkSize.min + bulkSize.max) / 2 / bulkEveryMs) * 1_000;
const answerMsMax = 12_000;
/** Nobody has more questions open: what is slow must not be asked ever more. */
const unansweredMax = 150;
const triesMax = 3;
/** Within one storm. */
const stormSize = 300;
const delayMsMax = 8_000;

export class Load {
  readonly #options: LoadOptions;
  readonly #underWay = new Set<Promise<unknown>>();
  /** Tasks whose first call is odd. */
  readonly oddities = new Map<string, Oddity>();
  /** Answered with 201 or 200 at least once. */
  readonly acknowledged = new Set<string>();
  #serial = 0;
  #unanswered = 0;
  readonly #stop = new AbortController();

  constructor(options: LoadOptions) {
    this.#options = options;
    setMaxListeners(0, this.#stop.signal); // One per task that is looked after.
  }

  /** Submits steadily for `lastsMs`. */
  async run(lastsMs: number, signal: AbortSignal): Promise<void> {
    const { random } = this.#options;
    const begin = performance.now();
    let due = 0;
    let bulkAt = 0;
    while (!signal.aborted && performance.now() - begin < lastsMs) {
      const passedMs = performance.now() - begin;
      for (; due < (passedMs / 1_000) * singlesPerSecond; due += 1) {
        if (this.#unanswered < unansweredMax) this.#go(this.#single(lastsMs - passedMs));
      }
      if (passedMs >= bulkAt) {
        bulkAt += bulkEveryMs;
        this.#go(this.#bulk(random.between(bulkSize.min, bulkSize.max)));
      }
      await sleep(tickMs);
    }
  }

  /** Nothing new from here on; resolves once all that was asked is answered or given up. */
  async stop(): Promise<void> {
    this.#stop.abort();
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** A few tasks whose first call does something odd. */
  async oddTasks(kind: Oddity): Promise<void> {
    const { random } = this.#options;
    for (let n = random.between(2, 4); n > 0; n -= 1) {
      const isLong = kind === 'handler-hangs' || kind === 'handler-ignores-abort';
      const task = {
        ...this.#task(odd(kind, random)),
        timeoutMs: isLong ? timeoutMs.short : timeoutMs.usual,
      };
      this.oddities.set(task.id, kind);
      this.#go(this.#submitUntilKnown(task));
    }
  }

  /** One id, submitted hundreds of times at once, here and there with other content. Returns the id. */
  async storm(): Promise<string> {
    const { random } = this.#options;
    const task = this.#task(usual(random));
    const others = Array.from({ length: 3 }, () => ({ ...task, payload: usual(random) }));
    const calls = Array.from({ length: stormSize }, () => {
      const said = random.chance(0.7) ? task : random.pick(others);
      return this.#submit(said, this.#front());
    });
    await Promise.all(calls);
    return task.id;
  }

  async #single(leftMs: number): Promise<void> {
    const { random } = this.#options;
    const delayMs = random.between(200, delayMsMax);
    const isDelayed = random.chance(0.08) && delayMs < leftMs;
    const task = { ...this.#task(usual(random)), ...(isDelayed ? { delayMs } : {}) };
    const isSaidTwice = random.chance(0.04);
    const isContradicted = random.chance(0.01);
    const isCancelled = random.chance(isDelayed ? 0.2 : 0.02);
    const { status } = await this.#submitUntilKnown(task);
    if (isSaidTwice) await this.#submit(task, this.#front());
    if (isContradicted) await this.#submit({ ...task, payload: usual(random) }, this.#front());
    if (status !== 201 && status !== 200) return;
    if (isCancelled) await this.#operate('cancel', task.id, (keeper) => keeper.cancel(task.id));
    await this.#lookAfter(task.id, random.between(3_000, 12_000));
  }

  async #bulk(size: number): Promise<void> {
    const { random } = this.#options;
    const tasks = Array.from({ length: size }, () => this.#task(usual(random)));
    const at = Date.now();
    const { status, code, body } = await post(`${this.#front()}/v1/tasks/batch`, { tasks });
    const until = Date.now();
    const outcomes = (
      body as { outcomes?: { kind: string; error?: { status: number; code: string } }[] } | null
    )?.outcomes;
    tasks.forEach((task, i) => {
      const outcome = outcomes?.[i];
      const own =
        outcome === undefined
          ? { status, code }
          : (outcome.error ?? { status: outcome.kind === 'created' ? 201 : 200, code: undefined });
      this.#note({ call: 'submit', task: task.id, body: hashOf(task), at, until }, own);
    });
    const some = tasks.filter(() => random.chance(0.2));
    await Promise.all(some.map(({ id }) => this.#lookAfter(id, random.between(3_000, 12_000))));
  }

  /** As a client does that was not answered: asks again, elsewhere, with the same words; some give up. */
  async #submitUntilKnown(task: SubmissionInput): Promise<Answer> {
    const { random } = this.#options;
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#submit(task, this.#front());
      const isKnown = answer.status !== null && answer.status < 500;
      if (
        isKnown ||
        tries === triesMax ||
        random.chance(0.2) ||
        !(await this.#pause(random.between(500, 4_000)))
      )
        return answer;
    }
  }

  async #submit(task: SubmissionInput, front: string): Promise<Answer> {
    const at = Date.now();
    this.#unanswered += 1;
    const answer = await post(`${front}/v1/tasks`, task);
    this.#unanswered -= 1;
    this.#note({ call: 'submit', task: task.id, body: hashOf(task), at, until: Date.now() }, answer);
    return answer;
  }

  /** What an operator makes of a task that did not complete. */
  async #lookAfter(id: string, afterMs: number): Promise<void> {
    const { random } = this.#options;
    const roll = random.roll();
    if (!(await this.#pause(afterMs))) return;
    const { body } = await get(`${this.#front()}/v1/tasks/${id}`);
    const state = (body as { state?: string } | null)?.state;
    if (state === 'uncertain' && roll < 0.1) {
      await this.#operate('resolve', id, (keeper) => keeper.resolve(id, 'completed', 'it was done, by hand'));
    } else if (state === 'uncertain' && roll < 0.2) {
      await this.#operate('resolve', id, (keeper) => keeper.resolve(id, 'failed', 'given up'));
    } else if (['failed', 'uncertain', 'cancelled'].includes(state ?? '') && roll < 0.7) {
      await this.#replay(id);
      if (roll < 0.4) await this.#lookAfter(id, random.between(3_000, 8_000));
    }
  }

  async #replay(id: string): Promise<void> {
    const at = Date.now();
    const answer = await post(`${this.#front()}/v1/tasks/${id}/replay`);
    this.#note({ call: 'replay', task: id, at, until: Date.now() }, answer);
  }

  /** What the API has no route for. */
  async #operate(
    call: AnswerLine['call'],
    task: string,
    how: (keeper: Claimkeeper) => Promise<unknown>,
  ): Promise<void> {
    const at = Date.now();
    const answer = await how(this.#options.keeper).then(
      () => ({ status: 200, code: undefined }),
      (error: unknown) => {
        if (error instanceof ClaimkeeperError) return { status: error.status, code: error.code };
        throw error;
      },
    );
    this.#note({ call, task, at, until: Date.now() }, answer);
  }

  #task(payload: ChaosPayload): SubmissionInput {
    const { random, seed } = this.#options;
    this.#serial += 1;
    return {
      id: `c${seed}-${this.#serial}`,
      type: random.pick(types),
      payload,
      timeoutMs: timeoutMs.usual,
      retry: { attempts: random.between(2, 4), delayMsMin: 50, delayMsMax: 800, factor: 2 },
    };
  }

  #note(
    call: Omit<AnswerLine, 'status' | 'code'>,
    { status, code }: { readonly status: number | null; readonly code?: string | undefined },
  ): void {
    if (call.call === 'submit' && (status === 200 || status === 201)) this.acknowledged.add(call.task);
    this.#options.evidence.answer({ ...call, status, ...(code === undefined ? {} : { code }) });
  }

  #front(): string {
    return this.#options.random.pick(this.#options.fronts);
  }

  /** False: it was cut short, the load is over. */
  async #pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    return !this.#stop.signal.aborted;
  }

  #go(work: Promise<unknown>): void {
    const tracked = work.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }
}

/** Of what makes a submission the same or another one. */
function hashOf(task: SubmissionInput): string {
  return createHash('sha256').update(JSON.stringify(task)).digest('hex').slice(0, 16);
}

function post(url: string, body?: unknown): Promise<Answer> {
  if (body === undefined) return ask(url, { method: 'POST' });
  const headers = { 'content-type': 'application/json' };
  return ask(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

function get(url: string): Promise<Answer> {
  return ask(url, {});
}

/** Not answered, or not in full: status null. */
async function ask(url: string, init: RequestInit): Promise<Answer> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(answerMsMax) });
    const body: unknown = await response.json();
    const code = (body as { code?: unknown } | null)?.code;
    return { status: response.status, body, ...(typeof code === 'string' ? { code } : {}) };
  } catch {
    return { status: null, body: null };
  }
}
