// tree.ts: the persistent znodes that everything else stands on. Owns their making at start-up; what they hold belongs to
// those who use them.

import { ClaimkeeperError } from '../domain/index.js';
import type { Session, WriteOp, WriteOutcome } from './port.js';

/** Znodes per multi: a hundred small creates are far below ZooKeeper's packet limit. */
const createsPerMulti = 100;
/** Processes that start together refuse each other's creates; each refusal means that some node now exists. */
const triesMax = 5;

/**
 * Makes every one of `paths` that is missing, with empty data; a parent must come before its children. Those that exist
 * are left as they are.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` when one can be neither made nor found.
 */
export async function ensureTree(session: Session, paths: readonly string[]): Promise<void> {
  for (let from = 0; from < paths.length; from += createsPerMulti) {
    await ensureSome(session, paths.slice(from, from + createsPerMulti));
  }
}

async function ensureSome(session: Session, paths: readonly string[]): Promise<void> {
  let last: WriteOutcome | null = null;
  for (let tries = 0; tries < triesMax; tries += 1) {
    // A reader may be behind the leader that refused us, or that applied what we were not told of.
    if (last !== null) await session.sync();
    const found = await Promise.all(paths.map((path) => session.read(path)));
    const missing = paths.filter((_, index) => found[index] === null);
    if (missing.length === 0) return;
    last = await session.write(missing.map(createOf));
    if (last.kind === 'applied') return;
  }
  throw new ClaimkeeperError(
    'ZOOKEEPER_UNAVAILABLE',
    `the znodes ${paths[0]} … could not be made: ${JSON.stringify(last)}`,
  );
}

function createOf(path: string): WriteOp {
  return { kind: 'create', path, data: Buffer.alloc(0), mode: 'persistent' };
}
