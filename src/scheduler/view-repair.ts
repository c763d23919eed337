// view-repair.ts: makes the read model say what the ledger says, in the course of a pass over the ledger. Owns when the view is
// right and the ledger, as it was read, is not: the view may have been told of what happened since, and the server that was
// read from may lag behind. So the view's word goes only once the ledger, brought up to date after the view was looked at,
// still says something else; and only while it is the view's word.

import type { Shown } from '../delivery/index.js';
import type { Held, TaskId } from '../domain/index.js';
import { type LedgerContext, readAllHeld } from '../ledger/index.js';

/** What the repair needs of the read model; the delivery layer's ReadModel fits. */
export interface ViewPort {
  /** Shows records as they were read; names those of which the view has a newer word, which it keeps. */
  show(held: readonly Held[]): Promise<readonly Shown[]>;
  /** Shows a record instead of `shown`, as long as that is the view's word. */
  replace(held: Held, shown: Shown): Promise<void>;
  idsIn(bucket: string): Promise<readonly TaskId[]>;
  /** Tasks that it shows as running. */
  running(): Promise<readonly TaskId[]>;
  stampsOf(ids: readonly TaskId[]): Promise<readonly (Shown | null)[]>;
  /** Removes entries whose words are still these, or older. */
  drop(shown: readonly Shown[]): Promise<void>;
}

const readAtOnce = 500;

/** @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `REDIS_UNAVAILABLE` */
export async function showAll(ctx: LedgerContext, view: ViewPort, helds: readonly Held[]): Promise<void> {
  const newer = await view.show(helds);
  if (newer.length === 0) return;
  await ctx.session.sync();
  const now = await readAllHeld(
    ctx,
    newer.map(({ id }) => id),
  );
  // What the view has told truly is shown already: then nothing is newer.
  const behind = now.filter((held) => held !== null);
  const stamps = new Map(newer.map((shown) => [shown.id, shown.stamp]));
  for (const shown of await view.show(behind)) {
    const held = behind.find(({ record }) => record.id === shown.id);
    if (held !== undefined && stamps.get(shown.id) === shown.stamp) await view.replace(held, shown);
  }
}

/**
 * Removes what the view has in `bucket` and the ledger, which listed `ids` before, has not.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `REDIS_UNAVAILABLE`
 */
export async function dropStale(
  ctx: LedgerContext,
  view: ViewPort,
  bucket: string,
  ids: readonly TaskId[],
): Promise<number> {
  const known = new Set(ids);
  const suspects = (await view.idsIn(bucket)).filter((id) => !known.has(id));
  let dropped = 0;
  for (let from = 0; from < suspects.length; from += readAtOnce) {
    const some = suspects.slice(from, from + readAtOnce);
    const shown = await view.stampsOf(some);
    await ctx.session.sync();
    const now = await readAllHeld(ctx, some);
    const stale = shown.filter((each, i): each is Shown => each !== null && now[i] === null);
    await view.drop(stale);
    dropped += stale.length;
  }
  return dropped;
}
