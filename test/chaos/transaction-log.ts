// transaction-log.ts: what a ZooKeeper ensemble was made to remember, read from its servers' own transaction logs
// (version-2/log.*, ZooKeeper 3.8) and made one history. A witness that owes nothing to the product's code. Owns the format
// and the merge; what the znodes mean is story-from-evidence.ts.
//
// A file: `ZKLG`, version, database id; then for each transaction its Adler-32, its length, its bytes and `B`; zeros after
// the last. The bytes: {session, cxid, zxid, time, type}, the transaction, and a digest of the tree, which is not read.
//
// One history of several logs. Within an epoch one leader numbers the transactions, so that the same zxid is the same
// transaction on every server. A transaction counts when it, or a later one of the same epoch, is on a majority of the logs:
// a server logs an epoch in order, so the majority has acknowledged all before. It may itself be on fewer, since a server
// that was away may be brought up to date by a snapshot and lacks what that skipped. What lies beyond the last transaction
// of its epoch that a majority has is a tail: a leader that was killed, or that led on alone for a moment, had logged it by
// itself. It was never acknowledged, and most are lost. Where its server led again it handed its tail on, in snapshots that
// no log shows. What was written next to the same znodes tells: it follows upon the tail, or upon what was before it; where
// nothing was, how they stood at the end does. A tail of which nothing tells is left out. An error here cannot pass unseen: `historyOf` finds a version missing.

import { readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { JuteReader } from './jute.js';

export type LoggedOp =
  | { readonly kind: 'create'; readonly path: string; readonly data: Buffer; readonly ephemeral: boolean }
  /** `version`: after it. */
  | { readonly kind: 'set'; readonly path: string; readonly data: Buffer; readonly version: number }
  | { readonly kind: 'delete'; readonly path: string }
  | { readonly kind: 'check'; readonly path: string };

export type Transaction = {
  readonly zxid: bigint;
  /** Epoch ms of the leader's clock, when it put the transaction in line: before it was durable. */
  readonly at: number;
  /** 16 hexadecimal digits. */
  readonly session: string;
  /** `expired`: the server ended the session; `closed`: its client did. `refused`: logged, and without effect. */
  readonly kind: 'writes' | 'opened' | 'closed' | 'expired' | 'refused';
  readonly ops: readonly LoggedOp[];
};

const magic = 'ZKLG';
const headerBytes = 16;
const endOfRecord = 0x42;

/** ZooDefs.OpCode */
const types = {
  create: 1,
  delete: 2,
  setData: 5,
  setAcl: 7,
  check: 13,
  multi: 14,
  create2: 15,
  createContainer: 19,
  deleteContainer: 20,
  createTtl: 21,
  error: -1,
  createSession: -10,
  closeSession: -11,
} as const;

/** Every transaction in a server's data folder, in the order in which it was logged. */
export async function readServerLog(dataFolder: string): Promise<Transaction[]> {
  const transactions: Transaction[] = [];
  for (const file of await logsIn(dataFolder)) transactions.push(...parseLog(await readFile(file)));
  return transactions;
}

/**
 * Takes off the logs of a server that has ended what it had not finished writing, as when its disk was full. ZooKeeper 3.8.0 does
 * not start with such an end (`CRC check failed`), though nobody was told of what is in it: it had not been synced.
 */
export async function cutUnfinished(dataFolder: string): Promise<void> {
  for (const file of await logsIn(dataFolder)) {
    const bytes = await readFile(file);
    const { endsAt } = recordsOf(bytes);
    if (bytes.subarray(endsAt).some((byte) => byte !== 0)) await truncate(file, endsAt);
  }
}

/** The oldest first. */
async function logsIn(dataFolder: string): Promise<string[]> {
  const folder = join(dataFolder, 'version-2');
  const names = (await readdir(folder)).filter((name) => /^log\.[0-9a-f]+$/.test(name));
  names.sort((a, b) => firstZxid(a) - firstZxid(b));
  return names.map((name) => join(folder, name));
}

function firstZxid(name: string): number {
  return Number.parseInt(name.slice('log.'.length), 16);
}

/** The transactions of one log file, up to its padding, or to where a killed server had not finished writing. */
export function parseLog(file: Buffer): Transaction[] {
  return recordsOf(file).records.map((record) => parseTransaction(new JuteReader(record)));
}

function recordsOf(file: Buffer): { readonly records: readonly Buffer[]; readonly endsAt: number } {
  if (file.length < headerBytes) return { records: [], endsAt: file.length }; // Killed before the header was written.
  if (file.toString('latin1', 0, 4) !== magic) throw new Error('this is no transaction log of ZooKeeper');
  const records: Buffer[] = [];
  let endsAt = headerBytes;
  while (endsAt + 12 <= file.length) {
    const checksum = file.readBigInt64BE(endsAt);
    const length = file.readInt32BE(endsAt + 8);
    const record = file.subarray(endsAt + 12, endsAt + 12 + length);
    const next = endsAt + 12 + length + 1;
    if (length <= 0 || next > file.length || file[next - 1] !== endOfRecord) break;
    if (BigInt(adler32(record)) !== checksum) break;
    records.push(record);
    endsAt = next;
  }
  return { records, endsAt };
}

export function adler32(bytes: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return b * 65_536 + a;
}

function parseTransaction(reader: JuteReader): Transaction {
  const session = BigInt.asUintN(64, reader.long()).toString(16).padStart(16, '0');
  const cxid = reader.int();
  const zxid = reader.long();
  const at = Number(reader.long());
  const type = reader.int();
  const header = { zxid, at, session };
  switch (type) {
    case types.createSession:
      return { ...header, kind: 'opened', ops: [] };
    case types.closeSession: {
      const paths = reader.left >= 4 ? reader.list(() => reader.string()) : [];
      const ops = paths.map((path) => ({ kind: 'delete', path }) as const);
      // A client counts its requests from 1; the server's own have none.
      return { ...header, kind: cxid === 0 ? 'expired' : 'closed', ops };
    }
    case types.error:
      return { ...header, kind: 'refused', ops: [] };
    case types.multi: {
      const members = reader.list(() => ({ type: reader.int(), data: reader.buffer() }));
      if (members.some((member) => member.type === types.error))
        return { ...header, kind: 'refused', ops: [] };
      const ops = members.flatMap((member) => parseOp(member.type, new JuteReader(member.data)));
      return { ...header, kind: 'writes', ops };
    }
    default:
      return { ...header, kind: 'writes', ops: parseOp(type, reader) };
  }
}

function parseOp(type: number, reader: JuteReader): LoggedOp[] {
  switch (type) {
    case types.create:
    case types.create2: {
      const [path, data] = [reader.string(), reader.buffer()];
      skipAcl(reader);
      return [{ kind: 'create', path, data, ephemeral: reader.boolean() }];
    }
    case types.createContainer:
    case types.createTtl:
      return [{ kind: 'create', path: reader.string(), data: reader.buffer(), ephemeral: false }];
    case types.delete:
    case types.deleteContainer:
      return [{ kind: 'delete', path: reader.string() }];
    case types.setData:
      return [{ kind: 'set', path: reader.string(), data: reader.buffer(), version: reader.int() }];
    case types.check:
      return [{ kind: 'check', path: reader.string() }];
    case types.setAcl:
      return [];
    default:
      throw new Error(`a transaction of type ${type} is not known here`);
  }
}

function skipAcl(reader: JuteReader): void {
  reader.list(() => [reader.int(), reader.string(), reader.string()]);
}

/** The version of a znode after the last transaction; undefined: nobody looked. */
export type VersionAtTheEnd = (path: string) => number | undefined;

export type MergedLog = {
  readonly transactions: readonly Transaction[];
  /** Logged by a minority, never acknowledged, and lost. */
  readonly left: readonly Transaction[];
};

/** The ensemble's one history, of all its servers' logs; see the head of this file. */
export function mergeLogs(
  logs: readonly (readonly Transaction[])[],
  atTheEnd: VersionAtTheEnd = () => undefined,
): MergedLog {
  const majority = Math.floor(logs.length / 2) + 1;
  const found = new Map<bigint, { readonly transaction: Transaction; servers: number }>();
  for (const log of logs) {
    const own = new Map(log.map((transaction) => [transaction.zxid, transaction]));
    for (const [zxid, transaction] of own) {
      const other = found.get(zxid);
      if (other === undefined) found.set(zxid, { transaction, servers: 1 });
      else if (!isSame(other.transaction, transaction))
        throw new Error(`two servers have different transactions with the zxid 0x${zxid.toString(16)}`);
      else other.servers += 1;
    }
  }
  const acknowledged = new Map<bigint, bigint>();
  for (const [zxid, { servers }] of found) {
    const last = acknowledged.get(epochOf(zxid)) ?? 0n;
    if (servers >= majority && zxid > last) acknowledged.set(epochOf(zxid), zxid);
  }
  const inOrder = [...found.values()]
    .map(({ transaction }) => transaction)
    .sort((a, b) => (a.zxid < b.zxid ? -1 : 1));
  const isAcknowledged = ({ zxid }: Transaction): boolean => zxid <= (acknowledged.get(epochOf(zxid)) ?? 0n);
  const certain = inOrder.filter(isAcknowledged);
  const handedOn = new Set(
    tailsOf(inOrder.filter((transaction) => !isAcknowledged(transaction)))
      .filter((tail) => wasHandedOn(tail, certain, atTheEnd))
      .flat(),
  );
  const counts = (transaction: Transaction): boolean =>
    isAcknowledged(transaction) || handedOn.has(transaction);
  return {
    transactions: inOrder.filter(counts),
    left: inOrder.filter((transaction) => !counts(transaction)),
  };
}

/** One for each epoch. */
function tailsOf(transactions: readonly Transaction[]): Transaction[][] {
  const tails = new Map<bigint, Transaction[]>();
  for (const transaction of transactions) {
    const epoch = epochOf(transaction.zxid);
    tails.set(epoch, [...(tails.get(epoch) ?? []), transaction]);
  }
  return [...tails.values()];
}

/** Whether what came later to one of the tail's znodes follows upon the tail, or it stood in the end as the tail left it. */
function wasHandedOn(
  tail: readonly Transaction[],
  certain: readonly Transaction[],
  atTheEnd: VersionAtTheEnd,
): boolean {
  /** By path, as the tail leaves it; null: deleted. */
  const versions = new Map<string, number | null>();
  /** Made by the tail. */
  const made = new Set<string>();
  for (const op of tail.flatMap(({ ops }) => ops)) {
    if (op.kind === 'check') continue;
    versions.set(op.path, op.kind === 'create' ? 0 : op.kind === 'set' ? op.version : null);
    if (op.kind === 'create') made.add(op.path);
  }
  const last = tail.at(-1)?.zxid ?? 0n;
  for (const { zxid, ops } of certain) {
    if (zxid < last) continue;
    for (const op of ops) {
      const version = versions.get(op.path);
      if (op.kind === 'check' || version === undefined) continue;
      if (op.kind === 'set') return version !== null && op.version === version + 1;
      if (op.kind === 'create') return version === null;
      if (version === null) return false;
      if (made.has(op.path)) return true;
    }
  }
  return [...versions].some(([path, version]) => version !== null && version === atTheEnd(path));
}

function isSame(a: Transaction, b: Transaction): boolean {
  return a.session === b.session && a.at === b.at && a.kind === b.kind && a.ops.length === b.ops.length;
}

function epochOf(zxid: bigint): bigint {
  return zxid >> 32n;
}

export type LoggedZnode = {
  readonly data: Buffer;
  readonly version: number;
  /** The session it lives with; null: persistent. */
  readonly owner: string | null;
};

/** One znode was made (`before` null), changed, or deleted (`after` null). */
export type ZnodeChange = {
  readonly path: string;
  readonly before: LoggedZnode | null;
  readonly after: LoggedZnode | null;
};

export type Step = { readonly transaction: Transaction; readonly changes: readonly ZnodeChange[] };

export type History = {
  readonly steps: readonly Step[];
  /** Where the log contradicts itself, so that something must be missing. */
  readonly gaps: readonly string[];
};

/** What each transaction did to the tree, from the empty tree on. */
export function historyOf(transactions: readonly Transaction[]): History {
  const tree = new Map<string, LoggedZnode>();
  const gaps: string[] = [];
  const steps = transactions.map((transaction): Step => {
    const ops =
      transaction.kind === 'expired' || transaction.kind === 'closed'
        ? ended(transaction, tree)
        : transaction.ops;
    const changes = ops.flatMap((op): ZnodeChange[] => {
      if (op.kind === 'check') return [];
      const before = tree.get(op.path) ?? null;
      const gap = gapBefore(op, before);
      if (gap !== null) gaps.push(`0x${transaction.zxid.toString(16)}: ${op.path} ${gap}`);
      const after = applied(op, before, transaction.session);
      if (after === null) tree.delete(op.path);
      else tree.set(op.path, after);
      return [{ path: op.path, before, after }];
    });
    return { transaction, changes };
  });
  return { steps, gaps };
}

/** What a session's end deletes: as the transaction says, and whatever else of its own still stands. */
function ended({ session, ops }: Transaction, tree: ReadonlyMap<string, LoggedZnode>): LoggedOp[] {
  const named = new Set(ops.map(({ path }) => path));
  for (const [path, { owner }] of tree) if (owner === session) named.add(path);
  return [...named].filter((path) => tree.has(path)).map((path) => ({ kind: 'delete', path }));
}

function gapBefore(op: LoggedOp, before: LoggedZnode | null): string | null {
  if (op.kind === 'create') return before === null ? null : 'is made, and stands already';
  if (before === null) return `meets a ${op.kind}, and does not stand`;
  if (op.kind === 'set' && op.version !== before.version + 1)
    return `goes from version ${before.version} to ${op.version}`;
  return null;
}

function applied(op: LoggedOp, before: LoggedZnode | null, session: string): LoggedZnode | null {
  switch (op.kind) {
    case 'create':
      return { data: op.data, version: 0, owner: op.ephemeral ? session : null };
    case 'set':
      return { data: op.data, version: op.version, owner: before?.owner ?? null };
    default:
      return null;
  }
}
