// run.ts: one claimed task in this worker, from its claim to its recorded outcome, over attempts retried in place.
//
//   starting → attempting → recording → over
//                 ↑             | short delay: recorded as waiting, claim kept, claimed again in place
//                 └─────────────┘
//
// Every attempt is durable before its handler starts (P1), every outcome is recorded by compare-and-set (P2), and goes on
// being recorded, through outages and new sessions, until the ledger has it or refuses it (P3, P5).

import pRetry from 'p-retry';
import { type Watch, watchNode } from '../coordination/index.js';
import {
  ClaimkeeperError,
  decodeRecord,
  type EpochMs,
  type Held,
  type Json,
  type Nonce,
  type TaskRecord,
} from '../domain/index.js';
import { hintAt, type LedgerContext, move, readHeld, recordPath } from '../ledger/index.js';
import { delay } from '../runtime/index.js';
import { runAttempt } from './attempt.js';
import type { Breaker } from './breaker.js';
import { AttemptContext, type Progress } from './context.js';
import type { Hold } from './hold.js';
import { type AttemptOutcome, eventOf } from './outcome.js';
import { Stop } from './stop.js';
import type { TaskContext, TaskType } from './task-type.js';

/** A retry due sooner than this keeps its claim and its slot; a later one comes back as a delivery. */
const inPlaceDelayMsMax = 1_000;
/** An attempt that runs longer than this is watched for what others do to its record. */
const watchAfterMs = 1_000;

export type RunDeps = {
  readonly ctx: LedgerContext;
  readonly type: TaskType;
  readonly breaker: Breaker;
  /** Aborts when the worker gives up recording: the process is about to end. */
  readonly end: AbortSignal;
  /** Whether new attempts may begin. */
  readonly accepting: () => boolean;
  readonly onProgress: (said: Progress) => void;
  /** Nothing more is to run, its outcome is on its way to the ledger. */
  readonly onEnding: () => void;
  readonly onEnd: (run: Run, ending: Ending) => void;
};

/** What became of the run, for counters: `stale`: others had moved the record on, and the outcome was dropped. */
export type Ending = AttemptOutcome['kind'] | 'stale' | 'unrecorded';

class RetryInPlace extends Error {
  readonly delayMs: number;
  constructor(delayMs: number) {
    super('retry in place');
    this.delayMs = delayMs;
  }
}

export class Run {
  #held: Held;
  #hold: Hold;
  #stop = new Stop();
  #disowned = false;
  #isEnding = false;
  #phase: 'starting' | 'attempting' | 'recording' | 'over' = 'starting';
  readonly #deps: RunDeps;

  constructor(held: Held, hold: Hold, deps: RunDeps) {
    this.#held = held;
    this.#hold = hold;
    this.#deps = deps;
  }

  get held(): Held {
    return this.#held;
  }

  get hold(): Hold {
    return this.#hold;
  }

  /** Its last attempt is over. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  get isRerun(): boolean {
    return this.#held.record.policy?.onInterrupted === 'rerun';
  }

  /** The ledger may still call it this worker's: after a new session it must be readopted (P5). */
  get isOwed(): boolean {
    return !this.#disowned && this.#phase !== 'over' && this.#held.record.state === 'running';
  }

  /**
   * Under a new claim after the session changed. The word of it may come late, its reply having been lost: what this run has
   * written since is newer, and it goes on from that; the claim is then one that nothing runs under.
   */
  readopted(held: Held, hold: Hold): void {
    const { record, version } = this.#held;
    if (held.record.nonce !== record.nonce || held.version <= version) return;
    this.#held = held;
    this.#hold = hold;
  }

  /** The ledger says that it is no longer running here; its outcome is still offered, as late evidence. */
  disowned(): void {
    this.#disowned = true;
  }

  abort(reason: ClaimkeeperError): void {
    this.#stop.now(reason);
  }

  /** Runs attempts until one is not to be followed in place, and the ledger has the outcome. Never rejects. */
  async execute(): Promise<void> {
    try {
      // Most end with their first attempt: they pay for no retry.
      const retryInMs = await this.#record(await this.#attempt());
      if (retryInMs !== null && (await this.#reclaimAfter(retryInMs))) await this.#retryInPlace();
    } catch (error) {
      this.#deps.ctx.runtime.log.error({ err: error, task: this.#id }, 'run failed');
    } finally {
      this.#phase = 'over';
    }
  }

  async #retryInPlace(): Promise<void> {
    let goOn = false;
    const attempt = async (): Promise<void> => {
      const retryInMs = await this.#record(await this.#attempt());
      if (retryInMs !== null) throw new RetryInPlace(retryInMs);
    };
    await pRetry(attempt, {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: 0, // The pause is ours, by the injected clock.
      onFailedAttempt: async ({ error }) => {
        goOn = error instanceof RetryInPlace && (await this.#reclaimAfter(error.delayMs));
      },
      shouldRetry: () => goOn,
    }).catch((error: unknown) => {
      if (!(error instanceof RetryInPlace)) throw error;
    });
  }

  get #id(): TaskRecord['id'] {
    return this.#held.record.id;
  }

  async #attempt(): Promise<AttemptOutcome> {
    const { ctx, type, breaker } = this.#deps;
    const session = this.#hold.claim.session;
    const proven = ctx.session.trusted() || (await ctx.session.prove());
    // From here to the handler's call nothing is awaited: what was true stays true.
    if (!this.#deps.accepting()) return { kind: 'notStarted', why: 'stopping' };
    if (!proven || ctx.session.sessionId !== session) return { kind: 'notStarted', why: 'lease' };
    this.#stop = new Stop();
    const stop = this.#stop;
    const context = this.#context(stop);
    const timeoutMs = this.#held.record.policy?.timeoutMs ?? 60_000;
    const watching = this.#watchWhile(stop);
    const payload = context.task.payload as never;
    const outcome = await breaker.run(() => {
      this.#phase = 'attempting';
      const handler = (): unknown => type.handler(payload, context as TaskContext<never>);
      return runAttempt({ handler, timeoutMs, stop, clock: ctx.runtime.clock });
    });
    watching.cancel();
    return outcome;
  }

  /** Tells the ledger; resolves with the delay in ms after which the next attempt is to follow here; null: none is. */
  async #record(outcome: AttemptOutcome): Promise<number | null> {
    this.#phase = 'recording';
    const { ctx, end } = this.#deps;
    const { clock, random } = ctx.runtime;
    const held = this.#held;
    const { event, retryInMs } = eventOf(outcome, held, clock.now(), random.roll());
    const inPlace = retryInMs !== null && retryInMs <= inPlaceDelayMsMax && this.#deps.accepting();
    if (!inPlace) {
      this.#isEnding = true;
      this.#deps.onEnding();
    }
    const hold = this.#hold;
    const until = { signal: end };
    const { moved, claimDeleted } = inPlace
      ? {
          moved: await move(ctx, this.#id, event, { until, held, readIn: hold.claim.session }),
          claimDeleted: false,
        }
      : await hold.finish(ctx, held, event, until);
    if (moved.kind === 'moved') this.#held = moved.held;
    if (moved.kind === 'moved' && moved.held.record.state === 'waiting' && inPlace) return retryInMs;
    if (moved.kind === 'moved') hintAt(ctx, moved.held.record);
    if (moved.kind !== 'unavailable') {
      // Readopted meanwhile: it is the new claim that is still there.
      this.#hold.close(ctx, this.#id, claimDeleted && hold === this.#hold, end);
    }
    this.#deps.onEnd(this, endingOf(outcome, held, moved));
    if (outcome.kind === 'unsettled') void this.#recordLate(outcome.late);
    return null;
  }

  /**
   * A handler that was given up has settled after all: evidence of that same attempt, if the record still waits for it.
   * Never rejects: by then the worker may have stopped and the session be closed.
   */
  async #recordLate(late: Promise<AttemptOutcome>): Promise<void> {
    const outcome = await late;
    const { ctx, end } = this.#deps;
    const { event } = eventOf(outcome, this.#held, ctx.runtime.clock.now(), ctx.runtime.random.roll());
    try {
      const moved = await move(ctx, this.#id, event, { until: { signal: end } });
      if (moved.kind === 'moved') hintAt(ctx, moved.held.record);
    } catch (error) {
      ctx.runtime.log.warn({ err: error, task: this.#id }, 'a late outcome could not be recorded');
    }
  }

  /** Waits the delay out and claims the next attempt under the same claim; false when it is to come back as a delivery. */
  async #reclaimAfter(delayMs: number): Promise<boolean> {
    const { ctx, end, accepting, type } = this.#deps;
    const { clock, random } = ctx.runtime;
    await delay(clock, delayMs, end);
    const { claim } = this.#hold;
    const inSession = ctx.session.sessionId === claim.session && ctx.session.trusted();
    const { record } = this.#held;
    if (accepting() && inSession && this.#deps.breaker.admits() > 0 && record.policy !== undefined) {
      const at = Math.max(clock.now(), record.notBefore ?? 0) as EpochMs;
      const event = {
        kind: 'claimed',
        at,
        nonce: random.nonce(),
        claim: claim.ref,
        policy: record.policy,
      } as const;
      // Only while the claim stands, and to a known end: given up half way it would look begun (P3).
      const guard = { kind: 'check', path: claim.path, version: null } as const;
      const moved = await move(ctx, this.#id, event, {
        until: { signal: end },
        held: this.#held,
        readIn: claim.session,
        guard,
      });
      if (moved.kind === 'moved') {
        this.#held = moved.held;
        return true;
      }
      ctx.runtime.log.info({ task: this.#id, type: type.name, moved: moved.kind }, 'not retried in place');
      if (moved.kind === 'refused' && moved.record?.nonce === event.nonce) await this.#takeBack(event.nonce);
    }
    hintAt(ctx, record);
    this.#hold.close(ctx, this.#id, false, end);
    this.#deps.onEnd(this, 'failed');
    return false;
  }

  /** A claim in place was made, and others moved its record on before we learnt of it: nothing has begun under its nonce. */
  async #takeBack(nonce: Nonce): Promise<void> {
    const { ctx, end } = this.#deps;
    const event = { kind: 'released', at: ctx.runtime.clock.now(), nonce, notBefore: null } as const;
    await move(ctx, this.#id, event, { until: { signal: end } });
  }

  /** Once the attempt has run for a while, aborts it when its record says so: cancelled, or no longer its own. */
  #watchWhile(stop: Stop): { cancel(): void } {
    let watch: Watch | null = null;
    const timer = this.#deps.ctx.runtime.clock.after(watchAfterMs, () => {
      watch = this.#watch(stop);
    });
    return {
      cancel: () => {
        timer.cancel();
        void watch?.stop();
      },
    };
  }

  #watch(stop: Stop): Watch {
    const { session, runtime } = this.#deps.ctx;
    const { id, nonce } = this.#held.record;
    const path = recordPath(id);
    const onRecord = (record: TaskRecord | null): void => {
      if (record === null) return;
      if (record.nonce !== nonce) {
        stop.now(new ClaimkeeperError('LEASE_LOST', `task ${id} was moved on by others`));
      } else if (record.cancelRequested) {
        stop.now(new ClaimkeeperError('ATTEMPT_CANCELLED', `task ${id} was cancelled`));
      }
    };
    return watchNode(session, path, (data) => decodeRecord(data, path), onRecord, runtime);
  }

  #context(stop: Stop): TaskContext<Json> {
    const { ctx, onProgress } = this.#deps;
    const held = this.#held;
    const assertOwned = (): Promise<void> => this.#assertOwned(held.record.nonce);
    return new AttemptContext({ held, stop, log: ctx.runtime.log, assertOwned, onProgress });
  }

  async #assertOwned(nonce: string): Promise<void> {
    const { ctx } = this.#deps;
    const owned = async (): Promise<boolean> => {
      if (!(await ctx.session.prove()) || ctx.session.sessionId !== this.#hold.claim.session) return false;
      const now = await readHeld(ctx, this.#id);
      return now?.record.state === 'running' && now.record.nonce === nonce && ctx.session.trusted();
    };
    if (await owned().catch(() => false)) return;
    throw new ClaimkeeperError(
      'LEASE_LOST',
      `task ${this.#id}: this attempt cannot prove that it still owns the task`,
    );
  }
}

function endingOf(outcome: AttemptOutcome, held: Held, moved: Awaited<ReturnType<typeof move>>): Ending {
  if (moved.kind === 'moved') return outcome.kind;
  if (moved.kind === 'unavailable') return 'unrecorded';
  // Our reply was lost and others moved on since: the attempt's own entry is there, and not what they guessed of it.
  const own = moved.record?.attempts?.find(({ nonce }) => nonce === held.record.nonce)?.outcome;
  return own === undefined || own === 'interrupted' || own === 'notExecuted' ? 'stale' : outcome.kind;
}
