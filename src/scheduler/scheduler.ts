// scheduler.ts: the leader's work. Owns its pace: claims are watched closely, Redis's marker every second, the whole
// ledger in slow passes. Any number of schedulers may run; one leads, and every write of it is guarded by its term (P8).

import { Election, type Generation, type Leadership } from '../coordination/index.js';
import { type LedgerContext, leaderPath } from '../ledger/index.js';
import { delay, type Service } from '../runtime/index.js';
import { ClaimsMonitor } from './claims-monitor.js';
import { type DeliveryPort, reconcile } from './reconcile.js';

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
const rebuilding = 'rebuilding';

export class Scheduler implements Service {
  readonly #ctx: LedgerContext;
  readonly #generation: Generation;
  readonly #deliveries: DeliveryPort;
  readonly #options: SchedulerOptions;
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
    this.#election = new Election(
      ctx.session,
      { path: leaderPath, id, lead: (leadership) => this.#lead(leadership) },
      this.#ctx.runtime,
    );
  }

  start(): Promise<void> {
    return this.#election.start();
  }

  stop(): Promise<void> {
    return this.#election.stop();
  }

  async #lead(leadership: Leadership): Promise<void> {
    const { signal } = leadership;
    const monitor = new ClaimsMonitor(this.#ctx, this.#options.graceMs, () => leadership.guard());
    const lookEveryMs = Math.min(lookEveryMsMax, this.#ctx.session.timeoutMs / 4);
    await Promise.all([
      this.#every(lookEveryMs, signal, 'look at claims', () => monitor.look(signal)),
      this.#reconcileLoop(leadership, monitor),
    ]);
  }

  /** A pass at once, then slowly; and at once whenever Redis turns out to have lost its data. */
  async #reconcileLoop(leadership: Leadership, monitor: ClaimsMonitor): Promise<void> {
    const { clock } = this.#ctx.runtime;
    let lastEndedAt = Number.NEGATIVE_INFINITY;
    await this.#every(markerEveryMs, leadership.signal, 'reconcile', async () => {
      const generation = this.#generation.id;
      const lost = generation !== null && (await this.#deliveries.readMarker()) !== generation;
      if (!lost && clock.monotonic() - lastEndedAt < this.#options.reconcileEveryMs) return;
      if (lost) await this.#deliveries.writeMarker(rebuilding);
      await this.#pass(leadership, monitor, lost);
      lastEndedAt = clock.monotonic();
      // Lost again meanwhile, the mark is gone with the rest, and the next round begins anew.
      const stands = lost && (await this.#deliveries.readMarker()) === rebuilding;
      if (stands && !leadership.signal.aborted) await this.#deliveries.writeMarker(generation);
    });
  }

  async #pass(leadership: Leadership, monitor: ClaimsMonitor, rebuild: boolean): Promise<void> {
    const { dedupWindowMs, historyMs } = this.#options;
    const report = await reconcile(this.#ctx, this.#deliveries, {
      dedupWindowMs,
      historyMs,
      rebuild,
      guard: () => leadership.guard(),
      signal: leadership.signal,
      onOrphan: (record) => monitor.noteOrphan(record),
    });
    const { log } = this.#ctx.runtime;
    const message = rebuild
      ? 'Redis had lost its data: deliveries rebuilt from the ledger'
      : 'ledger reconciled';
    if (rebuild || report.redelivered + report.orphans + report.removed > 0) log.info(report, message);
  }

  /** Repeats `task`, `everyMs` after its last end, until `signal` aborts. A failure is logged and tried again. */
  async #every(everyMs: number, signal: AbortSignal, what: string, task: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        await task();
      } catch (error) {
        if (!signal.aborted) this.#ctx.runtime.log.warn({ err: error }, `could not ${what}; trying again`);
      }
      await delay(this.#ctx.runtime.clock, everyMs, signal);
    }
  }
}
