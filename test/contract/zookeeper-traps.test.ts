// zookeeper-traps.test.ts: what node-zookeeper-client 1.1.3 and ZooKeeper 3.8 get wrong or leave to their users does not
// reach ours. Each trap is set with a real server.

import { createRequire } from 'node:module';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ask, freePort } from '../../infra/local-server.js';
import { type LocalServer, startZooKeeper } from '../../infra/servers.js';
import {
  type CreateMode,
  openSession,
  type Session,
  type SessionState,
  type WriteOp,
  type WriteOutcome,
} from '../../src/coordination/index.js';
import { FrameReader } from '../../src/coordination/zookeeper/frames.js';
import {
  type Clock,
  delay,
  type Logger,
  type Runtime,
  systemClock,
  systemRandom,
} from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { type FaultyNetwork, startProxy } from '../support/proxy.js';
import { uniqueChroot, zookeeperUrl } from '../support/servers.js';
import { gone } from '../support/world.js';

/** The least that the test server grants. */
const timeoutMs = 1_000;
const sharedPort = (): number => Number(zookeeperUrl().split(':')[1]);

/** The package itself, to look at the instance that a session uses and to do what the session never would. */
type StockClient = {
  readonly connectionManager: { xid: number; readonly socket: Socket | undefined };
  connect(): void;
  close(): void;
  create(path: string, callback: (error?: Error | null) => void): void;
  setACL(path: string, acl: readonly object[], callback: (error?: Error | null) => void): void;
};
const stock = createRequire(import.meta.url)('node-zookeeper-client') as {
  createClient(servers: string): StockClient;
  readonly ACL: new (permission: number, id: object) => object;
  readonly Permission: { readonly READ: number };
  readonly Id: { readonly ANYONE_ID_UNSAFE: object };
};

/** Returns what looks up the clients made from now on. */
function clients(): () => StockClient[] {
  const made = vi.spyOn(stock, 'createClient');
  return () => made.mock.results.flatMap((result) => (result.type === 'return' ? [result.value] : []));
}

function stockClient(servers: string): StockClient {
  const client = stock.createClient(servers);
  cleanups.push(() => client.close());
  client.connect();
  return client;
}

function done(act: (callback: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    act((error) => (error ? reject(error) : resolve()));
  });
}

const create = (path: string, mode: CreateMode = 'persistent'): WriteOp => {
  return { kind: 'create', path, data: Buffer.from('x'), mode };
};

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Logged = { readonly level: string; readonly fields: object; readonly message: string };

function runtimeOf(logged: Logged[], clock: Clock): Runtime {
  const at = (level: string) => (fields: object, message: string) =>
    void logged.push({ level, fields, message });
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  };
  return { clock, random: systemRandom, log };
}

type Opened = {
  readonly session: Session;
  readonly states: SessionState[];
  readonly logged: Logged[];
};

/** A session, not yet connected; every state it enters is noted. */
function open(servers: string, options: { chroot?: string; timeoutMs?: number; clock?: Clock } = {}): Opened {
  const logged: Logged[] = [];
  const session = openSession(
    { servers, chroot: options.chroot ?? uniqueChroot(), timeoutMs: options.timeoutMs ?? timeoutMs },
    runtimeOf(logged, options.clock ?? systemClock),
  );
  cleanups.push(() => session.close());
  const states: SessionState[] = [];
  session.on('state', ({ state }) => states.push(state));
  return { session, states, logged };
}

async function connected(...args: Parameters<typeof open>): Promise<Opened> {
  const opened = open(...args);
  await opened.session.connected(10_000);
  return opened;
}

async function network(port = sharedPort()): Promise<FaultyNetwork> {
  const made = await startProxy(port);
  cleanups.push(() => made.stop());
  return made;
}

async function ownServer(): Promise<LocalServer> {
  const server = await startZooKeeper();
  cleanups.push(() => server.stop());
  return server;
}

/** Between client and server: `onReplies` has what the server sent, and passes on what it wants; `onRequests` only sees. */
async function relay(
  onReplies: (bytes: Buffer, client: Socket) => void,
  onRequests: (bytes: Buffer) => void = () => undefined,
): Promise<string> {
  const port = await freePort();
  const listener = createServer((client) => {
    const server = dial({ port: sharedPort(), host: '127.0.0.1' });
    client.on('data', (bytes) => {
      onRequests(bytes);
      server.write(bytes);
    });
    server.on('data', (bytes) => onReplies(bytes, client));
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => undefined); // 'close' follows.
      one.on('close', () => other.destroy());
    }
  });
  return listen(listener, port);
}

async function listen(listener: Server, port: number): Promise<string> {
  await new Promise<void>((resolve) => listener.listen({ port, host: '127.0.0.1' }, resolve));
  cleanups.push(() => new Promise<void>((resolve) => listener.close(() => resolve())));
  return `127.0.0.1:${port}`;
}

function inState(session: Session, wanted: SessionState): Promise<void> {
  return eventually(() => expect(session.state).toBe(wanted), { what: `the session is ${wanted}` });
}

/** Stops this process's event loop: no timer, no reply. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

async function applied(outcome: Promise<WriteOutcome>): Promise<void> {
  expect(await outcome).toMatchObject({ kind: 'applied' });
}

const kinds = (outcomes: readonly WriteOutcome[]): string[] => outcomes.map(({ kind }) => kind);

describe('silence and time', () => {
  test('a frozen server is noticed within the session timeout, and what was written into it is unknown, not pending (trap 1)', async () => {
    const server = await ownServer();
    const { session } = await connected(server.url, { timeoutMs: 2_000 });
    server.freeze();
    cleanups.push(() => server.thaw());
    const frozenAt = systemClock.monotonic();
    const outcome = await session.write([create('/a')], { deadlineMs: 60_000 });
    expect(outcome.kind).toBe('unknown');
    expect(session.state).toBe('suspended');
    expect(systemClock.monotonic() - frozenAt).toBeLessThan(2_000);
  });

  test('trust has ended before the server gives the session away (trap 2)', async () => {
    const chroot = uniqueChroot();
    const { session: observer } = await connected(zookeeperUrl(), { chroot });
    const broken = await network();
    const { session } = await connected(broken.url, { chroot });
    await applied(session.write([create('/mine', 'ephemeral')]));
    await observer.sync();
    let freedAt = 0;
    const freed = new Promise<void>((resolve) => {
      void observer.read('/mine', () => {
        freedAt = systemClock.monotonic();
        resolve();
      });
    });
    await observer.sync();
    broken.blackhole(true);
    await freed;
    expect(session.trusted()).toBe(false);
    expect(session.trustedUntil()).toBeLessThan(freedAt);
  });

  test('after a long stall of the process the session is distrusted before any timer has run (trap 3)', async () => {
    const { session, states } = await connected(zookeeperUrl());
    const before = session.sessionId;
    expect(session.trusted()).toBe(true);
    stall(timeoutMs * 2.5);
    expect([session.state, session.trusted()]).toEqual(['connected', false]);
    await eventually(() => expect(states).toContain('lost'), { what: 'the server said that it expired' });
    await session.connected(10_000);
    expect(session.sessionId).not.toBe(before);
    expect(states).toEqual(
      ['connected', 'suspended', 'lost', 'connecting', 'connected'].slice(-states.length),
    );
  });

  test('a machine whose monotonic clock stopped while it was paused is told by the wall clock (trap 3)', async () => {
    let pausedMs = 0;
    const clock: Clock = { ...systemClock, now: () => (Date.now() + pausedMs) as ReturnType<Clock['now']> };
    const { session } = await connected(zookeeperUrl(), { clock });
    expect(session.trusted()).toBe(true);
    pausedMs = timeoutMs;
    expect(session.trusted()).toBe(false);
    await session.prove();
    expect(session.trusted()).toBe(true);
  });

  test('a stall shorter than the session timeout costs neither the connection nor the answers that came in meanwhile', async () => {
    const { session, states } = await connected(zookeeperUrl(), { timeoutMs: 1_500 });
    for (let n = 0; n < 2; n += 1) {
      const written = session.write([create(`/a${n}`)]);
      await new Promise<void>((resolve) => process.nextTick(resolve)); // It is on the wire.
      stall(1_100);
      await applied(written);
      expect(await session.prove()).toBe(true);
    }
    expect(states.filter((state) => state !== 'connected')).toEqual([]);
  });

  test('an idle session that was stalled asks the server before it gives it up', async () => {
    const slow = await relay((bytes, client) => void delay(systemClock, 400).then(() => client.write(bytes)));
    const { session, states } = await connected(slow, { timeoutMs: 3_000 });
    expect(await session.prove()).toBe(true);
    stall(2_500);
    expect(session.trusted()).toBe(false);
    await eventually(() => expect(session.trusted()).toBe(true), { what: 'a ping was answered' });
    expect(states).toEqual(['connected']);
  });

  test('a session that hears much and asks nothing is kept alive by its pings (trap 13)', async () => {
    const chroot = uniqueChroot();
    const { session: other } = await connected(zookeeperUrl(), { chroot });
    const made = clients();
    const { session, states } = await connected(zookeeperUrl(), { chroot });
    expect(made()[0]?.connectionManager.socket?.timeout).toBe(0); // The client's own pings, which would starve, are off.
    const paths = [...Array(100).keys()].map((n) => `/n${n}`);
    const heard = new Set<string>();
    await Promise.all(paths.map((path) => session.read(path, () => heard.add(path))));
    // An event every 25 ms for two and a half session timeouts: the connection is never idle for a third of one.
    for (const path of paths) {
      await applied(other.write([create(path)]));
      await eventually(() => expect(heard).toContain(path), { what: `${path} was told` });
      await delay(systemClock, 25);
    }
    expect(states.filter((state) => state !== 'connected')).toEqual([]);
    expect(session.trusted()).toBe(true);
  });
});

describe('writes', () => {
  test('what is asked for while there is no connection is never sent later (trap 4)', async () => {
    const broken = await network();
    const { session } = await connected(broken.url);
    await broken.refuse(true);
    broken.cut();
    await inState(session, 'suspended');
    expect((await session.write([create('/late')])).kind).toBe('notSent');
    await broken.refuse(false);
    await session.connected(10_000);
    expect(await session.read('/late')).toBeNull();
  });

  test('256 requests at most are on the wire; those behind them are never sent after a disconnect (traps 4, 22)', async () => {
    const broken = await network();
    const { session } = await connected(broken.url, { timeoutMs: 5_000 });
    broken.blackhole(true);
    const writes = [...Array(300).keys()].map((n) => session.write([create(`/n${n}`)]));
    broken.cut();
    const outcomes = kinds(await Promise.all(writes));
    expect(outcomes.slice(0, 256)).toEqual(Array(256).fill('unknown'));
    expect(outcomes.slice(256)).toEqual(Array(44).fill('notSent'));
    broken.blackhole(false);
    await session.connected(10_000);
    const made = (await session.children('/')) ?? [];
    expect(made.filter((name) => Number(name.slice(1)) >= 256)).toEqual([]);
  });

  test('a deadline that passes is unknown on the wire, and notSent behind it (trap 5)', async () => {
    const broken = await network();
    const { session } = await connected(broken.url, { timeoutMs: 5_000 });
    broken.blackhole(true);
    const writes = [...Array(260).keys()].map((n) => session.write([create(`/n${n}`)], { deadlineMs: 100 }));
    const outcomes = kinds(await Promise.all(writes));
    expect(outcomes).toEqual([...Array(256).fill('unknown'), ...Array(4).fill('notSent')]);
    expect(session.state).toBe('connected');
    broken.blackhole(false);
    await applied(session.write([create('/after')]));
    expect(await session.children('/')).toHaveLength(257);
  });

  test('writes whose replies are lost are unknown although they were applied, and the next read sees them (trap 5)', async () => {
    const broken = await network();
    const { session } = await connected(broken.url);
    const swallowed = broken.dropReplies(20);
    const writes = [...Array(20).keys()].map((n) => session.write([create(`/n${n}`)]));
    await swallowed;
    broken.cut();
    expect(new Set(kinds(await Promise.all(writes)))).toEqual(new Set(['unknown']));
    const nodes = await Promise.all([...Array(20).keys()].map((n) => session.read(`/n${n}`)));
    expect(nodes.every((node) => node !== null)).toBe(true);
  });

  test.each(['set', 'check', 'delete'] as const)(
    'version 0 of a %s is compared, not sent as "any version" (trap 6)',
    async (kind) => {
      const { session } = await connected(zookeeperUrl());
      const data = Buffer.from('y');
      await applied(session.write([create('/a'), { kind: 'set', path: '/a', data, version: 0 }]));
      const op: WriteOp =
        kind === 'set' ? { kind, path: '/a', data, version: 0 } : { kind, path: '/a', version: 0 };
      expect(await session.write([op])).toEqual({ kind: 'refused', index: 0, code: 'BAD_VERSION' });
    },
  );

  test('after a reconnect the server is brought up to date ahead of any read, so that it tells of an unknown write (trap 5)', async () => {
    const types: number[] = [];
    let reader = new FrameReader();
    let cut: (() => void) | null = null;
    const url = await relay(
      (bytes, client) => {
        cut = () => client.resetAndDestroy();
        client.write(bytes);
      },
      (bytes) => reader.push(bytes, (frame) => types.push(frame.readInt32BE(8)) > 0),
    );
    const { session } = await connected(url, { timeoutMs: 10_000 });
    types.length = 0;
    reader = new FrameReader();
    (cut as (() => void) | null)?.();
    await inState(session, 'suspended');
    await session.read('/');
    const [sync, getData] = [9, 4];
    expect(types.slice(1)).toEqual([sync, getData]); // Behind the handshake.
  });

  test('a sequential create whose reply is lost is not made twice (trap 7)', async () => {
    const broken = await network();
    const { session } = await connected(broken.url);
    const swallowed = broken.dropReplies(1);
    const written = session.write([create('/n-', 'ephemeral-sequential')]);
    await swallowed;
    broken.cut();
    expect((await written).kind).toBe('unknown');
    await session.connected(10_000);
    expect(await session.children('/')).toEqual(['n-0000000000']);
  });

  test('all that is under way when the session expires settles (traps 8, 21)', async () => {
    const { session, states } = await connected(zookeeperUrl());
    const before = session.sessionId;
    const writes = [...Array(300).keys()].map((n) => session.write([create(`/n${n}`)]));
    const reads = [...Array(10).keys()].map(() => session.read('/'));
    stall(timeoutMs * 2.5); // Nothing of it has left this process yet.
    const outcomes = kinds(await Promise.all(writes));
    expect(outcomes).not.toContain('applied');
    await Promise.allSettled(reads);
    await eventually(() => expect(session.sessionId).not.toBe(before), { what: 'there is a new session' });
    expect(states.slice(-4)).toEqual(['suspended', 'lost', 'connecting', 'connected']);
    expect(await session.children('/')).toEqual([]);
  });

  test('a transaction over the limit is refused here, and harms nothing that is on its way (trap 18)', async () => {
    const { session, states } = await connected(zookeeperUrl());
    const small = session.write([create('/small')]);
    const data = Buffer.alloc(600_000);
    const large = session.write([{ kind: 'create', path: '/large', data, mode: 'persistent' }]);
    await expect(large).rejects.toMatchObject({ code: 'INTERNAL' });
    await applied(small);
    expect(states.filter((state) => state !== 'connected')).toEqual([]);
  });
});

describe('bytes', () => {
  test('a connection that ends in the middle of a frame leaves nothing of it behind (trap 9)', async () => {
    let cut = false;
    const url = await relay((bytes, client) => {
      if (!cut) return void client.write(bytes);
      cut = false;
      client.end(bytes.subarray(0, 10));
    });
    const { session, states } = await connected(url, { timeoutMs: 10_000 }); // No ping comes between.
    const before = session.sessionId;
    cut = true;
    expect((await session.write([create('/a')])).kind).toBe('unknown');
    expect(await session.read('/a')).not.toBeNull();
    expect(session.sessionId).toBe(before);
    expect(states.slice(-2)).toEqual(['suspended', 'connected']);
  });

  test('bytes that are no reply end the connection, not the process (trap 9)', async () => {
    const nonsense = [
      Buffer.from('7fffffff0000', 'hex'), // a frame of two gigabytes
      Buffer.from('0000000200ff', 'hex'), // too short for a header
      Buffer.from('00000010000000630000000000000001', 'hex'), // half a reply, completed by another's first bytes
      Buffer.from('00000010ffffffffffffffffffffffff00000000', 'hex'), // a watch event without one
    ];
    let next: Buffer | undefined;
    const url = await relay((bytes, client) => {
      if (next !== undefined) client.write(next);
      next = undefined;
      client.write(bytes);
    });
    const { session } = await connected(url, { timeoutMs: 10_000 });
    const before = session.sessionId;
    for (const [n, bytes] of nonsense.entries()) {
      next = bytes;
      expect((await session.write([create(`/n${n}`)])).kind).toBe('unknown');
      expect(await session.read(`/n${n}`)).not.toBeNull();
    }
    expect(session.sessionId).toBe(before);
  });

  test('a stream is cut into frames alike however it arrives, and no byte is copied more than once (trap 9)', () => {
    const concat = vi.spyOn(Buffer, 'concat');
    const frames = [0, 1, 16, 7_000, 3, 0].map((size, n) => {
      const frame = Buffer.alloc(4 + size, n);
      frame.writeInt32BE(size, 0);
      return frame;
    });
    const stream = concat(frames);
    for (const chunkBytes of [1, 2, 3, 5, 7, 1_000, 7_015, stream.length]) {
      const reader = new FrameReader();
      const got: Buffer[] = [];
      concat.mockClear();
      for (let at = 0; at < stream.length; at += chunkBytes) {
        reader.push(stream.subarray(at, at + chunkBytes), (frame) => got.push(Buffer.from(frame)) > 0);
      }
      expect(got).toEqual(frames);
      // Once for a length that comes in pieces, once for the frame: never once per chunk.
      expect(concat.mock.calls.length).toBeLessThanOrEqual(2 * frames.length);
    }
  });

  test.each([
    [-125, { kind: 'refused', index: 0, code: 'OTHER', detail: 'QUOTA_EXCEEDED' }],
    [-127, { kind: 'notSent', why: expect.stringContaining('THROTTLED_OP') }],
    [-118, { kind: 'notSent', why: expect.stringContaining('SESSION_MOVED') }],
    [-4, { kind: 'unknown', why: expect.stringContaining('CONNECTION_LOSS') }],
    [-999, { kind: 'refused', index: 0, code: 'OTHER', detail: 'CODE_-999' }],
  ])('error %i, which the client would throw on, is an outcome (trap 10)', async (code, outcome) => {
    let armed = false;
    const url = await relay((bytes, client) => {
      if (armed) bytes.writeInt32BE(code, 16);
      armed = false;
      client.write(bytes);
    });
    const { session } = await connected(url, { timeoutMs: 10_000 });
    armed = true;
    expect(await session.write([create('/a')])).toEqual(outcome);
    await applied(session.write([create('/b')]));
  });

  test('request numbers wrap below 2^31 and begin at 1 again (trap 11)', async () => {
    const made = clients();
    const { session, states } = await connected(zookeeperUrl());
    const manager = made()[0]?.connectionManager;
    if (manager === undefined) throw new Error('no client was made');
    manager.xid = 2 ** 31 - 4;
    for (let n = 0; n < 6; n += 1) await applied(session.write([create(`/n${n}`)]));
    expect(manager.xid).toBe(4);
    expect(states.filter((state) => state !== 'connected')).toEqual([]);
  });

  test('64-bit values are whole, and a node without data reads as empty (trap 19)', async () => {
    const chroot = uniqueChroot();
    const { session } = await connected(zookeeperUrl(), { chroot });
    const client = stockClient(zookeeperUrl());
    await done((callback) => client.create(`${chroot}/bare`, callback));
    await session.sync();
    const node = await session.read('/bare');
    expect(node?.data).toEqual(Buffer.alloc(0));
    expect(node?.stat.czxid).toBeTypeOf('bigint');
    expect(node?.stat.czxid).toBe(node?.stat.mzxid);
    expect(await session.sync()).toBeGreaterThanOrEqual(node?.stat.czxid ?? 0n);
  });
});

describe('watches', () => {
  test('more watches than one packet may name are all set again after a reconnect (trap 12)', async () => {
    const chroot = uniqueChroot();
    const { session: other } = await connected(zookeeperUrl(), { chroot });
    const broken = await network();
    const { session, states } = await connected(broken.url, { chroot, timeoutMs: 4_000 });
    const pad = 'x'.repeat(150);
    const paths = [...Array(7_000).keys()].map((n) => `/${pad}-${n}`); // 1.2 MB of names
    const heard = new Map<string, number>();
    const hear = (path: string) => () => heard.set(path, (heard.get(path) ?? 0) + 1);
    await Promise.all(paths.map((path) => session.read(path, hear(path))));
    const [first, middle, last] = [paths[0], paths[3_500], paths[6_999]] as [string, string, string];
    await broken.refuse(true);
    broken.cut();
    await inState(session, 'suspended');
    await applied(other.write([create(middle)]));
    await broken.refuse(false);
    await session.connected(10_000);
    await applied(other.write([create(first), create(last)]));
    await eventually(() => expect(heard.size).toBe(3), { what: 'the three that were made are told' });
    await session.sync();
    expect([...heard]).toEqual(
      expect.arrayContaining([
        [first, 1],
        [middle, 1],
        [last, 1],
      ]),
    );
    expect(states.filter((state) => state !== 'connected')).toEqual(['suspended']);
  });

  test('a second break, when only some watches were set again, loses no event of the others (trap 12)', async () => {
    const chroot = uniqueChroot();
    const { session: other } = await connected(zookeeperUrl(), { chroot });
    const broken = await network();
    const { session } = await connected(broken.url, { chroot, timeoutMs: 4_000 });
    await applied(session.write([create('/a')]));
    const pad = 'x'.repeat(150);
    const ignored = (): void => undefined;
    await Promise.all([...Array(1_000).keys()].map((n) => session.read(`/${pad}-${n}`, ignored)));
    let onTold = (): void => undefined;
    const told = new Promise<void>((resolve) => {
      onTold = resolve;
    });
    await session.children('/a', () => onTold()); // In the last of two pieces.
    await broken.refuse(true);
    broken.cut();
    await inState(session, 'suspended');
    await applied(other.write([create('/a/x')]));
    // The first piece is answered; the event, and all that follows it, is lost with the connection.
    let lost = false;
    const swallowed = broken.dropReplies((reply) => {
      lost ||= reply.readInt32BE(0) === -1;
      return lost;
    });
    await broken.refuse(false);
    await swallowed;
    broken.cut();
    void broken.dropReplies(0);
    await told;
  });

  test('a hundred listeners of a path are one watch of the server, and each is told once (trap 20)', async () => {
    const server = await ownServer();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    cleanups.push(() => process.off('warning', onWarning));
    const { session } = await connected(server.url);
    await applied(session.write([create('/a')]));
    const calls: number[] = Array(100).fill(0);
    const listeners = calls.map((_, n) => () => {
      calls[n] = (calls[n] ?? 0) + 1;
    });
    await Promise.all(listeners.map((listener) => session.read('/a', listener)));
    expect(await ask(server.port, 'wchs')).toContain('Total watches:1');
    await applied(session.write([{ kind: 'set', path: '/a', data: Buffer.alloc(0), version: null }]));
    await session.sync();
    expect(calls).toEqual(Array(100).fill(1));
    expect(warnings).toEqual([]);
  });

  test('the server forgets a watch once its last listener is taken back', async () => {
    const server = await ownServer();
    const { session } = await connected(server.url);
    await applied(session.write([create('/a')]));
    const [one, two] = [(): void => undefined, (): void => undefined];
    const watches = async (): Promise<number> => {
      await session.sync();
      return Number(/^Total watches:(\d+)$/m.exec(await ask(server.port, 'wchs'))?.[1]);
    };
    await session.read('/a', one);
    await session.read('/a', two);
    await session.read('/b', one);
    expect(await watches()).toBe(2);
    session.unwatch('/a', one);
    expect(await watches()).toBe(2);
    session.unwatch('/a', two);
    session.unwatch('/b', one);
    expect(await watches()).toBe(0);
  });

  test('a listener that throws harms neither the others nor the session', async () => {
    const { session, states, logged } = await connected(zookeeperUrl());
    await applied(session.write([create('/a')]));
    session.on('state', () => {
      throw new Error('of a state listener');
    });
    const heard: string[] = [];
    await session.read('/a', () => {
      heard.push('first');
      throw new Error('of a watch listener');
    });
    await session.read('/a', () => heard.push('second'));
    await applied(session.write([{ kind: 'delete', path: '/a', version: 0 }]));
    await session.sync();
    expect(heard).toEqual(['first', 'second']);
    expect(states.filter((state) => state !== 'connected')).toEqual([]);
    await session.close();
    expect(logged.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      'a watch listener threw',
      'a session listener threw',
    ]);
  });
});

describe('the life of sessions', () => {
  let server: LocalServer;
  beforeEach(async () => {
    server = await ownServer();
  });

  test('a lost session never comes back: what it left behind is told by its owner, and leaves in time (trap 15)', async () => {
    const front = await network(server.port);
    const { session, states } = await connected(front.url);
    const before = session.sessionId;
    await applied(session.write([create('/mine', 'ephemeral')]));
    await server.kill();
    await eventually(() => expect(states).toContain('lost'), { what: 'our own clock gave it up' });
    await server.restart(); // And with it the old session, for its whole timeout.
    await session.connected(10_000);
    const owner = (await session.read('/mine'))?.stat.ephemeralOwner;
    // Still the old session's, or gone with it already where this machine was slow: never the new one's.
    expect([before, undefined]).toContain(owner);
    expect(session.sessionId).not.toBe(before);
    await gone(session, '/mine');
    await eventually(() => expect(front.connections()).toBe(1), {
      what: 'the new session alone is connected',
    });
    expect(states.slice(-4)).toEqual(['suspended', 'lost', 'connecting', 'connected']);
  });

  test('a server that lost its data gets a new session instead of an endless reconnect (trap 16)', async () => {
    const { session, states } = await connected(server.url);
    const before = session.sessionId;
    for (let n = 0; n < 20; n += 1) await applied(session.write([create(`/n${n}`)]));
    await server.stop();
    await server.restart();
    await eventually(() => expect(states).toContain('lost'), { what: 'the session is given up' });
    await session.connected(20_000);
    expect(session.sessionId).not.toBe(before);
    expect(await session.children('/')).toEqual([]);
    await applied(session.write([create('/a')]));
  });

  test('a chroot that cannot be made is named, and the attempts leave no sessions behind', async () => {
    const client = stockClient(server.url);
    await done((callback) => client.create('/closed', callback));
    const readOnly = [new stock.ACL(stock.Permission.READ, stock.Id.ANYONE_ID_UNSAFE)];
    await done((callback) => client.setACL('/closed', readOnly, callback));
    const { session, logged } = open(server.url, { chroot: '/closed/part/whole', timeoutMs: 10_000 });
    const attempts = (): number => logged.filter(({ level }) => level === 'warn').length;
    await eventually(() => expect(attempts()).toBe(3), { what: 'it was tried three times' });
    await expect(session.connected(1)).rejects.toMatchObject({
      code: 'ZOOKEEPER_UNAVAILABLE',
      message: expect.stringContaining('/closed/part: NO_AUTH'),
    });
    expect(await ask(server.port, 'mntr')).toMatch(/zk_global_sessions\t1\n/);
  });

  test('closing settles in every state, and ends the session where there is a connection (trap 14)', async () => {
    const chroot = uniqueChroot();
    const { session: observer } = await connected(server.url, { chroot });
    const early = open(server.url, { chroot }).session;
    await Promise.all([early.close(), early.close()]);
    const nobody = open(`127.0.0.1:${await freePort()}`).session;
    await nobody.close();
    await expect(nobody.connected(1_000)).rejects.toMatchObject({ code: 'CLOSED' });
    const { session } = await connected(server.url, { chroot, timeoutMs: 10_000 });
    await applied(session.write([create('/mine', 'ephemeral')]));
    await session.close();
    await observer.sync();
    expect(await observer.read('/mine')).toBeNull();
    const { session: stuck } = await connected(server.url, { chroot, timeoutMs: 10_000 });
    server.freeze();
    cleanups.push(() => server.thaw());
    const startedAt = systemClock.monotonic();
    await stuck.close();
    expect(systemClock.monotonic() - startedAt).toBeLessThan(5_000);
    expect([early.state, nobody.state, session.state, stuck.state]).toEqual(Array(4).fill('closed'));
  });
});

describe('a server that cannot be reached', () => {
  test('is tried less and less often, and the log says why (trap 17)', async () => {
    const attempts: number[] = [];
    let onSixth = (): void => undefined;
    const sixth = new Promise<void>((resolve) => {
      onSixth = resolve;
    });
    const url = await listen(
      createServer((socket) => {
        attempts.push(systemClock.monotonic());
        socket.destroy();
        if (attempts.length === 6) onSixth();
      }),
      await freePort(),
    );
    const { session, logged } = open(url);
    await sixth;
    const gaps = attempts.slice(1).map((at, n) => at - (attempts[n] ?? 0));
    for (const [n, gap] of gaps.entries()) expect(gap).toBeGreaterThan(20 * 2 ** n);
    expect(session.state).toBe('connecting');
    const warnings = logged.filter(({ level }) => level === 'warn');
    expect(warnings[0]?.fields).toMatchObject({ cause: `${url}: the server closed the connection` });
  });

  test('because its name is unknown is named as such (trap 17)', async () => {
    const { session } = open('no-such-host.invalid:2181');
    await expect(session.connected(1_000)).rejects.toMatchObject({
      code: 'ZOOKEEPER_UNAVAILABLE',
      message: expect.stringMatching(/no-such-host\.invalid.*(ENOTFOUND|EAI_AGAIN)/),
    });
  });

  test('does not keep the session from the next server', async () => {
    const dead = `127.0.0.1:${await freePort()}`;
    const { session } = await connected(`${dead},${zookeeperUrl()}`);
    await applied(session.write([create('/a')]));
  });
});
