// transaction-log.test.ts: the logs of a real server are read to the last write, and the logs of several servers are made
// one history.

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalServer, startZooKeeper } from '../../infra/servers.js';
import type { Session, WriteOp } from '../../src/coordination/index.js';
import { openSession } from '../../src/coordination/zookeeper/index.js';
import { type Runtime, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { startProxy } from '../support/proxy.js';
import { gone } from '../support/world.js';
import { logFile, type Written } from './log-writer.js';
import {
  cutUnfinished,
  type History,
  historyOf,
  mergeLogs,
  parseLog,
  readServerLog,
  type Step,
  type Transaction,
} from './transaction-log.js';

const runtime: Runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
const data = (text: string): Buffer => Buffer.from(text);

describe('the log of a real server', () => {
  let folder: string;
  let server: LocalServer;
  let history: History;
  let transactions: readonly Transaction[];
  const sessions: Record<'writer' | 'lost', string> = { writer: '', lost: '' };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'claimkeeper-log-'));
    server = await startZooKeeper({ dataDir: folder, tickTimeMs: 500 });
    const network = await startProxy(server.port);
    const open = async (servers: string, timeoutMs: number): Promise<Session> => {
      const session = openSession({ servers, chroot: '', timeoutMs }, runtime);
      await session.connected(10_000);
      return session;
    };
    const [writer, lost] = [await open(server.url, 10_000), await open(network.url, 1_000)];
    Object.assign(sessions, { writer: writer.sessionId, lost: lost.sessionId });
    const write = (session: Session, ops: readonly WriteOp[]) => session.write(ops);
    await write(writer, [{ kind: 'create', path: '/record', data: data('waiting'), mode: 'persistent' }]);
    await write(writer, [{ kind: 'create', path: '/term', data: data(''), mode: 'persistent' }]);
    await write(writer, [
      { kind: 'check', path: '/term', version: 0 },
      { kind: 'create', path: '/claim-', data: data('mine'), mode: 'ephemeral-sequential' },
      { kind: 'set', path: '/record', data: data('running'), version: 0 },
    ]);
    await write(writer, [{ kind: 'set', path: '/record', data: data('stale'), version: 0 }]);
    await write(writer, [
      { kind: 'set', path: '/record', data: data('half'), version: 1 },
      { kind: 'delete', path: '/claim-', version: null },
    ]);
    await write(lost, [{ kind: 'create', path: '/lost', data: data('…'), mode: 'ephemeral' }]);
    network.blackhole(true);
    await gone(writer, '/lost');
    await server.kill();
    await server.restart();
    await writer.connected(10_000);
    await write(writer, [{ kind: 'set', path: '/record', data: data('completed'), version: 1 }]);
    await writer.close();
    await lost.close();
    await network.stop();
    ({ transactions } = mergeLogs([await readServerLog(folder)]));
    history = historyOf(transactions);
  }, 60_000);

  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const stepsAt = (path: string): Step[] =>
    history.steps.filter(({ changes }) => changes.some((change) => change.path.startsWith(path)));

  test('has every change of a record, by its session, over a restart, and none that was refused', () => {
    const texts = stepsAt('/record').flatMap(({ transaction, changes }) =>
      changes.flatMap(({ path, after }) =>
        path === '/record' ? [[after?.version, String(after?.data), transaction.session]] : [],
      ),
    );
    expect(texts).toEqual([
      [0, 'waiting', sessions.writer],
      [1, 'running', sessions.writer],
      [2, 'completed', sessions.writer],
    ]);
    expect(transactions.filter(({ kind }) => kind === 'refused')).toHaveLength(2);
    expect(history.gaps).toEqual([]);
  });

  test('has one transaction whole: its checks, and the path that a sequential node was given', () => {
    const [claimed] = stepsAt('/claim-');
    expect(
      claimed?.transaction.ops.map(({ kind, path }) => `${kind} ${path.replace(/\d{10}$/, '#')}`),
    ).toEqual(['check /term', 'create /claim-#', 'set /record']);
    expect(claimed?.changes[0]?.after?.owner).toBe(sessions.writer);
  });

  test('tells a session that its client ended from one that the server ended, with what each took along', () => {
    const ends = transactions.filter(({ kind }) => kind === 'closed' || kind === 'expired');
    expect(ends.map(({ session, kind }) => ({ session, kind }))).toEqual([
      { session: sessions.lost, kind: 'expired' },
      { session: sessions.writer, kind: 'closed' },
    ]);
    const taken = stepsAt('/lost').at(-1);
    expect(taken?.transaction.kind).toBe('expired');
    expect(stepsAt('/claim-').at(-1)?.transaction.kind).toBe('closed');
  });

  test('has the times at which it happened', () => {
    for (const { at } of transactions) expect(Math.abs(at - Date.now())).toBeLessThan(60_000);
  });
});

const zxid = (epoch: number, counter: number): bigint => (BigInt(epoch) << 32n) | BigInt(counter);

/** `/record` goes from version to version. */
function set(epoch: number, counter: number, version: number): Written {
  const op =
    version === 0
      ? ({ kind: 'create', path: '/record', data: data('v0'), ephemeral: false } as const)
      : ({ kind: 'set', path: '/record', data: data(`v${version}`), version } as const);
  return { zxid: zxid(epoch, counter), at: 1_000 * epoch + counter, session: '00'.repeat(8), ops: [op] };
}

type Merged = { kept: bigint[]; left: bigint[]; gaps: number };

function merged(...logs: readonly (readonly Written[])[]): Merged {
  return mergedUpTo(undefined, ...logs);
}

/** `version`: of `/record` in the end. */
function mergedUpTo(version: number | undefined, ...logs: readonly (readonly Written[])[]): Merged {
  const { transactions, left } = mergeLogs(
    logs.map((log) => parseLog(logFile(log))),
    () => version,
  );
  const ids = (list: readonly Transaction[]): bigint[] => list.map((one) => one.zxid);
  return { kept: ids(transactions), left: ids(left), gaps: historyOf(transactions).gaps.length };
}

describe('the logs of several servers are one history', () => {
  const [a, b, c] = [set(1, 1, 0), set(1, 2, 1), set(1, 3, 2)];

  test('without the tail that a killed leader had logged alone', () => {
    const tail = set(1, 4, 3);
    const next = set(2, 1, 3);
    const all = [a, b, c].map((one) => one.zxid);
    // The killed one was caught up by a snapshot: its tail is still there, beside what came later.
    const found = merged(
      [a, b, c, tail, set(2, 2, 4)],
      [a, b, c, next, set(2, 2, 4)],
      [a, b, c, next, set(2, 2, 4)],
    );
    expect(found).toEqual({ kept: [...all, next.zxid, zxid(2, 2)], left: [tail.zxid], gaps: 0 });
  });

  test('with the tail that its leader handed on in snapshots, having led again', () => {
    const tail = set(1, 4, 3);
    const next = set(2, 1, 4);
    const found = merged([a, b, c, tail, next], [a, b, c, next], [a, b, c, next]);
    expect(found).toEqual({ kept: [a, b, c, tail, next].map((one) => one.zxid), left: [], gaps: 0 });
  });

  test('with a tail upon which nothing follows where its znodes stood so in the end, and without any other', () => {
    const tail = set(1, 4, 3);
    const logs = [
      [a, b, c, tail],
      [a, b, c],
      [a, b, c],
    ] as const;
    expect(merged(...logs).left).toEqual([tail.zxid]);
    expect(mergedUpTo(2, ...logs).left).toEqual([tail.zxid]);
    expect(mergedUpTo(3, ...logs).left).toEqual([]);
  });

  test('without a tail that was written over, whatever stood in the end', () => {
    const [tail, next] = [set(1, 4, 3), set(2, 1, 3)];
    const found = mergedUpTo(3, [a, b, c, tail, next], [a, b, c, next], [a, b, c, next]);
    expect(found.left).toEqual([tail.zxid]);
  });

  test('with what two of three have skipped over by a snapshot', () => {
    const found = merged([a, b, c], [a, c], [c]);
    expect(found).toEqual({ kept: [a, b, c].map((one) => one.zxid), left: [], gaps: 0 });
  });

  test('in which a hole is found', () => {
    expect(merged([a, c], [a, c], [a]).gaps).toBe(1);
    expect(merged([b]).gaps).toBe(1);
  });

  test('unless two servers gave one number to different transactions', () => {
    expect(() => merged([a], [{ ...a, session: '01'.repeat(8) }])).toThrow('0x100000001');
  });

  test('up to where a killed server had not finished writing', () => {
    const file = logFile([a, b]);
    expect(parseLog(file.subarray(0, -2)).map((one) => one.zxid)).toEqual([a.zxid]);
    const flipped = Buffer.from(file);
    flipped.writeUInt8(flipped.readUInt8(file.length - 5) ^ 1, file.length - 5);
    expect(parseLog(flipped).map((one) => one.zxid)).toEqual([a.zxid]);
    expect(parseLog(Buffer.concat([file, Buffer.alloc(1_000)])).map((one) => one.zxid)).toEqual([
      a.zxid,
      b.zxid,
    ]);
  });
});

test('a server that lacks a part of its last transaction does not start, and does once that is cut off', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-log-'));
  const server = await startZooKeeper({ dataDir: folder, tickTimeMs: 500 });
  try {
    const session = openSession({ servers: server.url, chroot: '', timeoutMs: 10_000 }, runtime);
    await session.connected(10_000);
    const write = (path: string): Promise<unknown> =>
      session.write([{ kind: 'create', path, data: data(''), mode: 'persistent' }]);
    await write('/before');
    await server.kill();
    const before = await readServerLog(folder);
    const [name] = (await readdir(join(folder, 'version-2'))).filter((each) => each.startsWith('log.'));
    const log = join(folder, 'version-2', name ?? '');
    const bytes = await readFile(log);
    // Its checksum, its length, a part of it, a hole, and its end.
    const unfinished = Buffer.concat([
      Buffer.alloc(8, 1),
      Buffer.from([0, 0, 0, 100]),
      Buffer.alloc(20, 1),
      Buffer.alloc(80),
      Buffer.from('B'),
    ]);
    unfinished.copy(bytes, endOf(bytes));
    await writeFile(log, bytes);
    expect(await readServerLog(folder)).toEqual(before);
    await expect(server.restart()).rejects.toThrow('CRC check failed');
    await cutUnfinished(folder);
    await server.restart();
    await session.connected(10_000);
    await write('/after');
    expect(await session.children('/')).toEqual(expect.arrayContaining(['before', 'after']));
    await session.close();
    expect((await readServerLog(folder)).slice(0, before.length)).toEqual(before);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}, 60_000);

/** Where the padding of a log begins. */
function endOf(bytes: Buffer): number {
  let end = bytes.length;
  while (bytes[end - 1] === 0) end -= 1;
  return end;
}
