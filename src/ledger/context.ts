// context.ts: what every part of the ledger works with.

import type { Commits, Session, Znode } from '../coordination/index.js';
import {
  ClaimkeeperError,
  decodeRecord,
  type Held,
  type Hint,
  hintOf,
  type News,
  type TaskId,
  type TaskRecord,
} from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { recordPath } from './paths.js';

export type LedgerContext = {
  readonly session: Session;
  readonly commits: Commits;
  /** Told of every task that became due to someone, after the ledger has it (P7); may lose what it is told (P6). */
  readonly deliver: (hints: readonly Hint[]) => void;
  /** Told of every record that was made, moved or removed, for views; likewise. Never throws and never waits. */
  readonly note: (news: readonly News[]) => void;
  readonly runtime: Runtime;
};

/** @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `RECORD_UNREADABLE` */
export async function readHeld(ctx: LedgerContext, id: TaskId, watcher?: () => void): Promise<Held | null> {
  const path = recordPath(id);
  const node = await ctx.session.read(path, watcher);
  return node === null ? null : heldIn(node, path);
}

/**
 * Null also for a record that cannot be read by this version: it must not hold up the others.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
 */
export async function readAllHeld(ctx: LedgerContext, ids: readonly TaskId[]): Promise<(Held | null)[]> {
  const paths = ids.map(recordPath);
  const nodes = await ctx.session.readAll(paths);
  return ids.map((id, i) => {
    const node = nodes[i] ?? null;
    if (node === null) return null;
    try {
      return heldIn(node, paths[i] ?? '');
    } catch (error) {
      return unreadable(ctx, id, error);
    }
  });
}

function heldIn({ data, stat }: Znode, path: string): Held {
  return { record: decodeRecord(data, path), version: stat.version };
}

/**
 * As {@link readAllHeld}, for those who leave a task alone because nothing is to be done for it: the server that was asked
 * may lag behind the others, and is asked again, brought up to date, where it knows of nothing to be done.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
 */
export async function readAllSurely(ctx: LedgerContext, ids: readonly TaskId[]): Promise<(Held | null)[]> {
  const found = await readAllHeld(ctx, ids);
  const idle = ids.filter((_, i) => !wantsDelivery(found[i]?.record));
  if (idle.length === 0) return found;
  await ctx.session.sync();
  const again = new Map((await readAllHeld(ctx, idle)).map((held, i) => [idle[i], held]));
  return ids.map((id, i) => (again.has(id) ? again.get(id) : found[i]) ?? null);
}

function unreadable(ctx: LedgerContext, id: TaskId, error: unknown): null {
  if (!(error instanceof ClaimkeeperError && error.code === 'RECORD_UNREADABLE')) throw error;
  ctx.runtime.log.error({ err: error, task: id }, 'a record cannot be read: left alone');
  return null;
}

/** Hints at what a move left to be done by someone: a task to run, or one whose outcome is to be verified. */
export function hintAt(ctx: LedgerContext, record: TaskRecord, place: Pick<Hint, 'inFront'> = {}): void {
  if (wantsDelivery(record)) ctx.deliver([{ ...hintOf(record), ...place }]);
}

/** Whether somebody must be told of the record for it to go on. */
export function wantsDelivery(record: TaskRecord | undefined): boolean {
  return record !== undefined && (record.state === 'waiting' || wantsVerification(record));
}

/** Times the `verify` hook may answer `unknown` before the task is left to an operator. */
const verificationsMax = 10;

export function wantsVerification(record: TaskRecord): boolean {
  return (
    record.state === 'uncertain' &&
    record.policy?.onInterrupted === 'verify' &&
    (record.verifications ?? 0) < verificationsMax
  );
}
