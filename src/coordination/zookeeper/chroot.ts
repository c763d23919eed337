// chroot.ts: makes a new session's ground: the server brought up to date, and the chroot there, all of its parts.

import type { WriteOp } from '../port.js';
import { nameOf, nodeExists, noNode, ok } from './codes.js';
import type { Connection } from './connection.js';
import { type Answer, replyBodyAt } from './request.js';
import { decodeMulti, type Encoded, encodeMulti, encodeRead, encodeSync, opcode, Reader } from './wire.js';

const unchanged = (path: string): string => path;

/** `root` is the chroot, or `/`. Resolves with null, or with why it could not be made. */
export async function prepareRoot(connection: Connection, root: string): Promise<string | null> {
  const ask = (encoded: Encoded): Promise<Answer> =>
    new Promise((resolve) => connection.send(encoded, connection.timeoutMs, resolve));
  const [, found] = await Promise.all([
    ask(encodeSync(root)),
    ask(encodeRead(opcode.exists, root, false)), // Answered after the sync: replies keep the order of requests.
  ]);
  if (found.kind !== 'answered') return found.why;
  if (found.err === ok) return null;
  if (found.err !== noNode) return `${root}: ${nameOf(found.err)}`;
  const parts = root.split('/').slice(1);
  for (let depth = 1; depth <= parts.length; depth += 1) {
    const path = `/${parts.slice(0, depth).join('/')}`;
    const op: WriteOp = { kind: 'create', path, data: Buffer.alloc(0), mode: 'persistent' };
    const made = await ask(encodeMulti([op], unchanged));
    if (made.kind !== 'answered') return made.why;
    const code = made.err === ok ? createdCode(made.frame) : made.err;
    if (code !== ok && code !== nodeExists) return `${path}: ${nameOf(code)}`;
  }
  return null;
}

function createdCode(frame: Buffer): number {
  const reply = decodeMulti(new Reader(frame, replyBodyAt), unchanged);
  return reply.kind === 'applied' ? ok : reply.code;
}
