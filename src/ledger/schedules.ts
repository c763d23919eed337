// schedules.ts: the definitions of schedules. Owns how one is made, read, changed and removed; firing them is the leader's.
// A definition is one znode, written by compare-and-set; its cursor, a child, is made and removed with it and is otherwise
// the leader's alone. The child's name holds the schedule's key, so that a write meant for a schedule that was removed
// fails on the one made anew under its id, although versions begin again.

import type { Znode } from '../coordination/index.js';
import {
  type Cursor,
  decodeCursor,
  decodeSchedule,
  encodeCursor,
  encodeSchedule,
  type Schedule,
  type ScheduleId,
  sameContent,
} from '../domain/index.js';
import type { LedgerContext } from './context.js';
import { again, drive, type Until } from './drive.js';
import { cursorPath, schedulePath, schedulesPath } from './paths.js';

/** As it was read; `version` is the znode's. */
export type HeldSchedule = { readonly schedule: Schedule; readonly version: number };
export type HeldCursor = { readonly cursor: Cursor; readonly version: number };

/** `sent`: the write may have applied. */
type Unavailable = { readonly kind: 'unavailable'; readonly sent: boolean };

export type CreateOutcome =
  | { readonly kind: 'created' | 'same' | 'conflict'; readonly held: HeldSchedule }
  | Unavailable;

export type ChangeOutcome =
  | { readonly kind: 'changed'; readonly held: HeldSchedule }
  /** It is not at the revision that was asked for. */
  | { readonly kind: 'stale'; readonly held: HeldSchedule }
  | { readonly kind: 'missing' }
  | Unavailable;

export type RemoveOutcome = { readonly kind: 'removed' | 'missing' | 'stale' } | Unavailable;

/** Names one state of one definition: no other, of whatever schedule, has the same. */
export function revisionOf({ schedule, version }: HeldSchedule): string {
  return `${schedule.key}.${version}`;
}

/** @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `SCHEDULE_UNREADABLE` */
export async function readSchedule(
  ctx: LedgerContext,
  id: ScheduleId,
  watcher?: () => void,
): Promise<HeldSchedule | null> {
  const path = schedulePath(id);
  const node = await ctx.session.read(path, watcher);
  return node === null ? null : heldIn(node, path);
}

/** @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `SCHEDULE_UNREADABLE` */
export async function readCursor(ctx: LedgerContext, schedule: Schedule): Promise<HeldCursor | null> {
  const path = cursorPath(schedule);
  const node = await ctx.session.read(path);
  return node === null ? null : { cursor: decodeCursor(node.data, path), version: node.stat.version };
}

/** Of all schedules, in order. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
export async function scheduleIds(ctx: LedgerContext): Promise<ScheduleId[]> {
  return ((await ctx.session.children(schedulesPath)) ?? []).sort() as ScheduleId[];
}

/** Those that are there and can be read. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
export async function readSchedules(ctx: LedgerContext, ids: readonly ScheduleId[]): Promise<HeldSchedule[]> {
  const nodes = await ctx.session.readAll(ids.map(schedulePath));
  return ids.flatMap((id, i) => readable(ctx, id, nodes[i] ?? null));
}

/** Makes the schedule and its cursor. One that says the same is the same schedule, paused or not. */
export async function createSchedule(
  ctx: LedgerContext,
  schedule: Schedule,
  until: Until,
): Promise<CreateOutcome> {
  const path = schedulePath(schedule.id);
  let sent = false;
  const outcome = await drive<CreateOutcome>(ctx.runtime, until, async () => {
    const written = await ctx.commits.commit(
      [
        { kind: 'create', path, data: encodeSchedule(schedule), mode: 'persistent' },
        {
          kind: 'create',
          path: cursorPath(schedule),
          data: encodeCursor({ through: schedule.since }),
          mode: 'persistent',
        },
      ],
      { lane: 'write' },
    );
    if (written.kind === 'applied') return { kind: 'created', held: { schedule, version: 0 } };
    if (written.kind === 'unknown') sent = true;
    if (written.kind !== 'refused') return again;
    await ctx.session.sync(); // Whoever made it may have been answered by another server.
    const held = await readSchedule(ctx, schedule.id);
    if (held === null) return again; // Removed since.
    if (held.schedule.key === schedule.key) return { kind: 'created', held };
    return { kind: sameContent(held.schedule, schedule) ? 'same' : 'conflict', held };
  });
  return outcome ?? { kind: 'unavailable', sent };
}

/**
 * Writes what `change` makes of the definition, at the version it was read at; reads again when it has moved. `change`
 * returning what it was given writes nothing. `revision`: the only one that may be changed; null: whatever stands there.
 */
export async function changeSchedule(
  ctx: LedgerContext,
  id: ScheduleId,
  change: (schedule: Schedule) => Schedule,
  { revision, until }: { readonly revision: string | null; readonly until: Until },
): Promise<ChangeOutcome> {
  let sent: Schedule | null = null;
  const outcome = await drive<ChangeOutcome>(ctx.runtime, until, async () => {
    const session = ctx.session.sessionId;
    const held = await readFor(
      ctx,
      id,
      (each) => isAt(each, revision) && change(each.schedule) !== each.schedule,
    );
    if (held === null) return { kind: 'missing' };
    if (sent !== null && held.schedule.nonce === sent.nonce) return { kind: 'changed', held };
    if (!isAt(held, revision)) return { kind: 'stale', held };
    const next = change(held.schedule);
    if (next === held.schedule) return { kind: 'changed', held };
    const written = await ctx.commits.commit(
      [
        { kind: 'check', path: cursorPath(held.schedule), version: null },
        { kind: 'set', path: schedulePath(id), data: encodeSchedule(next), version: held.version },
      ],
      { lane: 'write', session },
    );
    if (written.kind === 'applied')
      return { kind: 'changed', held: { schedule: next, version: held.version + 1 } };
    if (written.kind === 'unknown') sent = next;
    return again;
  });
  return outcome ?? { kind: 'unavailable', sent: sent !== null };
}

/** Removes definition and cursor in one transaction: a firing of it applies before, or not at all. */
export async function removeSchedule(
  ctx: LedgerContext,
  id: ScheduleId,
  { revision, until }: { readonly revision: string | null; readonly until: Until },
): Promise<RemoveOutcome> {
  let sent: string | null = null;
  const outcome = await drive<RemoveOutcome>(ctx.runtime, until, async () => {
    const session = ctx.session.sessionId;
    const held = await readFor(ctx, id, (each) => isAt(each, revision));
    if (sent !== null && held?.schedule.key !== sent) return { kind: 'removed' };
    if (held === null) return { kind: 'missing' };
    if (!isAt(held, revision)) return { kind: 'stale' };
    const written = await ctx.commits.commit(
      [
        { kind: 'delete', path: cursorPath(held.schedule), version: null },
        { kind: 'delete', path: schedulePath(id), version: held.version },
      ],
      { lane: 'write', session },
    );
    if (written.kind === 'applied') return { kind: 'removed' };
    if (written.kind === 'unknown') sent = held.schedule.key;
    return again;
  });
  return outcome ?? { kind: 'unavailable', sent: sent !== null };
}

function isAt(held: HeldSchedule, revision: string | null): boolean {
  return revision === null || revisionOf(held) === revision;
}

/** What is to be acted on may be as the server has it, the write decides; what ends the matter is as the ensemble has it. */
async function readFor(
  ctx: LedgerContext,
  id: ScheduleId,
  isToBeActedOn: (held: HeldSchedule) => boolean,
): Promise<HeldSchedule | null> {
  const held = await readSchedule(ctx, id);
  if (held !== null && isToBeActedOn(held)) return held;
  await ctx.session.sync();
  return readSchedule(ctx, id);
}

function readable(ctx: LedgerContext, id: ScheduleId, node: Znode | null): HeldSchedule[] {
  if (node === null) return [];
  try {
    return [heldIn(node, schedulePath(id))];
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'SCHEDULE_UNREADABLE') throw error;
    ctx.runtime.log.error({ err: error, schedule: id }, 'a schedule cannot be read: left alone');
    return [];
  }
}

function heldIn({ data, stat }: Znode, path: string): HeldSchedule {
  return { schedule: decodeSchedule(data, path), version: stat.version };
}
