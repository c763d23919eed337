// wire.ts: requests and replies as bytes (jute, ZooKeeper 3.8). Each request is encoded once, straight into one buffer
// whose xid is filled in when it is sent; versions are sent exactly as given (trap 6). Paths here are the server's.

import { ClaimkeeperError, limits } from '../../domain/index.js';
import type { CreateMode, OpResult, SessionId, Stat, WriteOp } from '../port.js';
import { noNode } from './codes.js';

export const opcode = {
  create: 1,
  delete: 2,
  exists: 3,
  getData: 4,
  setData: 5,
  getChildren: 8,
  sync: 9,
  ping: 11,
  getChildren2: 12,
  check: 13,
  multi: 14,
  removeWatches: 18,
  multiRead: 22,
  setWatches: 101,
  closeSession: -11,
  error: -1,
} as const;

/** In a request to remove watches: those on the node itself, not on its list. */
const watcherTypeData = 2;

/** xids that are not a request's: the server pushes, or answers outside of the order of requests. */
export const xid = { notification: -1, ping: -2, authentication: -4 } as const;

export type Encoded = { readonly type: number; readonly frame: Buffer };

const anyVersion = -1;
const modes: Record<CreateMode, number> = {
  persistent: 0,
  ephemeral: 1,
  'persistent-sequential': 2,
  'ephemeral-sequential': 3,
};
/** Length, xid and type precede every request's own bytes. */
const headerBytes = 12;
/** Type, done and err precede every operation of a multi, and end it. */
const opHeaderBytes = 9;
const statBytes = 68;
/** What is read of a stat; ctime and mtime are not: time orders nothing (P12). */
const statAt = { czxid: 0, mzxid: 8, version: 32, ephemeralOwner: 44, numChildren: 56 } as const;
/** One entry: all permissions (31) to `world:anyone`. */
const openAcl = Buffer.from('000000010000001f00000005776f726c6400000006616e796f6e65', 'hex');

class Writer {
  readonly buffer: Buffer;
  #offset = headerBytes;

  constructor(bodyBytes: number, type: number) {
    this.buffer = Buffer.allocUnsafe(headerBytes + bodyBytes);
    this.buffer.writeInt32BE(this.buffer.length - 4, 0);
    this.buffer.writeInt32BE(type, 8);
  }

  int(value: number): void {
    this.#offset = this.buffer.writeInt32BE(value, this.#offset);
  }

  byte(value: number): void {
    this.#offset = this.buffer.writeUInt8(value, this.#offset);
  }

  bytes(value: Buffer): void {
    this.#offset += value.copy(this.buffer, this.#offset);
  }

  string(value: string): void {
    const length = this.buffer.write(value, this.#offset + 4);
    this.int(length);
    this.#offset += length;
  }

  data(value: Buffer): void {
    this.int(value.length);
    this.bytes(value);
  }

  opHeader(type: number): void {
    this.int(type);
    this.byte(type === opcode.error ? 1 : 0);
    this.int(-1);
  }
}

function stringBytes(value: string): number {
  return 4 + Buffer.byteLength(value);
}

/**
 * One transaction; `absolute` maps a caller's path to the server's.
 * @throws ClaimkeeperError `INTERNAL` over `limits.multiBytesMax` (the server would drop the connection and all that is
 * pipelined on it, trap 18), or for a version below 0 (the server would take it for "any").
 */
export function encodeMulti(ops: readonly WriteOp[], absolute: (path: string) => string): Encoded {
  const paths = ops.map((op) => absolute(op.path));
  const bodyBytes = ops.reduce((sum, op, i) => sum + opBytes(op, paths[i] as string), opHeaderBytes);
  if (bodyBytes > limits.multiBytesMax) {
    throw new ClaimkeeperError(
      'INTERNAL',
      `a transaction of ${ops.length} operations has ${bodyBytes} bytes, over ${limits.multiBytesMax}: split it`,
    );
  }
  const writer = new Writer(bodyBytes, opcode.multi);
  ops.forEach((op, i) => {
    encodeOp(writer, op, paths[i] as string);
  });
  writer.opHeader(opcode.error);
  return { type: opcode.multi, frame: writer.buffer };
}

function opBytes(op: WriteOp, path: string): number {
  const common = opHeaderBytes + stringBytes(path) + 4;
  switch (op.kind) {
    case 'create':
      return common + 4 + op.data.length + openAcl.length;
    case 'set':
      return common + 4 + op.data.length;
    case 'delete':
    case 'check':
      return common;
  }
}

function encodeOp(writer: Writer, op: WriteOp, path: string): void {
  switch (op.kind) {
    case 'create':
      writer.opHeader(opcode.create);
      writer.string(path);
      writer.data(op.data);
      writer.bytes(openAcl);
      return writer.int(modes[op.mode]);
    case 'set':
      writer.opHeader(opcode.setData);
      writer.string(path);
      writer.data(op.data);
      return writer.int(exactVersion(op));
    case 'delete':
    case 'check':
      writer.opHeader(opcode[op.kind]);
      writer.string(path);
      return writer.int(exactVersion(op));
  }
}

function exactVersion(op: { readonly path: string; readonly version: number | null }): number {
  if (op.version === null) return anyVersion;
  if (op.version >= 0) return op.version;
  throw new ClaimkeeperError('INTERNAL', `version ${op.version} of ${op.path}: use null for any version`);
}

/** getData, getChildren2 or exists; with `watch` the server remembers to tell of a change once. */
export function encodeRead(type: number, path: string, watch: boolean): Encoded {
  const writer = new Writer(stringBytes(path) + 1, type);
  writer.string(path);
  writer.byte(watch ? 1 : 0);
  return { type, frame: writer.buffer };
}

/** Many reads of `type` (getData or getChildren) in one request; each is answered on its own. No watches. */
export function encodeMultiRead(type: number, paths: readonly string[]): Encoded {
  const opBytes = (path: string): number => opHeaderBytes + stringBytes(path) + 1;
  const writer = new Writer(
    paths.reduce((sum, path) => sum + opBytes(path), opHeaderBytes),
    opcode.multiRead,
  );
  for (const path of paths) {
    writer.opHeader(type);
    writer.string(path);
    writer.byte(0);
  }
  writer.opHeader(opcode.error);
  return { type: opcode.multiRead, frame: writer.buffer };
}

export function encodeSync(path: string): Encoded {
  const writer = new Writer(stringBytes(path), opcode.sync);
  writer.string(path);
  return { type: opcode.sync, frame: writer.buffer };
}

/** ping or closeSession: a header alone. */
export function encodeBare(type: number): Encoded {
  return { type, frame: new Writer(0, type).buffer };
}

/** The server forgets this session's watch on the node's data, or its coming to be. */
export function encodeRemoveWatch(path: string): Encoded {
  const writer = new Writer(stringBytes(path) + 4, opcode.removeWatches);
  writer.string(path);
  writer.int(watcherTypeData);
  return { type: opcode.removeWatches, frame: writer.buffer };
}

export type WatchPaths = {
  readonly data: readonly string[];
  readonly exist: readonly string[];
  readonly child: readonly string[];
};

/** The server sets these watches, and tells at once of those whose node changed after `zxid`. */
export function encodeSetWatches(zxid: Buffer, paths: WatchPaths): Encoded {
  const lists = [paths.data, paths.exist, paths.child];
  const bodyBytes = lists
    .flat()
    .reduce((sum, path) => sum + stringBytes(path), zxid.length + 4 * lists.length);
  const writer = new Writer(bodyBytes, opcode.setWatches);
  writer.bytes(zxid);
  for (const list of lists) {
    writer.int(list.length);
    for (const path of list) writer.string(path);
  }
  return { type: opcode.setWatches, frame: writer.buffer };
}

/** Reads a reply from behind its header; throws RangeError past its end. */
export class Reader {
  readonly #buffer: Buffer;
  /** Of the same bytes: its numbers, 64-bit ones above all, cost a third of the buffer's. */
  readonly #view: DataView;
  #offset: number;

  constructor(buffer: Buffer, offset: number) {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    this.#offset = offset;
  }

  int(): number {
    const value = this.#view.getInt32(this.#offset);
    this.#offset += 4;
    return value;
  }

  byte(): number {
    return this.#view.getUint8(this.#offset++);
  }

  /** Where the bytes that it goes past begin. */
  #skip(length: number): number {
    const start = this.#offset;
    if (start + length > this.#buffer.length) throw new RangeError('a reply ends in the middle of a field');
    this.#offset += length;
    return start;
  }

  string(): string {
    const start = this.#skip(Math.max(0, this.int()));
    return this.#buffer.toString('utf8', start, this.#offset);
  }

  /** A copy, so that a small value does not hold the chunk it arrived in. Null data reads as empty. */
  data(): Buffer {
    const start = this.#skip(Math.max(0, this.int()));
    return Buffer.from(this.#buffer.subarray(start, this.#offset));
  }

  strings(): string[] {
    const count = Math.max(0, this.int());
    const list: string[] = [];
    for (let i = 0; i < count; i += 1) list.push(this.string());
    return list;
  }

  stat(): Stat {
    const start = this.#skip(statBytes);
    const owner = this.#view.getBigUint64(start + statAt.ephemeralOwner);
    return {
      czxid: this.#view.getBigInt64(start + statAt.czxid),
      mzxid: this.#view.getBigInt64(start + statAt.mzxid),
      version: this.#view.getInt32(start + statAt.version),
      ephemeralOwner: owner === 0n ? null : (owner.toString(16).padStart(16, '0') as SessionId),
      numChildren: this.#view.getInt32(start + statAt.numChildren),
    };
  }

  /** What a write needs of the stat it is answered with. */
  statVersion(): number {
    return this.#view.getInt32(this.#skip(statBytes) + statAt.version);
  }
}

export type MultiReply =
  | { readonly kind: 'applied'; readonly results: readonly OpResult[] }
  /** Operation `index` failed with the server's `code`; nothing was applied. */
  | { readonly kind: 'failed'; readonly index: number; readonly code: number };

/** A failed multi answers 0 for the operations before the culprit, the culprit's code, and −2 for those after it. */
export function decodeMulti(reader: Reader, relative: (path: string) => string): MultiReply {
  const results: OpResult[] = [];
  for (let index = 0; ; index += 1) {
    const type = reader.int();
    const done = reader.byte() === 1;
    reader.int();
    if (done) return { kind: 'applied', results };
    switch (type) {
      case opcode.create:
        results.push({ kind: 'created', path: relative(reader.string()) });
        break;
      case opcode.setData:
        results.push({ kind: 'set', version: reader.statVersion() });
        break;
      case opcode.delete:
        results.push({ kind: 'deleted' });
        break;
      case opcode.check:
        results.push({ kind: 'checked' });
        break;
      case opcode.error: {
        const code = reader.int();
        if (code !== 0) return { kind: 'failed', index, code };
        break;
      }
      default:
        throw new Error(`an answer of type ${type} in a reply to a transaction`);
    }
  }
}

export type MultiReadReply<T> =
  /** Null: no such node. */
  | { readonly kind: 'read'; readonly results: readonly (T | null)[] }
  /** One of the reads was answered with this code. */
  | { readonly kind: 'failed'; readonly code: number };

/** Each read has an answer of its own, in the order of {@link encodeMultiRead}. */
export function decodeMultiRead<T>(reader: Reader, decode: (reader: Reader) => T): MultiReadReply<T> {
  const results: (T | null)[] = [];
  for (;;) {
    const type = reader.int();
    const done = reader.byte() === 1;
    reader.int();
    if (done) return { kind: 'read', results };
    if (type === opcode.error) {
      const code = reader.int();
      if (code !== noNode) return { kind: 'failed', code };
      results.push(null);
    } else results.push(decode(reader));
  }
}
