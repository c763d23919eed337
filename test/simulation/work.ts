// work.ts: what the simulated fleet is for: three task types, one for each policy, whose handlers do whatever a handler may
// do, and the world outside in which they have their effects. Owns the truth that the `verify` hook tells.

import {
  decodeRecord,
  NonRetryable,
  type OnInterrupted,
  RetryAfter,
  type SubmissionInput,
  type TaskId,
} from '../../src/domain/index.js';
import { recordPath } from '../../src/ledger/index.js';
import { delay } from '../../src/runtime/index.js';
import { defineTask, type TaskContext, type TaskType, type VerifyVerdict } from '../../src/worker/index.js';
import type { SeededRandom } from '../support/seeded-random.js';
import type { Chronicle, ObservedEnsemble } from './chronicle.js';
import type { ProcessClock } from './process-clock.js';

export const policies: readonly OnInterrupted[] = ['park', 'verify', 'rerun'];

/** opossum keeps a time of its own, real and not the simulation's: it must have nothing to do. */
const neverOpens = { attemptsMin: 1_000_000_000, windowMs: 86_400_000 };

/** What a call of a handler is going to do. */
type Plan = {
  readonly workMs: number;
  readonly effect: 'first' | 'last' | 'lastIfOwned';
  readonly deaf: boolean;
  readonly end: 'succeed' | 'throw' | 'nonRetryable' | 'retryAfter';
};

export class Work {
  readonly #random: SeededRandom;
  readonly #chronicle: Chronicle;
  readonly #ensemble: ObservedEnsemble;
  /** The highest attempt of a task that is refused: its absence was testified to. */
  readonly #barred = new Map<TaskId, number>();
  /** Handlers behave and verify hooks know. */
  calm = false;

  constructor(random: SeededRandom, chronicle: Chronicle, ensemble: ObservedEnsemble) {
    this.#random = random;
    this.#chronicle = chronicle;
    this.#ensemble = ensemble;
  }

  submission(id: string): SubmissionInput {
    const random = this.#random;
    const type = random.pick(policies);
    return {
      id,
      type,
      queue: random.pick(['north', 'south']),
      payload: { n: random.between(0, 9) },
      timeoutMs: random.pick([400, 2_000, 6_000]),
      retry: {
        attempts: random.between(1, 4),
        delayMsMin: random.pick([0, 10, 300, 3_000]),
        delayMsMax: 5_000,
        factor: 2,
      },
      ...(random.chance(0.15) ? { delayMs: random.between(1, 8_000) } : {}),
      ...(random.chance(0.1) ? { onInterrupted: random.pick(['park', 'rerun'] as const) } : {}),
    };
  }

  typesFor(worker: string, clock: ProcessClock): TaskType[] {
    return policies.map((policy) =>
      defineTask(policy, {
        onInterrupted: policy,
        breaker: neverOpens,
        handler: (_payload, context) => this.#handle(worker, clock, context),
        ...(policy === 'verify' ? { verify: ({ id, attempt }) => this.#verify(clock, id, attempt) } : {}),
      }),
    );
  }

  async #handle(worker: string, clock: ProcessClock, context: TaskContext): Promise<string> {
    const { task, attempt, fence, signal } = context;
    const plan = this.#plan();
    const doing = { task: task.id, attempt, fence, worker };
    this.#chronicle.started({ ...doing, deaf: plan.deaf, claimStood: this.#owns(task.id, attempt) });
    const act = (): void => {
      if (attempt <= (this.#barred.get(task.id) ?? 0)) throw new Error('refused by the world outside');
      this.#chronicle.took(doing);
    };
    if (plan.effect === 'first') act();
    await delay(clock, plan.workMs, plan.deaf ? undefined : signal);
    if (!plan.deaf && signal.aborted) throw signal.reason;
    if (plan.effect === 'lastIfOwned') await context.assertOwned();
    if (plan.effect !== 'first') act();
    switch (plan.end) {
      case 'succeed':
        return 'done';
      case 'throw':
        throw new Error('it broke');
      case 'nonRetryable':
        throw new NonRetryable('it will not work');
      case 'retryAfter':
        throw new RetryAfter(this.#random.between(1, 3_000));
    }
  }

  #plan(): Plan {
    const random = this.#random;
    return {
      workMs: random.pick([0, 1, 30, 300, 1_500, 1_500, 4_000]),
      effect: random.pick(['first', 'last', 'last', 'lastIfOwned']),
      deaf: !this.calm && random.chance(0.15),
      end:
        this.calm || random.chance(0.65)
          ? 'succeed'
          : random.pick(['throw', 'throw', 'nonRetryable', 'retryAfter']),
    };
  }

  #owns(id: TaskId, attempt: number): boolean {
    const path = recordPath(id);
    const node = this.#ensemble.read(path, null);
    if (node === null) return false;
    const record = decodeRecord(node.data, path);
    this.#ensemble.lookAtClaims();
    return record.state === 'running' && record.attempt === attempt && this.#ensemble.stands(record);
  }

  /** The truth, or nothing; an attempt whose absence was testified to is refused from then on. */
  async #verify(clock: ProcessClock, id: TaskId, attempt: number): Promise<VerifyVerdict> {
    await delay(clock, this.#random.between(1, 200));
    if (!this.calm && this.#random.chance(0.4)) return { kind: 'unknown' };
    const done = this.#chronicle.effects.some((effect) => effect.task === id && effect.attempt === attempt);
    this.#chronicle.say(
      'verify',
      `${id} attempt ${attempt} was ${done ? 'done' : 'not done, and will not be'}`,
    );
    if (done) return { kind: 'completed', result: 'verified' };
    this.#barred.set(id, Math.max(attempt, this.#barred.get(id) ?? 0));
    return { kind: 'notExecuted' };
  }
}
