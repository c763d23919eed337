// reconcile.ts: one pass over the ledger that mends what events missed: tasks that wait without a delivery, claims whose
// loss no leader saw, finished records past their dedup window. Owns what such a pass decides; its pace is scheduler.ts.

import type { WriteOp } from '../coordination/index.js';
import {
  type EpochMs,
  type Held,
  type Hint,
  hintOf,
  type Name,
  type TaskId,
  type TaskRecord,
} from '../domain/index.js';
import {
  isExpired,
  isOrphan,
  type LedgerContext,
  removeExpired,
  walk,
  wantsDelivery,
} from '../ledger/index.js';

/** What the pass needs of Redis; the delivery layer's Deliveries fits. */
export interface DeliveryPort {
  pending(queue: Name): Promise<Set<TaskId>>;
  readMarker(): Promise<string | null>;
  writeMarker(value: string): Promise<void>;
  putHistory(
    entries: readonly { readonly id: TaskId; readonly json: string }[],
    ttlMs: number,
  ): Promise<void>;
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

export type ReconcileReport = { records: number; redelivered: number; orphans: number; removed: number };

/** A task that has only just begun to wait may have its delivery on the way. */
const deliveryOnTheWayMs = 5_000;

/** @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `REDIS_UNAVAILABLE`; what was done until then stays done. */
export async function reconcile(
  ctx: LedgerContext,
  deliveries: DeliveryPort,
  options: ReconcileOptions,
): Promise<ReconcileReport> {
  const report: ReconcileReport = { records: 0, redelivered: 0, orphans: 0, removed: 0 };
  const pending = new Map<Name, Promise<Set<TaskId>>>();
  const pendingOf = (queue: Name): Promise<Set<TaskId>> => {
    const known = pending.get(queue) ?? deliveries.pending(queue);
    pending.set(queue, known);
    return known;
  };
  await walk(ctx, options.signal, async (helds) => {
    report.records += helds.length;
    const hints = await undelivered(helds, ctx.runtime.clock.now(), options.rebuild, pendingOf);
    ctx.deliver(hints);
    report.redelivered += hints.length;
    const orphans = await orphansOf(ctx, helds);
    orphans.forEach(options.onOrphan);
    report.orphans += orphans.length;
    report.removed += await retire(ctx, deliveries, helds, options);
  });
  return report;
}

async function orphansOf(ctx: LedgerContext, helds: readonly Held[]): Promise<TaskRecord[]> {
  const running = helds.map(({ record }) => record).filter(({ state }) => state === 'running');
  const gone = await Promise.all(running.map((record) => isOrphan(ctx, record)));
  return running.filter((_, i) => gone[i]);
}

async function undelivered(
  helds: readonly Held[],
  now: EpochMs,
  rebuild: boolean,
  pendingOf: (queue: Name) => Promise<Set<TaskId>>,
): Promise<Hint[]> {
  const hints: Hint[] = [];
  for (const { record } of helds) {
    if (!wantsDelivery(record) || (!rebuild && now - waitsSince(record) < deliveryOnTheWayMs)) continue;
    if (!(await pendingOf(record.queue)).has(record.id)) hints.push(hintOf(record));
  }
  return hints;
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
  const entries = expired.map(({ record }) => ({ id: record.id, json: JSON.stringify(record) }));
  await deliveries.putHistory(entries, historyMs);
  return removeExpired(ctx, expired, guard());
}
