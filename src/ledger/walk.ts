// walk.ts: goes through every record of the ledger, some buckets at a time. For slow passes only: it costs a read per task.

import { type Held, limits, type TaskId } from '../domain/index.js';
import { type LedgerContext, readAllHeld } from './context.js';
import { bucketPath, recordsPath } from './paths.js';

/** Records read by one request, and requests at once: far below what a connection carries, so that claims are not kept waiting. */
const readsPerRequest = limits.readsPerRequestMax;
const requestsAtOnce = 8;
const bucketsAtOnce = 16;

/**
 * Calls `visit` with what one request reads, some at a time, until all were seen or `signal` aborts. Records made meanwhile may
 * be missed. Calls `listed` with all ids of a bucket, as they were before its records were visited, when they were.
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
    let from = 0;
    const visitSome = async (): Promise<void> => {
      while (from < ids.length && !signal.aborted) {
        const part = ids.slice(from, from + readsPerRequest);
        from += readsPerRequest;
        await visit((await readAllHeld(ctx, part)).filter((each): each is Held => each !== null));
      }
    };
    await Promise.all(Array.from({ length: requestsAtOnce }, visitSome));
    for (const [i, bucket] of some.entries()) {
      if (signal.aborted) return;
      await listed(bucket, (lists[i] ?? []) as TaskId[]);
    }
  }
}
