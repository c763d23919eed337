// zookeeper-wire.ts: what a client asks of ZooKeeper, read off the wire: enough of its protocol to know one of the product's
// requests from another.

import { decodeRecord, type State } from '../../src/domain/index.js';
import type { Wire } from './tap.js';

export type ZooKeeperOp = {
  readonly kind: 'create' | 'delete' | 'set' | 'check';
  readonly path: string;
  /** Of the record that it writes; null: it writes none. */
  readonly state: State | null;
};

export type ZooKeeperRequest =
  | { readonly kind: 'multi'; readonly ops: readonly ZooKeeperOp[] }
  | { readonly kind: 'read' | 'children'; readonly path: string }
  | { readonly kind: 'sync' | 'closeSession' };

const opcodes = { multi: 14, getData: 4, getChildren2: 12, sync: 9, closeSession: -11 } as const;
const kindsOfOps = new Map([
  [1, 'create'],
  [2, 'delete'],
  [5, 'set'],
  [13, 'check'],
] as const);

/** `chroot` is left out of the paths. */
export function zookeeperWire(chroot: string): Wire<ZooKeeperRequest> {
  const [requests, replies] = [new Frames(), new Frames()];
  const multis = new Set<number>();
  return {
    requests: (bytes) =>
      requests.split(bytes).map((frame) => {
        const asked = decode(frame, chroot);
        const key = keyOf(frame);
        if (asked?.kind === 'multi' && key !== null) multis.add(key);
        return { bytes: frame, key, ...(asked === null ? {} : { asked }) };
      }),
    replies: (bytes) =>
      replies.split(bytes).map((frame) => {
        const key = keyOf(frame);
        const isMulti = key !== null && multis.delete(key);
        return { bytes: frame, key, isRefusal: isMulti && !isApplied(frame) };
      }),
  };
}

/** The xid: pings and events have one below zero, the handshake has none. */
function keyOf(frame: Buffer): number | null {
  const xid = frame.length < 8 ? 0 : frame.readInt32BE(4);
  return xid > 0 ? xid : null;
}

/** A multi's reply: length, xid, zxid and error, then the first operation's type, which is -1 where it was refused. */
function isApplied(reply: Buffer): boolean {
  return reply.length >= 24 && reply.readInt32BE(16) === 0 && reply.readInt32BE(20) !== -1;
}

/** Cuts a stream into frames: a length of four bytes, and that many bytes. */
class Frames {
  #rest: Buffer = Buffer.alloc(0);

  split(bytes: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const frames: Buffer[] = [];
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readUInt32BE(0)) {
      const length = 4 + this.#rest.readUInt32BE(0);
      frames.push(this.#rest.subarray(0, length));
      this.#rest = this.#rest.subarray(length);
    }
    return frames;
  }
}

function decode(frame: Buffer, chroot: string): ZooKeeperRequest | null {
  if (frame.length < 12 || frame.readInt32BE(4) <= 0) {
    const closes = frame.length >= 12 && frame.readInt32BE(8) === opcodes.closeSession;
    return closes ? { kind: 'closeSession' } : null;
  }
  const reader = new Reader(frame, 12, chroot);
  switch (frame.readInt32BE(8)) {
    case opcodes.multi:
      return { kind: 'multi', ops: reader.ops() };
    case opcodes.getData:
      return { kind: 'read', path: reader.path() };
    case opcodes.getChildren2:
      return { kind: 'children', path: reader.path() };
    case opcodes.sync:
      return { kind: 'sync' };
    case opcodes.closeSession:
      return { kind: 'closeSession' };
    default:
      return null;
  }
}

class Reader {
  readonly #frame: Buffer;
  readonly #chroot: string;
  #at: number;

  constructor(frame: Buffer, at: number, chroot: string) {
    this.#frame = frame;
    this.#at = at;
    this.#chroot = chroot;
  }

  ops(): ZooKeeperOp[] {
    const ops: ZooKeeperOp[] = [];
    for (;;) {
      const kind = kindsOfOps.get(this.#int() as 1 | 2 | 5 | 13);
      this.#at += 5; // "done" and an error code.
      if (kind === undefined) return ops;
      const path = this.path();
      const data = kind === 'create' || kind === 'set' ? this.#bytes() : null;
      if (kind === 'create') this.#skipAccessList();
      this.#at += 4; // The flags of a create, the version of the others.
      ops.push({ kind, path, state: stateIn(data, path) });
    }
  }

  path(): string {
    const path = this.#bytes().toString();
    return path.startsWith(this.#chroot) ? path.slice(this.#chroot.length) : path;
  }

  #skipAccessList(): void {
    for (let left = this.#int(); left > 0; left -= 1) {
      this.#at += 4;
      this.#bytes();
      this.#bytes();
    }
  }

  #int(): number {
    this.#at += 4;
    return this.#frame.readInt32BE(this.#at - 4);
  }

  #bytes(): Buffer {
    const length = Math.max(0, this.#int());
    this.#at += length;
    return this.#frame.subarray(this.#at - length, this.#at);
  }
}

function stateIn(data: Buffer | null, path: string): State | null {
  return data !== null && path.startsWith('/tasks/') ? decodeRecord(data, path).state : null;
}
