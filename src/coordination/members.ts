// members.ts: who is here. Owns ephemeral znodes that stand for as long as their process has a session: made anew in every
// session, put right when something else stands in their place, deleted on stop. What a member says of itself is its own.

import { ClaimkeeperError } from '../domain/index.js';
import type { Runtime, Service } from '../runtime/index.js';
import type { Session, SessionId, WriteOp, Znode } from './port.js';
import { type Watch, watchZnode } from './watched.js';

export type Member = { readonly name: string; readonly data: Buffer; readonly owner: SessionId | null };

const deletionTriesMax = 5;
/** A broken connection is back by then, or it is an outage: the process that stops shall not wait for its end. */
const reconnectMsMax = 1_000;

/**
 * Keeps an ephemeral node with `data` at `path` in whatever session there is; the parent exists, and no other process uses
 * the path. `start()` resolves once the node stands for the first time, `stop()` once it is deleted or left to its
 * session's end.
 */
export function announce(session: Session, path: string, data: Buffer, runtime: Runtime): Service {
  let watch: Watch | null = null;
  let giveUp = (): void => undefined;
  return {
    start: () =>
      new Promise((resolve, reject) => {
        giveUp = () => reject(new ClaimkeeperError('CLOSED', `${path} was withdrawn before it stood`));
        const keep = async (node: Znode | null): Promise<void> => {
          if (node !== null && node.stat.ephemeralOwner === session.sessionId) resolve();
          else await place(session, path, data, node);
        };
        watch = watchZnode(session, path, keep, runtime);
      }),
    async stop() {
      giveUp();
      await watch?.stop();
      await withdraw(session, path);
    },
  };
}

/** The members under `parent`, in no order. One that leaves meanwhile is left out. */
export async function listMembers(session: Session, parent: string): Promise<Member[]> {
  const names = (await session.children(parent)) ?? [];
  const nodes = await Promise.all(names.map((name) => session.read(`${parent}/${name}`)));
  return names.flatMap((name, index) => {
    const node = nodes[index];
    return node ? [{ name, data: node.data, owner: node.stat.ephemeralOwner }] : [];
  });
}

/** A node that another session left (a ghost: trap 15) gives way in the same transaction. The watch tells the outcome. */
async function place(session: Session, path: string, data: Buffer, ghost: Znode | null): Promise<void> {
  const ops: WriteOp[] = [{ kind: 'create', path, data, mode: 'ephemeral' }];
  if (ghost !== null) ops.unshift({ kind: 'delete', path, version: ghost.stat.version });
  const outcome = await session.write(ops);
  if (outcome.kind === 'applied') return;
  const why = outcome.kind === 'refused' ? outcome.code : outcome.why;
  throw new Error(`${path} could not be made: ${outcome.kind}, ${why}`);
}

async function withdraw(session: Session, path: string): Promise<void> {
  for (let tries = 0; tries < deletionTriesMax; tries += 1) {
    try {
      await session.connected(Math.min(reconnectMsMax, session.timeoutMs));
    } catch {
      return; // The node is ephemeral and leaves with its session.
    }
    const outcome = await session.write([{ kind: 'delete', path, version: null }]);
    if (outcome.kind === 'applied' || (outcome.kind === 'refused' && outcome.code === 'NO_NODE')) return;
  }
}
