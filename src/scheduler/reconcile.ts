// reconcile.ts: one pass over the ledger that mends what events missed: tasks that wait without a delivery, claims whose
// loss no leader saw, finished records past their dedup window, what the read model has missed. Owns what such a pass decides;
// its pace is scheduler.ts.
//
// Deliveries are made when all is read, for those first that have waited longest: were it in the order of the walk, Redis
// losing its data again and again would starve those that come late in it.

import type { WriteOp } from '../coordination/index.js';
import {
  type EpochMs,
  encodeRecord,
  type Held,
  type Hint,
  hintOf,
  type Name,
  type TaskId,
  type TaskRecord,
} from '../domain/index.js';
import {
  isExpired,
  type LedgerContext,
  orphansOf,
  readAllHeld,
  removeExpired,
  walk,
  wantsDelivery,
} from '../ledger/index.js';
import { unlessAborted } from '../runtime/index.js';
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

export type ReconcileOptions = {
  readonly dedupWindowMs: number;
  readonly historyMs: number;
  /** Redis has lost its data: what waits is delivered however young it is. */
  readonly rebuild: boolean;
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

type Undelivered = { readonly hint: Hint; readonly since: number };

/** A task that has only just begun to wait may have its delivery on the way. */
const deliveryOnTheWayMs = 5_000;
/** Handed over at once: well below `limits.deliveryBufferMax`, beyond which the oldest would be dropped. */
const hintsAtOnce = 10_000;

/** @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `REDIS_UNAVAILABLE`; what was done until then stays done. */
export async function reconcile(
  ctx: LedgerContext,
  deliveries: DeliveryPort,
  options: ReconcileOptions,
): Promise<ReconcileReport> {
  const report: ReconcileReport = { records: 0, redelivered: 0, orphans: 0, removed: 0, stale: 0 };
  const pending = new Map<Name, Promise<Set<TaskId>>>();
  const pendingOf = (queue: Name): Promise<Set<TaskId>> => {
    const known = pending.get(queue) ?? deliveries.pending(queue);
    pending.set(queue, known);
    return known;
  };
  const found: Undelivered[] = [];
  const seek = async (helds: readonly Held[]): Promise<void> => {
    report.records += helds.length;
    found.push(...(await undelivered(helds, ctx.runtime.clock.now(), options.rebuild, pendingOf)));
    report.orphans += await noteOrphans(ctx, helds, options);
  };
  const mend = async (helds: readonly Held[]): Promise<void> => {
    await showAll(ctx, deliveries.view, helds);
    report.removed += await retire(ctx, deliveries, helds, options);
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
  const { rebuild, signal } = options;
  try {
    // Where all deliveries are lost, work goes before lists, although that takes a walk more.
    await (rebuild ? walk(ctx, signal, seek) : walk(ctx, signal, seekAndMend, listed));
  } finally {
    // Also of a walk that was cut short: a delivery decides nothing, whoever leads.
    report.redelivered = await deliver(ctx, deliveries, found, signal);
  }
  if (rebuild && !signal.aborted) await walk(ctx, signal, mend, listed);
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

async function undelivered(
  helds: readonly Held[],
  now: EpochMs,
  rebuild: boolean,
  pendingOf: (queue: Name) => Promise<Set<TaskId>>,
): Promise<Undelivered[]> {
  const found: Undelivered[] = [];
  for (const { record } of helds) {
    if (!wantsDelivery(record) || (!rebuild && now - waitsSince(record) < deliveryOnTheWayMs)) continue;
    if (!(await pendingOf(record.queue)).has(record.id)) {
      found.push({ hint: hintOf(record), since: waitsSince(record) });
    }
  }
  return found;
}

function waitsSince(record: TaskRecord): number {
  return Math.max(record.acceptedAt, record.attempts?.at(-1)?.endedAt ?? 0);
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
