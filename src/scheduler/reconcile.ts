// reconcile.ts: one pass over the ledger that mends what events missed: tasks that wait without a delivery, claims whose
// loss no leader saw, finished records past their dedup window, what the read model has missed. Owns what such a pass decides;
// when there is one is scheduler.ts.
//
//   thorough   as fast as it goes, after events may have been missed: a leader's first, or the one after a pass that failed
//   routine    spread over time, since nothing is known to be amiss; a delivery that is missing is made when it is found
//   rebuild    as fast as it goes, Redis having lost its data: what waits is delivered however young it is
//
// But in a routine, deliveries are made when all is read, for those first that have waited longest: were it in the order of the
// walk, Redis losing its data again and again would starve those that come late in it.

import type { WriteOp } from '../coordination/index.js';
import { encodeRecord, type Held, type Name, type TaskId, type TaskRecord } from '../domain/index.js';
import {
  isExpired,
  type LedgerContext,
  orphansOf,
  readAllHeld,
  removeExpired,
  walk,
} from '../ledger/index.js';
import { type Clock, delay, unlessAborted } from '../runtime/index.js';
import { type Undelivered, UndeliveredSearch } from './undelivered.js';
import { dropStale, showAll, type ViewPort } from './view-repair.js';

/** What the pass needs of Redis; the delivery layer's Deliveries fits. */
export interface DeliveryPort {
  pending(queue: Name): Promise<Set<TaskId>>;
  /** Resolves once all hints handed over so far were sent or dropped. */
  flush(): Promise<void>;
  readMarker(): Promise<string | null>;
  writeMarker(value: string): Promise<void>;
  putHistory(
    entries: readonly { readonly id: TaskId; readonly json: string }[],
    ttlMs: number,
  ): Promise<void>;
  readonly view: ViewPort;
}

export type PassKind = 'thorough' | 'routine' | 'rebuild';

export type ReconcileOptions = {
  readonly dedupWindowMs: number;
  readonly historyMs: number;
  readonly kind: PassKind;
  readonly guard: () => WriteOp;
  readonly signal: AbortSignal;
  readonly onOrphan: (record: TaskRecord) => void;
};

export type ReconcileReport = {
  records: number;
  redelivered: number;
  orphans: number;
  removed: number;
  /** Tasks that the read model still showed, although they had left the ledger. */
  stale: number;
};

/** Of a routine pass, for each record that stays in the ledger: five thousand a second. */
const paceMsPerRecord = 0.2;
/** Handed over at once: well below `limits.deliveryBufferMax`, beyond which the oldest would be dropped. */
const hintsAtOnce = 10_000;

/** @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `REDIS_UNAVAILABLE`; what was done until then stays done. */
export async function reconcile(
  ctx: LedgerContext,
  deliveries: DeliveryPort,
  options: ReconcileOptions,
): Promise<ReconcileReport> {
  const report: ReconcileReport = { records: 0, redelivered: 0, orphans: 0, removed: 0, stale: 0 };
  const { kind, signal } = options;
  const pending = new UndeliveredSearch((queue) => deliveries.pending(queue), ctx.runtime.clock);
  const pace = new Pace(ctx.runtime.clock, signal);
  const toDeliver: Undelivered[] = [];
  const seek = async (helds: readonly Held[]): Promise<void> => {
    report.records += helds.length;
    const found = await pending.among(helds, kind === 'rebuild');
    if (kind === 'routine') {
      ctx.deliver(found.map(({ hint }) => hint));
      report.redelivered += found.length;
    } else toDeliver.push(...found);
    const orphans = await noteOrphans(ctx, helds, options);
    report.orphans += orphans;
  };
  const mend = async (helds: readonly Held[]): Promise<void> => {
    await showAll(ctx, deliveries.view, helds);
    const removed = await retire(ctx, deliveries, helds, options);
    report.removed += removed;
    if (kind === 'routine') await pace.rest((helds.length - removed) * paceMsPerRecord);
  };
  const seekAndMend = async (helds: readonly Held[]): Promise<void> => {
    await seek(helds);
    await mend(helds);
  };
  const listed = async (bucket: string, ids: readonly TaskId[]): Promise<void> => {
    report.stale += await dropStale(ctx, deliveries.view, bucket, ids);
  };
  // A walk over a large ledger takes a while, and its leader may not lead for so long: what the read model says runs goes first.
  const running = await readAllHeld(ctx, await deliveries.view.running());
  await noteOrphans(
    ctx,
    running.filter((held) => held !== null),
    options,
  );
  try {
    // Where all deliveries are lost, work goes before lists, although that takes a walk more.
    await (kind === 'rebuild' ? walk(ctx, signal, seek) : walk(ctx, signal, seekAndMend, listed));
  } finally {
    // Also of a walk that was cut short: a delivery decides nothing, whoever leads.
    const delivered = await deliver(ctx, deliveries, toDeliver, signal);
    report.redelivered += delivered;
  }
  if (kind === 'rebuild' && !signal.aborted) await walk(ctx, signal, mend, listed);
  return report;
}

async function noteOrphans(
  ctx: LedgerContext,
  helds: readonly Held[],
  { onOrphan }: ReconcileOptions,
): Promise<number> {
  const orphans = await orphansOf(
    ctx,
    helds.map(({ record }) => record),
  );
  orphans.forEach(onOrphan);
  return orphans.length;
}

/** Resolves with how many were handed over: where `signal` has aborted, the first of them alone. */
async function deliver(
  ctx: LedgerContext,
  deliveries: DeliveryPort,
  found: Undelivered[],
  signal: AbortSignal,
): Promise<number> {
  const hints = found.sort((a, b) => a.since - b.since).map(({ hint }) => hint);
  for (let from = 0; from < hints.length; from += hintsAtOnce) {
    if (from > 0) {
      // Redis may be away for longer than this scheduler leads.
      await unlessAborted(signal, deliveries.flush());
      if (signal.aborted) return from;
    }
    ctx.deliver(hints.slice(from, from + hintsAtOnce));
  }
  return hints.length;
}

async function retire(
  ctx: LedgerContext,
  deliveries: DeliveryPort,
  helds: readonly Held[],
  { dedupWindowMs, historyMs, guard }: ReconcileOptions,
): Promise<number> {
  const now = ctx.runtime.clock.now();
  const expired = helds.filter(({ record }) => isExpired(record, dedupWindowMs, now));
  if (expired.length === 0) return 0;
  const entries = expired.map(({ record }) => ({ id: record.id, json: encodeRecord(record).toString() }));
  await deliveries.putHistory(entries, historyMs);
  return removeExpired(ctx, expired, guard());
}

/** Shares out time among those that go on side by side. */
class Pace {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #freeAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  /** Resolves once `ms` have passed for this caller and all that asked before; or as the signal aborts. */
  rest(ms: number): Promise<void> {
    const now = this.#clock.monotonic();
    this.#freeAt = Math.max(now, this.#freeAt) + ms;
    return delay(this.#clock, this.#freeAt - now, this.#signal);
  }
}
