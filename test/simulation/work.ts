// work.ts: what the simulated fleet is for: three task types, one for each policy, whose handlers do whatever a handler may
// do, and the world outside in which they have their effects. Owns the truth that the `verify` hook tells, and the receivers
// that compare fences. What a handler does is decided by the attempt, not by what happened before.

import {
  NonRetryable,
  type OnInterrupted,
  RetryAfter,
  type SubmissionInput,
  type TaskId,
} from '../../src/domain/index.js';
import { recordPath } from '../../src/ledger/index.js';
import { delay } from '../../src/runtime/index.js';
import {
  defineTask,
  type TaskContext,
  type TaskType,
  type VerifyVerdict,
  type WorkerEvents,
} from '../../src/worker/index.js';
import { SeededRandom } from '../support/seeded-random.js';
import type { Chronicle } from './chronicle.js';
import type { ObservedEnsemble } from './observed-ensemble.js';
import type { Plan, Size } from './plan.js';
import type { ProcessClock } from './process-clock.js';

export const policies: readonly OnInterrupted[] = ['park', 'verify', 'rerun'];

/** opossum keeps a time of its own, real and not the simulation's: it must have nothing to do. */
const neverOpens = { attemptsMin: 1_000_000_000, windowMs: 86_400_000 };

/** As they are defined, once; every worker has handlers of its own. */
const types = policies.map((policy) =>
  defineTask(policy, {
    onInterrupted: policy,
    breaker: neverOpens,
    handler: () => undefined,
    ...(policy === 'verify' ? { verify: () => ({ kind: 'unknown' as const }) } : {}),
  }),
);

/** How long things take, at most in the order of a session's life. */
const measures = {
  small: {
    workMs: [0, 1, 20, 100, 300, 300, 700, 1_300],
    deafMs: [300, 2_800],
    timeoutMs: [250, 800, 2_000],
    delayMsMin: [0, 10, 150, 1_100],
    delayMsMax: 1_500,
    laterMsMax: 2_000,
  },
  large: {
    workMs: [0, 1, 30, 300, 1_500, 1_500, 4_000],
    deafMs: [300, 1_500, 4_000],
    timeoutMs: [400, 2_000, 6_000],
    delayMsMin: [0, 10, 300, 3_000],
    delayMsMax: 5_000,
    laterMsMax: 8_000,
  },
} as const;

type Measures = (typeof measures)[keyof typeof measures];

function measuresOf(size: Size): Measures {
  return size === 'large' ? measures.large : measures.small;
}

export function submissionFor(random: SeededRandom, id: string, size: Size): SubmissionInput {
  const { timeoutMs, delayMsMin, delayMsMax, laterMsMax } = measuresOf(size);
  return {
    id,
    type: random.pick(policies),
    queue: random.pick(['north', 'south']),
    payload: { n: random.between(0, 9) },
    timeoutMs: random.pick<number>(timeoutMs),
    retry: {
      attempts: random.between(1, 4),
      delayMsMin: random.pick<number>(delayMsMin),
      delayMsMax,
      factor: 2,
    },
    ...(random.chance(0.15) ? { delayMs: random.between(1, laterMsMax) } : {}),
    ...(random.chance(0.1) ? { onInterrupted: random.pick(['park', 'rerun'] as const) } : {}),
  };
}

/** The longest that a handler, honest or deaf, goes on. */
export function handlerMsMax(size: Size): number {
  const { workMs, deafMs } = measuresOf(size);
  return Math.max(...workMs, ...deafMs);
}

type Ending = WorkerEvents['ended']['ending'];

/** What a call of a handler is going to do. */
type Deed = {
  readonly workMs: number;
  readonly effect: 'first' | 'last' | 'lastIfOwned';
  readonly deaf: boolean;
  readonly end: 'succeed' | 'throw' | 'nonRetryable' | 'retryAfter';
  readonly retryAfterMs: number;
};

export class Work {
  readonly #seed: number;
  readonly #size: Size;
  /** Those that there are tasks of. */
  readonly #types: readonly TaskType[];
  readonly #chronicle: Chronicle;
  readonly #ensemble: ObservedEnsemble;
  /** The highest attempt of a task that is refused: its absence was testified to. */
  readonly #barred = new Map<TaskId, number>();
  /** The highest fence that a receiver has seen, for the tasks whose receiver compares. */
  readonly #fences = new Map<TaskId, number>();
  readonly #asked = new Map<TaskId, number>();
  readonly #open = new Map<string, Map<TaskId, 'running' | 'givenUp'>>();
  /** Handlers and hooks that have not returned, by worker. */
  readonly #underWay = new Map<string, number>();
  /** Handlers behave and verify hooks know. */
  calm = false;

  constructor({ seed, size, tasks }: Plan, chronicle: Chronicle, ensemble: ObservedEnsemble) {
    this.#seed = seed;
    this.#size = size;
    this.#types = types.filter(({ name }) => tasks.some(({ input }) => input.type === name));
    this.#chronicle = chronicle;
    this.#ensemble = ensemble;
  }

  typesFor(worker: string, clock: ProcessClock): TaskType[] {
    return this.#types.map((type) => ({
      ...type,
      handler: (_payload, context: TaskContext) =>
        this.#during(worker, () => this.#handle(worker, clock, context)),
      verify:
        type.verify && (({ id, attempt }) => this.#during(worker, () => this.#verify(clock, id, attempt))),
    }));
  }

  isBusy(worker: string): boolean {
    return (this.#underWay.get(worker) ?? 0) > 0;
  }

  /** What the worker has not ended: of handlers that were given up, it goes on to wait for their word. */
  openOf(worker: string): ReadonlyMap<TaskId, 'running' | 'givenUp'> {
    return this.#open.get(worker) ?? new Map();
  }

  ended(worker: string, id: TaskId, ending: Ending): void {
    if (ending === 'unsettled') this.#open.get(worker)?.set(id, 'givenUp');
    else this.#open.get(worker)?.delete(id);
  }

  async #during<T>(worker: string, call: () => Promise<T>): Promise<T> {
    this.#underWay.set(worker, (this.#underWay.get(worker) ?? 0) + 1);
    try {
      return await call();
    } finally {
      this.#underWay.set(worker, (this.#underWay.get(worker) ?? 0) - 1);
    }
  }

  async #handle(worker: string, clock: ProcessClock, context: TaskContext): Promise<string> {
    const { task, attempt, fence, signal } = context;
    const deed = this.#deedOf(task.id, attempt, worker);
    const doing = { task: task.id, attempt, fence, worker };
    const open = this.#open.get(worker) ?? new Map<TaskId, 'running'>();
    this.#open.set(worker, open.set(task.id, 'running'));
    const startSeq = this.#chronicle.started({
      ...doing,
      deaf: deed.deaf,
      claimStood: this.#owns(task.id, attempt),
    });
    if (deed.effect === 'first') this.#act(doing, startSeq);
    await delay(clock, deed.workMs, deed.deaf ? undefined : signal);
    if (!deed.deaf && signal.aborted) throw signal.reason;
    if (deed.effect === 'lastIfOwned') await context.assertOwned();
    if (deed.effect !== 'first') this.#act(doing, startSeq);
    switch (deed.end) {
      case 'succeed':
        return 'done';
      case 'throw':
        throw new Error('it broke');
      case 'nonRetryable':
        throw new NonRetryable('it will not work');
      case 'retryAfter':
        throw new RetryAfter(deed.retryAfterMs);
    }
  }

  #deedOf(id: TaskId, attempt: number, worker: string): Deed {
    const { workMs, deafMs, delayMsMax } = measuresOf(this.#size);
    const random = new SeededRandom(this.#seed, `${id} ${attempt} ${worker}`);
    const deaf = random.chance(0.12) && !this.calm;
    const end = random.pick(['throw', 'throw', 'nonRetryable', 'retryAfter'] as const);
    return {
      workMs: random.pick<number>(deaf ? deafMs : workMs),
      effect: random.pick(['first', 'last', 'last', 'lastIfOwned'] as const),
      deaf,
      end: random.chance(0.65) || this.calm ? 'succeed' : end,
      retryAfterMs: random.between(1, delayMsMax),
    };
  }

  #act(doing: { task: TaskId; attempt: number; fence: number; worker: string }, startSeq: number): void {
    const { task, attempt, fence } = doing;
    if (attempt <= (this.#barred.get(task) ?? 0)) throw new Error('refused by the world outside');
    if (Number(task.slice(1)) % 3 !== 0) return this.#chronicle.took(doing, startSeq);
    if (fence < (this.#fences.get(task) ?? 0)) throw new Error('refused by its fence');
    this.#fences.set(task, fence);
    this.#chronicle.took({ ...doing, compared: true }, startSeq);
  }

  #owns(id: TaskId, attempt: number): boolean {
    const record = this.#ensemble.held(recordPath(id))?.record ?? null;
    return record?.state === 'running' && record.attempt === attempt && this.#ensemble.stands(record);
  }

  /** The truth, or nothing; an attempt whose absence was testified to is refused from then on. */
  async #verify(clock: ProcessClock, id: TaskId, attempt: number): Promise<VerifyVerdict> {
    const asked = (this.#asked.get(id) ?? 0) + 1;
    this.#asked.set(id, asked);
    const random = new SeededRandom(this.#seed, `verify ${id} ${attempt} ${asked}`);
    await delay(clock, random.between(1, 200));
    if (random.chance(0.3) && !this.calm) return { kind: 'unknown' };
    const done = this.#chronicle.effects.some((effect) => effect.task === id && effect.attempt === attempt);
    this.#chronicle.say(
      'verify',
      () => `${id} attempt ${attempt} was ${done ? 'done' : 'not done, and will not be'}`,
    );
    if (done) return { kind: 'completed', result: 'verified' };
    this.#barred.set(id, Math.max(attempt, this.#barred.get(id) ?? 0));
    return { kind: 'notExecuted' };
  }
}
