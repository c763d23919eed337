// scheduler.ts: the leader's work. Owns when it is done: schedules fire when they are due, claims are watched closely, Redis's
// marker every second, the whole ledger in slow passes. Any number of schedulers may run; one leads, and every write of it
// is guarded by its term (P8).

import { Election, type Generation, type Leadership } from '../coordination/index.js';
import { type LedgerContext, leaderPath } from '../ledger/index.js';
import { delay, type Service } from '../runtime/index.js';
import { ClaimsMonitor } from './claims-monitor.js';
import { Firing } from './firing.js';
import { type DeliveryPort, type PassKind, reconcile } from './reconcile.js';

export type SchedulerOptions = {
  /** From a claim's vanishing to the interruption of its tasks: time for its worker to come back and readopt. */
  readonly graceMs: number;
  /** Between the end of a pass over the ledger and the next. */
  readonly reconcileEveryMs: number;
  /** A finished record stays in the ledger for this long, so that a repeated submit is recognised. */
  readonly dedupWindowMs: number;
  /** … and in Redis, for reading, for this long after it. */
  readonly historyMs: number;
};

const markerEveryMs = 1_000;
const lookEveryMsMax = 500;
const lookEveryMsMin = 50;
const rebuilding = 'rebuilding';

export class Scheduler implements Service {
  readonly #ctx: LedgerContext;
  readonly #generation: Generation;
  readonly #deliveries: DeliveryPort;
  readonly #options: SchedulerOptions;
  readonly #firing: Firing;
  readonly #monitor: ClaimsMonitor;
  readonly #stopping = new AbortController();
  /** Ends the pause between two looks at the claims. */
  #lookNow = new AbortController();
  #leadership: Leadership | null = null;
  #watching: Promise<void> = Promise.resolve();
  readonly #election: Election;

  constructor(
    options: SchedulerOptions,
    id: string,
    ctx: LedgerContext,
    generation: Generation,
    deliveries: DeliveryPort,
  ) {
    const log = ctx.runtime.log.child({ scheduler: id });
    this.#ctx = { ...ctx, runtime: { ...ctx.runtime, log } };
    this.#generation = generation;
    this.#deliveries = deliveries;
    this.#options = options;
    this.#firing = new Firing(this.#ctx);
    this.#monitor = new ClaimsMonitor(this.#ctx, options.graceMs);
    this.#election = new Election(
      ctx.session,
      { path: leaderPath, id, lead: (leadership) => this.#lead(leadership) },
      this.#ctx.runtime,
    );
  }

  start(): Promise<void> {
    this.#watching = this.#watchClaims();
    return this.#election.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#lookNow.abort();
    await this.#election.stop();
    await this.#watching;
  }

  async #lead(leadership: Leadership): Promise<void> {
    this.#leadership = leadership;
    try {
      await Promise.all([this.#reconcileLoop(leadership), this.#firing.run(leadership)]);
    } finally {
      this.#leadership = null;
    }
  }

  /**
   * Looks as long as this scheduler runs, acts while it leads; once more when the fleet has changed, and just when the grace
   * of a worker that may have died is over.
   */
  async #watchClaims(): Promise<void> {
    const { session, runtime } = this.#ctx;
    const monitor = this.#monitor;
    const { signal } = this.#stopping;
    const paceMs = (): number => {
      const lookEveryMs = Math.min(lookEveryMsMax, session.timeoutMs / 4);
      return this.#leadership === null ? lookEveryMs : clamp(monitor.dueInMs(), lookEveryMsMin, lookEveryMs);
    };
    const pause = async (): Promise<void> => {
      await delay(runtime.clock, lookEveryMsMin, signal);
      await delay(runtime.clock, Math.max(0, paceMs() - lookEveryMsMin), this.#lookNow.signal);
    };
    await this.#every(pause, signal, 'look at claims', async () => {
      if (this.#lookNow.signal.aborted) this.#lookNow = new AbortController();
      if (session.state !== 'connected') return;
      await monitor.look(() => this.#lookNow.abort());
      const leadership = this.#leadership;
      if (leadership === null) monitor.forget();
      else await monitor.act(() => leadership.guard(), leadership.signal);
    });
  }

  /** A pass at once, then routine ones; a rebuild as soon as Redis turns out to have lost its data. */
  async #reconcileLoop(leadership: Leadership): Promise<void> {
    const { clock } = this.#ctx.runtime;
    const { signal } = leadership;
    let nextAt = Number.NEGATIVE_INFINITY;
    let kind: PassKind = 'thorough';
    await this.#every(
      () => delay(clock, markerEveryMs, signal),
      signal,
      'reconcile',
      async () => {
        let hasLost = await this.#hasRedisLost();
        if (signal.aborted || (!hasLost && clock.monotonic() < nextAt)) return;
        const now = kind;
        kind = 'thorough'; // After one that fails.
        hasLost ||= await this.#passUnlessLost(leadership, now);
        if (hasLost && !signal.aborted) await this.#rebuild(leadership);
        kind = 'routine';
        nextAt = clock.monotonic() + this.#options.reconcileEveryMs;
      },
    );
  }

  async #hasRedisLost(): Promise<boolean> {
    const generation = this.#generation.id;
    return generation !== null && (await this.#deliveries.readMarker()) !== generation;
  }

  /** A pass that ends as soon as Redis has lost its data; true: it has. */
  async #passUnlessLost(leadership: Leadership, kind: PassKind): Promise<boolean> {
    const { clock } = this.#ctx.runtime;
    const over = new AbortController();
    const leave = (): void => over.abort();
    leadership.signal.addEventListener('abort', leave, { once: true });
    const hasLost = async (): Promise<boolean> => {
      while (!over.signal.aborted) {
        await delay(clock, markerEveryMs, over.signal);
        // Where Redis does not answer, the pass fails as well, and says so.
        if (!over.signal.aborted && (await this.#hasRedisLost().catch(() => false))) return true;
      }
      return false;
    };
    const lost = hasLost();
    void lost.then(leave);
    try {
      await this.#pass(leadership, kind, over.signal);
    } finally {
      leave();
      leadership.signal.removeEventListener('abort', leave);
    }
    return lost;
  }

  async #rebuild(leadership: Leadership): Promise<void> {
    const generation = this.#generation.id;
    await this.#deliveries.writeMarker(rebuilding);
    await this.#pass(leadership, 'rebuild', leadership.signal);
    // Lost again meanwhile, the mark is gone with the rest, and the next round begins anew.
    const stands = (await this.#deliveries.readMarker()) === rebuilding;
    if (stands && generation !== null && !leadership.signal.aborted) {
      await this.#deliveries.writeMarker(generation);
    }
  }

  async #pass(leadership: Leadership, kind: PassKind, signal: AbortSignal): Promise<void> {
    const { dedupWindowMs, historyMs } = this.#options;
    const report = await reconcile(this.#ctx, this.#deliveries, {
      dedupWindowMs,
      historyMs,
      kind,
      guard: () => leadership.guard(),
      signal,
      onOrphan: (record) => this.#monitor.noteOrphan(record),
    });
    const { redelivered, orphans, removed, stale } = report;
    if (signal.aborted) return; // It was cut short.
    const { log } = this.#ctx.runtime;
    const isRebuild = kind === 'rebuild';
    const message = isRebuild
      ? 'Redis had lost its data: deliveries rebuilt from the ledger'
      : 'ledger reconciled';
    if (isRebuild || redelivered + orphans + removed + stale > 0) log.info(report, message);
  }

  /** Repeats `task`, with a pause after each end of it, until `signal` aborts. A failure is logged and tried again. */
  async #every(
    pause: () => Promise<void>,
    signal: AbortSignal,
    what: string,
    task: () => Promise<void>,
  ): Promise<void> {
    while (!signal.aborted) {
      try {
        await task();
      } catch (error) {
        if (!signal.aborted) this.#ctx.runtime.log.warn({ err: error }, `could not ${what}; trying again`);
      }
      await pause();
    }
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
