// worker.ts: a member of the fleet that runs tasks. Owns its lifecycle and what must hold before it claims: connected,
// generation proven, in-flight tasks readopted. What is claimed is dispatch.ts, how a task runs is run.ts.
//
//   starting → claiming ⇄ held (suspended: perhaps still ours, start nothing) → readopting (new session, P5) → claiming
//   claiming → draining (stop: claim nothing, wait, then abort what is left) → stopped

import { setMaxListeners } from 'node:events';
import { announce, ensureTree, type Generation, type SessionEvents } from '../coordination/index.js';
import {
  ClaimkeeperError,
  type Held,
  type Json,
  type Name,
  type Nonce,
  type TaskId,
  type WorkerId,
} from '../domain/index.js';
import { claimsOf, type LedgerContext, type StandingClaim, workersPath } from '../ledger/index.js';
import { delay, Emitter, type Service, type Timer, type Unsubscribe, within } from '../runtime/index.js';
import { settleMsMax } from './attempt.js';
import { Breaker } from './breaker.js';
import type { Progress } from './context.js';
import { Audit, readopt, type Strays } from './custody.js';
import { dispatch, type NotClaimed, policyOf, type Skill } from './dispatch.js';
import { Gate } from './gate.js';
import { Hold } from './hold.js';
import { type Ending, Run, type RunDeps } from './run.js';
import { Slots } from './slots.js';
import type { Delivery, Source } from './source.js';
import type { TaskType } from './task-type.js';
import { verify } from './verify.js';

export type WorkerOptions = {
  readonly id: WorkerId;
  readonly types: readonly TaskType[];
  readonly sources: readonly Source[];
  /** Handlers run at once. */
  readonly concurrency: number;
  /** How long a stop waits for running tasks before their signals abort. */
  readonly drainMsMax: number;
  /** What the fleet is told of this member. */
  readonly description: Json;
};

export type WorkerEvents = {
  /** Delivered tasks that were not claimed here and now, by the reason. */
  notClaimed: ReadonlyMap<NotClaimed, number>;
  ended: { readonly id: TaskId; readonly ending: Ending };
  readopted: { readonly tasks: number; readonly lost: number };
  progress: Progress;
};

/** Ids of a delivery wait this long for a free slot before other workers get them. */
const holdMsMax = 250;
/** Where slots become free more often than that, the next delivery is fetched before one is; it waits no longer for its first. */
const turnMsMax = 50;
/** Deliveries being claimed from at the same time. */
const placementsMax = 4;
/** How long to leave tasks alone that could not be claimed while ZooKeeper was away, or took no claim at all. */
const outageDelayMs = 500;

export class Worker implements Service {
  readonly #ctx: LedgerContext;
  readonly #generation: Generation;
  readonly #options: WorkerOptions;
  readonly #slots: Slots;
  readonly #gate = new Gate();
  readonly #events = new Emitter<WorkerEvents>();
  readonly #runs = new Set<Run>();
  readonly #strays: Strays = new Map();
  readonly #doubted = new Set<Nonce>();
  readonly #audit: Audit;
  /** No more claims. */
  readonly #stopping = new AbortController();
  /** No more recording: the process is about to end. */
  readonly #end = new AbortController();
  #skills: ReadonlyMap<Name, Skill & RunDeps> = new Map();
  #pumps: Promise<void>[] = [];
  #announcement: Service | null = null;
  #unsubscribe: Unsubscribe[] = [];
  #auditTimer: Timer | null = null;
  #started: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;
  #hasWarned = false;

  constructor(options: WorkerOptions, ctx: LedgerContext, generation: Generation) {
    const log = ctx.runtime.log.child({ worker: options.id });
    this.#ctx = { ...ctx, runtime: { ...ctx.runtime, log } };
    this.#generation = generation;
    this.#options = options;
    this.#slots = new Slots(options.concurrency, ctx.runtime.clock);
    this.#audit = new Audit(this.#ctx, options.id);
    setMaxListeners(0, this.#stopping.signal, this.#end.signal); // One or more per task that is under way.
  }

  get id(): WorkerId {
    return this.#options.id;
  }

  on<Kind extends keyof WorkerEvents>(
    kind: Kind,
    listener: (event: WorkerEvents[Kind]) => void,
  ): Unsubscribe {
    return this.#events.on(kind, listener);
  }

  start(): Promise<void> {
    this.#started = this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    const { session, runtime } = this.#ctx;
    const { id, types, sources, description } = this.#options;
    await ensureTree(session, [claimsOf(id)]);
    this.#skills = new Map(types.map((type) => [type.name, this.#skillIn(type)]));
    this.#unsubscribe = [
      session.on('state', (event) => {
        if (event.state !== 'connected') this.#hold(event);
      }),
      this.#generation.on('halted', () => this.#gate.close()),
      this.#generation.on('proven', () => void this.#recover()),
    ];
    this.#announcement = announce(
      session,
      `${workersPath}/${id}`,
      Buffer.from(JSON.stringify(description)),
      runtime,
    );
    await this.#announcement.start();
    if (this.#generation.guard() !== null) await this.#recover();
    for (const source of sources) await source.start();
    this.#pumps = sources.map((source) => this.#pump(source));
    this.#auditLater();
  }

  #skillIn(type: TaskType): Skill & RunDeps {
    const { session, runtime } = this.#ctx;
    return {
      type,
      breaker: new Breaker(type, this.id, session, runtime),
      policy: policyOf(type, null),
      ctx: this.#ctx,
      end: this.#end.signal,
      accepting: () => !this.#stopping.signal.aborted,
      onProgress: (said) => this.#events.emit('progress', said),
      onEnding: () => this.#slots.ending(),
      onEnd: (ended, ending) => this.#events.emit('ended', { id: ended.held.record.id, ending }),
    };
  }

  /**
   * Claims nothing more, gives back what it may have claimed without knowing, waits for running tasks up to `drainMsMax`, aborts
   * and gives up what is left.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    this.#gate.close();
    if (this.#pumps.length === 0) await this.#announcement?.stop(); // A start that waits for it gives up.
    await this.#started.catch(() => undefined);
    await Promise.all(this.#options.sources.map((source) => source.stop()));
    await Promise.all(this.#pumps);
    const { session, runtime } = this.#ctx;
    const giveBack = this.#audit.giveBack(this.#strays, this.#end.signal);
    const givenBack = within(runtime.clock, session.timeoutMs, giveBack);
    if (!(await this.#slots.idle(this.#options.drainMsMax))) {
      for (const run of this.#runs) run.abort(new ClaimkeeperError('CLOSED', 'the worker is stopping'));
      await this.#slots.idle(settleMsMax + session.timeoutMs);
    }
    await givenBack;
    this.#end.abort();
    this.#auditTimer?.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    for (const { breaker } of this.#skills.values()) breaker.stop();
    await this.#announcement?.stop();
    // Once it is empty; else, or while ZooKeeper is away, the leader does it when the claims are gone.
    const claims = { kind: 'delete', path: claimsOf(this.id), version: null } as const;
    await this.#ctx.commits.commit([claims], { lane: 'write' });
  }

  /** Suspended or lost: start nothing; once the lease is over, stop what another worker may soon rerun (P9). */
  #hold({ state, sessionId }: SessionEvents['state']): void {
    this.#gate.close();
    const { session, runtime } = this.#ctx;
    const leaseMs = Math.max(0, session.trustedUntil() - runtime.clock.monotonic());
    runtime.clock.after(leaseMs, () => {
      if (session.trusted()) return;
      if (state === 'suspended') runtime.log.info({ sessionId }, 'the lease has ended');
      const reason = new ClaimkeeperError('LEASE_LOST', 'the ZooKeeper session can no longer be trusted');
      for (const run of this.#runs) if (run.isRerun) run.abort(reason);
    });
  }

  /** Connected and the generation proven: readopt what a lost session left, then claim again. */
  async #recover(): Promise<void> {
    const { session, runtime } = this.#ctx;
    const recovering = session.sessionId;
    let tasks = 0;
    let lost = 0;
    try {
      await readopt(this.#ctx, this.id, () => [...this.#runs], {
        doubted: this.#doubted,
        readopted: (count) => {
          tasks += count;
        },
        lost: () => {
          lost += 1;
        },
      });
    } catch (error) {
      // Stopped meanwhile, the session may be closed: what becomes of the claims left is the leader's to say.
      if (!this.#end.signal.aborted) runtime.log.error({ err: error }, 'readopting failed');
    }
    if (tasks + lost > 0) {
      runtime.log.info({ session: recovering, tasks, lost }, 'in-flight tasks readopted in a new session');
      this.#events.emit('readopted', { tasks, lost });
    }
    const current = session.sessionId === recovering && session.state === 'connected';
    if (current && this.#generation.guard() !== null && !this.#stopping.signal.aborted) this.#gate.open();
  }

  async #pump(source: Source): Promise<void> {
    const { signal } = this.#stopping;
    const placing = new Set<Promise<void>>();
    while (!signal.aborted) {
      await this.#gate.opened(signal);
      await this.#slots.room(turnMsMax, signal);
      if (signal.aborted) break;
      const isAhead = this.#slots.free === 0;
      const delivery = await (isAhead ? this.#takeAhead(source) : source.take(signal));
      if (delivery === null) continue;
      const firstMs = isAhead ? turnMsMax : holdMsMax;
      const placed = this.#place(delivery, source, firstMs).finally(() => placing.delete(placed));
      placing.add(placed);
      if (placing.size >= placementsMax) await Promise.race(placing);
    }
    await Promise.all(placing);
  }

  /** A delivery, if there soon is one: without a free slot, this worker is not to stand before others that have some. */
  async #takeAhead(source: Source): Promise<Delivery | null> {
    const late = new AbortController();
    const timer = this.#ctx.runtime.clock.after(turnMsMax, () => late.abort());
    const delivery = await source.take(late.signal);
    timer.cancel();
    return delivery;
  }

  /** Starts what finds a free slot soon, the first of it within `firstMs`, and gives the rest to others. */
  async #place(delivery: Delivery, source: Source, firstMs: number): Promise<void> {
    const { runtime } = this.#ctx;
    const mayStart = (): boolean => this.#gate.isOpen && source.paused !== true;
    let left: readonly TaskId[] = [...new Set(delivery.ids)];
    try {
      for (let withinMs = firstMs; left.length > 0 && mayStart(); withinMs = holdMsMax) {
        const reserved = await this.#slots.take(left.length, withinMs, this.#stopping.signal);
        if (reserved === 0) break;
        if (!mayStart()) {
          this.#slots.release(reserved);
          break;
        }
        const untried = await this.#claimAndStart(left.slice(0, reserved), delivery.redelivered);
        left = [...untried, ...left.slice(reserved)];
        if (untried.length === reserved) {
          await delay(runtime.clock, outageDelayMs, this.#stopping.signal);
          break;
        }
      }
    } catch (error) {
      runtime.log.warn({ err: error, tasks: left.length }, 'could not claim: the delivery is put off');
      return delivery.giveBack(left, outageDelayMs);
    }
    if (left.length === 0) return delivery.done();
    return delivery.giveBack(left, this.#gate.isOpen || this.#stopping.signal.aborted ? 0 : outageDelayMs);
  }

  /** Uses one reserved slot for each of `batch`, or frees it; returns what is still to be taken. */
  async #claimAndStart(batch: readonly TaskId[], alone: boolean): Promise<readonly TaskId[]> {
    let used = 0;
    try {
      const { outcome, toVerify, notClaimed } = await dispatch(this.#ctx, this.id, this.#skills, batch, {
        alone,
        doubted: this.#doubted,
      });
      if (notClaimed.size > 0) this.#noteNotClaimed(notClaimed);
      if (outcome.unknown !== null) {
        const { ref, ids } = outcome.unknown;
        this.#strays.set(ref.nonce, { ids, since: this.#ctx.runtime.clock.monotonic() });
      }
      used = outcome.won.length + toVerify.length;
      if (outcome.claim !== null) {
        const hold = new Hold(
          outcome.claim,
          outcome.won.map(({ record }) => record.id),
        );
        for (const held of outcome.won) this.#run(held, hold);
      }
      for (const held of toVerify) void this.#verify(held);
      return outcome.untried;
    } finally {
      this.#slots.release(batch.length - used);
    }
  }

  #noteNotClaimed(notClaimed: ReadonlyMap<NotClaimed, number>): void {
    this.#events.emit('notClaimed', notClaimed);
    if (!notClaimed.has('unknownType') || this.#hasWarned) return;
    this.#hasWarned = true;
    const types = [...this.#skills.keys()];
    this.#ctx.runtime.log.warn(
      { types },
      'tasks of other types than these come to this worker: they are put off',
    );
  }

  #run(held: Held, hold: Hold): void {
    const skill = this.#skills.get(held.record.type);
    if (skill === undefined) throw new Error(`claimed a task of type ${held.record.type} without a handler`);
    const run = new Run(held, hold, skill);
    this.#runs.add(run);
    void run.execute().then(() => {
      this.#runs.delete(run);
      if (run.isEnding) this.#slots.ended();
      else this.#slots.release(1);
    });
  }

  async #verify(held: Held): Promise<void> {
    const type = this.#skills.get(held.record.type)?.type;
    try {
      if (type !== undefined) await verify(this.#ctx, held, type, this.#end.signal);
    } catch (error) {
      this.#ctx.runtime.log.error({ err: error, task: held.record.id }, 'verifying failed');
    } finally {
      this.#slots.release(1);
    }
  }

  #auditLater(): void {
    const { runtime, session } = this.#ctx;
    this.#auditTimer = runtime.clock.after(session.timeoutMs / 2, async () => {
      const isHeld = ({ ref, path }: StandingClaim): boolean =>
        this.#doubted.has(ref.nonce) || [...this.#runs].some((run) => run.hold.claim.path === path);
      try {
        if (this.#gate.isOpen) await this.#audit.run(this.#strays, isHeld, this.#end.signal);
      } catch (error) {
        runtime.log.debug({ err: error }, 'the audit of own claims was cut short');
      }
      if (!this.#end.signal.aborted) this.#auditLater();
    });
  }
}
