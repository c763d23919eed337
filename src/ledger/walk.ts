// walk.ts: goes through every record of the ledger, some buckets at a time. For slow passes only: it costs a read per task.

import { type Held, limits, type TaskId } from '../domain/index.js';
import { type LedgerContext, readAllHeld } from './context.js';
import { bucketPath, recordsPath } from './paths.js';

/** Records read at once, in one request: claims are not kept waiting. */
const readsAtOnce = limits.readsPerRequestMax;
const bucketsAtOnce = 16;

/**
 * Calls `visit` with up to 64 records at a time, until all were seen or `signal` aborts. Records made meanwhile may be missed.
 * Calls `listed` with all ids of a bucket, as they were before its records were visited, when they were.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
 */
export async function walk(
  ctx: LedgerContext,
  signal: AbortSignal,
  visit: (held: readonly Held[]) => Promise<void> | void,
  listed: (bucket: string, ids: readonly TaskId[]) => Promise<void> | void = () => undefined,
): Promise<void> {
  const buckets = (await ctx.session.children(recordsPath)) ?? [];
  for (let first = 0; first < buckets.length; first += bucketsAtOnce) {
    const some = buckets.slice(first, first + bucketsAtOnce);
    const lists = await ctx.session.childrenOfAll(some.map(bucketPath));
    const ids = lists.flatMap((list) => (list ?? []) as TaskId[]);
    for (let from = 0; from < ids.length; from += readsAtOnce) {
      if (signal.aborted) return;
      const held = await readAllHeld(ctx, ids.slice(from, from + readsAtOnce));
      await visit(held.filter((each): each is Held => each !== null));
    }
    for (const [i, bucket] of some.entries()) {
      if (signal.aborted) return;
      await listed(bucket, (lists[i] ?? []) as TaskId[]);
    }
  }
}
