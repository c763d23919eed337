// session-contract.ts: what every implementation of the port `Session` keeps to. The titles are the contract.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type {
  CreateMode,
  RefusalCode,
  Session,
  SessionId,
  SessionState,
  WriteOp,
  WriteOutcome,
} from '../../src/coordination/index.js';
import { eventually } from '../support/eventually.js';
import { expire, gone, type Peer, type World } from '../support/world.js';

const bytes = (text: string): Buffer => Buffer.from(text);
const create = (path: string, data = '', mode: CreateMode = 'persistent'): WriteOp => {
  return { kind: 'create', path, data: bytes(data), mode };
};
const set = (path: string, data: string, version: number | null = null): WriteOp => {
  return { kind: 'set', path, data: bytes(data), version };
};
const remove = (path: string, version: number | null = null): WriteOp => ({ kind: 'delete', path, version });
const check = (path: string, version: number | null = null): WriteOp => ({ kind: 'check', path, version });

/** Writes that must be applied. */
async function apply(
  session: Session,
  ...ops: WriteOp[]
): Promise<Extract<WriteOutcome, { kind: 'applied' }>> {
  const outcome = await session.write(ops);
  if (outcome.kind !== 'applied') throw new Error(`not applied: ${JSON.stringify(outcome)}`);
  return outcome;
}

/** A listener that counts, and a promise of its first call. */
function listener(): { calls: number; readonly hear: () => void; readonly called: Promise<void> } {
  let resolve = (): void => undefined;
  const called = new Promise<void>((done) => {
    resolve = done;
  });
  const heard = {
    calls: 0,
    called,
    hear: () => {
      heard.calls += 1;
      resolve();
    },
  };
  return heard;
}

/** Every state the session enters from now on. */
function record(session: Session): { state: SessionState; sessionId: SessionId | null }[] {
  const states: { state: SessionState; sessionId: SessionId | null }[] = [];
  session.on('state', ({ state, sessionId }) => states.push({ state, sessionId }));
  return states;
}

function inState(session: Session, wanted: SessionState): Promise<void> {
  const look = (): void => expect(session.state).toBe(wanted);
  return eventually(look, { what: `the session is ${wanted}` });
}

export function sessionContract(name: string, setup: () => Promise<World>): void {
  describe(`a session of ${name}`, () => {
    let world: World;
    let peer: Peer;
    let session: Session;
    beforeEach(async () => {
      world = await setup();
      peer = await world.open();
      session = peer.session;
    });
    afterEach(() => world.close());

    describe('writes', () => {
      test('a create, a set, a check and a delete answer with what they did', async () => {
        const made = await apply(session, create('/a', 'one'), create('/a/b'));
        expect(made.results).toEqual([
          { kind: 'created', path: '/a' },
          { kind: 'created', path: '/a/b' },
        ]);
        const changed = await apply(session, check('/a', 0), set('/a', 'two', 0), remove('/a/b', 0));
        expect(changed.results).toEqual([
          { kind: 'checked' },
          { kind: 'set', version: 1 },
          { kind: 'deleted' },
        ]);
        expect((await session.read('/a'))?.data.toString()).toBe('two');
        expect(await session.read('/a/b')).toBeNull();
      });

      test('an expected version of 0 is compared as exactly as any other', async () => {
        await apply(session, create('/a'), create('/b'));
        await apply(session, set('/a', 'x', 0));
        for (const op of [set('/a', 'y', 0), check('/a', 0), remove('/a', 0)]) {
          expect(await session.write([op])).toEqual({ kind: 'refused', index: 0, code: 'BAD_VERSION' });
        }
        await apply(session, check('/b', 0), check('/a', 1), check('/a', null));
        await apply(session, remove('/b', 0), set('/a', 'z', null));
        expect((await session.read('/a'))?.stat.version).toBe(2);
      });

      const refusals: readonly [RefusalCode, WriteOp][] = [
        ['NO_NODE', set('/missing', '')],
        ['NO_NODE', check('/missing')],
        ['NO_NODE', remove('/missing')],
        ['NO_NODE', create('/missing/child')],
        ['NODE_EXISTS', create('/full')],
        ['BAD_VERSION', set('/full', '', 7)],
        ['NOT_EMPTY', remove('/full')],
        ['NO_CHILDREN_FOR_EPHEMERALS', create('/brief/child')],
      ];
      test.each(refusals.map(([code, op]) => ({ code, op, what: `${op.kind} ${op.path}` })))(
        'one refused operation refuses its whole transaction: $code for $what',
        async ({ code, op }) => {
          await apply(session, create('/full'), create('/full/child'), create('/brief', '', 'ephemeral'));
          const ops = [create('/first'), set('/full', 'once'), set('/full', 'twice'), op, create('/last')];
          expect(await session.write(ops)).toEqual({ kind: 'refused', index: 3, code });
          expect(await session.read('/first')).toBeNull();
          const full = await session.read('/full');
          expect([full?.data.toString(), full?.stat.version, full?.stat.numChildren]).toEqual(['', 0, 1]);
        },
      );

      test('an operation sees those before it in its transaction', async () => {
        const { results } = await apply(
          session,
          create('/a'),
          set('/a', 'x', 0),
          remove('/a', 1),
          create('/a', 'again'),
        );
        expect(results[1]).toEqual({ kind: 'set', version: 1 });
        const node = await session.read('/a');
        expect([node?.data.toString(), node?.stat.version]).toEqual(['again', 0]);
      });

      test('a sequential name ends in ten digits that count every child ever created there', async () => {
        await apply(session, create('/q'));
        const path = async (mode: CreateMode, name = '/q/n-'): Promise<string> => {
          const [result] = (await apply(session, create(name, '', mode))).results;
          return result?.kind === 'created' ? result.path : '';
        };
        expect(await path('persistent-sequential')).toBe('/q/n-0000000000');
        expect(await path('persistent', '/q/plain')).toBe('/q/plain');
        expect(await path('ephemeral-sequential')).toBe('/q/n-0000000002');
        await apply(session, remove('/q/n-0000000002'));
        expect((await session.write([create('/q/n-', '', 'ephemeral-sequential'), check('/no')])).kind).toBe(
          'refused',
        );
        expect(await path('ephemeral-sequential')).toBe('/q/n-0000000003');
        const { results } = await apply(
          session,
          create('/q/m-', '', 'persistent-sequential'),
          create('/q/m-', '', 'persistent-sequential'),
        );
        expect(results).toEqual([
          { kind: 'created', path: '/q/m-0000000004' },
          { kind: 'created', path: '/q/m-0000000005' },
        ]);
      });

      test('zxids grow, and a stat names those of the create and of the last change', async () => {
        const other = (await world.open()).session;
        const made = await apply(session, create('/a'));
        const changed = await apply(other, set('/a', 'x'));
        expect(changed.zxid).toBeGreaterThan(made.zxid);
        expect(await session.sync()).toBeGreaterThanOrEqual(changed.zxid);
        const stat = (await session.read('/a'))?.stat;
        expect([stat?.czxid, stat?.mzxid]).toEqual([made.zxid, changed.zxid]);
      });

      test('requests that were not waited for keep their order', async () => {
        await apply(session, create('/a'));
        const outcomes = [...Array(50).keys()].map((n) => session.write([set('/a', String(n), n)]));
        const read = session.read('/a');
        const last = session.write([set('/a', 'last')]);
        expect((await Promise.all([...outcomes, last])).every(({ kind }) => kind === 'applied')).toBe(true);
        expect((await read)?.data.toString()).toBe('49');
      });

      test('a write meant for another session is not sent', async () => {
        const other = (await world.open()).session.sessionId as SessionId;
        expect((await session.write([create('/a')], { session: other })).kind).toBe('notSent');
        const own = session.sessionId as SessionId;
        expect((await session.write([create('/b')], { session: own })).kind).toBe('applied');
        expect(await session.read('/a')).toBeNull();
      });

      test('what the caller does with its buffers afterwards changes nothing', async () => {
        const data = bytes('kept');
        const written = session.write([{ kind: 'create', path: '/a', data, mode: 'persistent' }]);
        await written;
        data.fill(0);
        (await session.read('/a'))?.data.fill(0);
        expect((await session.read('/a'))?.data.toString()).toBe('kept');
      });
    });

    describe('reads', () => {
      test('a node that is missing reads as null, and so does the list of its children', async () => {
        expect(await session.read('/missing')).toBeNull();
        expect(await session.children('/missing')).toBeNull();
      });

      test('children are names; an empty node has an empty list and empty data', async () => {
        await apply(session, create('/a'), create('/a/x'), create('/a/y'), create('/a/y/z'));
        expect((await session.children('/a'))?.sort()).toEqual(['x', 'y']);
        expect(await session.children('/a/x')).toEqual([]);
        expect((await session.read('/a/x'))?.data).toEqual(Buffer.alloc(0));
        expect((await session.read('/a'))?.stat.numChildren).toBe(2);
      });

      test('many nodes, and many lists, are read at once as each would be on its own', async () => {
        const names = Array.from({ length: 150 }, (_, i) => `n${i}`);
        await apply(session, create('/a'), ...names.map((name) => create(`/a/${name}`, name)));
        await apply(session, set('/a/n7', 'changed'), create('/a/n7/child'));
        const paths = ['/missing', '/a', ...names.map((name) => `/a/${name}`)];
        const nodes = await session.readAll(paths);
        expect(nodes).toEqual(await Promise.all(paths.map((path) => session.read(path))));
        expect(nodes[0]).toBeNull();
        expect(nodes[9]).toMatchObject({ data: bytes('changed'), stat: { version: 1, numChildren: 1 } });
        const lists = await session.childrenOfAll(paths);
        expect(lists).toEqual(await Promise.all(paths.map((path) => session.children(path))));
        expect([lists[0], lists[1]?.length, lists[9]]).toEqual([null, 150, ['child']]);
      });

      test('reading no node, or one, is reading many too', async () => {
        await apply(session, create('/a', 'x'));
        expect([await session.readAll([]), await session.childrenOfAll([])]).toEqual([[], []]);
        expect(await session.readAll(['/a'])).toMatchObject([{ data: bytes('x') }]);
        expect(await session.childrenOfAll(['/a'])).toEqual([[]]);
      });

      test('a stat names the session that owns an ephemeral, and nobody for a persistent node', async () => {
        const other = (await world.open()).session;
        await apply(session, create('/mine', '', 'ephemeral'), create('/all'));
        await other.sync();
        expect((await other.read('/mine'))?.stat.ephemeralOwner).toBe(session.sessionId);
        expect((await other.read('/all'))?.stat.ephemeralOwner).toBeNull();
        expect(session.sessionId).toMatch(/^[0-9a-f]{16}$/);
      });
    });

    describe('watches', () => {
      test('a data watch is told of the first change and of no other', async () => {
        await apply(session, create('/a'));
        const heard = listener();
        await session.read('/a', heard.hear);
        await apply(session, set('/a', 'x'));
        await heard.called;
        await apply(session, set('/a', 'y'));
        await session.sync();
        expect(heard.calls).toBe(1);
      });

      test('a data watch is told of the deletion, and one on a missing node of its creation', async () => {
        const born = listener();
        const died = listener();
        expect(await session.read('/a', born.hear)).toBeNull();
        await apply(session, create('/a'));
        await born.called;
        await session.read('/a', died.hear);
        await apply(session, remove('/a'));
        await died.called;
        expect([born.calls, died.calls]).toEqual([1, 1]);
      });

      test("a children watch is told of a child made or deleted, not of a child's data or the node's own", async () => {
        await apply(session, create('/a'), create('/a/x'));
        const heard = listener();
        await session.children('/a', heard.hear);
        await apply(session, set('/a/x', 'x'), set('/a', 'a'));
        await session.sync();
        expect(heard.calls).toBe(0);
        await apply(session, remove('/a/x'));
        await heard.called;
        const again = listener();
        await session.children('/a', again.hear);
        await apply(session, create('/a/y'));
        await again.called;
        expect([heard.calls, again.calls]).toEqual([1, 1]);
      });

      test('a watcher that is taken back is not called, and the others of its node are', async () => {
        await apply(session, create('/a'));
        const [one, two, unborn] = [listener(), listener(), listener()];
        await session.read('/a', one.hear);
        await session.read('/a', two.hear);
        await session.read('/b', unborn.hear);
        session.unwatch('/a', one.hear);
        session.unwatch('/b', unborn.hear);
        await apply(session, set('/a', 'x'), create('/b'));
        await two.called;
        const again = listener();
        await session.read('/a', again.hear);
        session.unwatch('/a', again.hear);
        session.unwatch('/a', again.hear);
        await session.read('/a', one.hear);
        await apply(session, set('/a', 'y'));
        await one.called;
        expect([one.calls, two.calls, again.calls, unborn.calls]).toEqual([1, 1, 0, 0]);
      });

      test('listing the children of a missing node leaves no watch behind', async () => {
        const heard = listener();
        expect(await session.children('/a', heard.hear)).toBeNull();
        await apply(session, create('/a'), create('/a/x'));
        await session.sync();
        expect(heard.calls).toBe(0);
      });

      test('every listener of a path is told, each by its own kind', async () => {
        await apply(session, create('/a'));
        const [one, two, list] = [listener(), listener(), listener()];
        await session.read('/a', one.hear);
        await session.read('/a', two.hear);
        await session.children('/a', list.hear);
        await apply(session, set('/a', 'x'));
        await Promise.all([one.called, two.called]);
        expect(list.calls).toBe(0);
        await apply(session, remove('/a'));
        await list.called;
        expect([one.calls, two.calls, list.calls]).toEqual([1, 1, 1]);
      });

      test('a change is told before any read that sees it answers', async () => {
        const other = (await world.open()).session;
        await apply(session, create('/a', '0'));
        await session.sync();
        for (let n = 1; n <= 20; n += 1) {
          const heard = listener();
          await session.read('/a', heard.hear);
          const written = apply(other, set('/a', String(n)));
          await eventually(
            async () => {
              const node = await session.read('/a');
              if (node?.data.toString() !== String(n)) throw new Error('not yet');
              expect(heard.calls).toBe(1);
            },
            { what: 'the change is seen, and was told before' },
          );
          await written;
        }
      });

      test("another session's change is told", async () => {
        const other = (await world.open()).session;
        const heard = listener();
        await session.read('/a', heard.hear);
        await apply(other, create('/a'));
        await heard.called;
        await session.sync();
        expect(await session.read('/a')).not.toBeNull();
      });

      test('a change made while the connection was broken is told after it', async () => {
        const other = (await world.open()).session;
        await apply(session, create('/a'), create('/b'), create('/c'));
        const [data, list, birth, silent] = [listener(), listener(), listener(), listener()];
        await session.read('/a', data.hear);
        await session.children('/b', list.hear);
        await session.read('/d', birth.hear);
        await session.read('/c', silent.hear);
        peer.cutOff();
        await inState(session, 'suspended');
        await apply(other, set('/a', 'x'), create('/b/x'), create('/d'));
        peer.rejoin();
        await Promise.all([data.called, list.called, birth.called]);
        expect(silent.calls).toBe(0);
        await apply(other, set('/c', 'x'));
        await silent.called;
        expect([data.calls, list.calls, birth.calls, silent.calls]).toEqual([1, 1, 1, 1]);
      });

      test('every watch is told when the session is lost', async () => {
        await apply(session, create('/a'));
        const [data, list, birth] = [listener(), listener(), listener()];
        await session.read('/a', data.hear);
        await session.children('/a', list.hear);
        await session.read('/b', birth.hear);
        peer.cutOff();
        await Promise.all([data.called, list.called, birth.called]);
        expect(session.state).not.toBe('suspended');
        expect([data.calls, list.calls, birth.calls]).toEqual([1, 1, 1]);
      });
    });

    describe('states', () => {
      test('an interruption is a suspension: the same session comes back with its ephemerals', async () => {
        const id = session.sessionId;
        await apply(session, create('/mine', '', 'ephemeral'));
        const states = record(session);
        peer.interrupt();
        await inState(session, 'suspended').catch(() => undefined); // It may be over before it is looked at.
        await session.connected(world.timeoutMs * 2);
        expect(states).toEqual([
          { state: 'suspended', sessionId: id },
          { state: 'connected', sessionId: id },
        ]);
        expect((await session.read('/mine'))?.stat.ephemeralOwner).toBe(id);
      });

      test('a read that was asked while suspended is answered once the connection is back', async () => {
        await apply(session, create('/a', 'x'));
        peer.cutOff();
        await inState(session, 'suspended');
        const read = session.read('/a');
        peer.rejoin();
        expect((await read)?.data.toString()).toBe('x');
      });

      test('a suspended session is not trusted, writes nothing and reads nothing', async () => {
        peer.cutOff();
        await inState(session, 'suspended');
        expect(session.trusted()).toBe(false);
        expect((await session.write([create('/a')])).kind).toBe('notSent');
        expect(await session.prove()).toBe(false);
        const reads = await Promise.allSettled([session.read('/a'), session.children('/'), session.sync()]);
        for (const read of reads) {
          expect(read).toMatchObject({ status: 'rejected', reason: { code: 'ZOOKEEPER_UNAVAILABLE' } });
        }
        peer.rejoin();
        await session.connected(world.timeoutMs * 20);
        expect(await session.read('/a')).toBeNull();
      });

      test('a session that is cut off for its timeout is lost by its own clock, without a word from the server', async () => {
        const id = session.sessionId;
        const states = record(session);
        peer.cutOff();
        await eventually(() => expect(states.map(({ state }) => state)).toContain('lost'), {
          what: 'it is lost',
        });
        expect(states.find(({ state }) => state === 'lost')).toEqual({ state: 'lost', sessionId: id });
        peer.rejoin();
        await session.connected(world.timeoutMs * 20);
        expect(session.sessionId).not.toBe(id);
      });

      test('after an expiry the same object has a new session, and the old ephemerals are gone', async () => {
        const observer = (await world.open()).session;
        const id = session.sessionId;
        await apply(session, create('/mine', '', 'ephemeral'));
        const states = record(session);
        await expire(peer, observer, '/mine');
        await eventually(() => expect(session.sessionId).not.toBe(id), { what: 'there is a new session' });
        await session.connected(world.timeoutMs * 20);
        expect(states.map(({ state }) => state)).toEqual(['suspended', 'lost', 'connecting', 'connected']);
        expect(states.at(-1)?.sessionId).toBe(session.sessionId);
        expect(await session.read('/mine')).toBeNull();
        expect((await session.write([create('/mine', '', 'ephemeral')])).kind).toBe('applied');
      });

      test('a session that is given up is lost at once, its ephemerals go with it, and another takes its place', async () => {
        const observer = (await world.open()).session;
        const id = session.sessionId;
        await apply(session, create('/mine', '', 'ephemeral'));
        const heard = listener();
        await session.read('/mine', heard.hear);
        const states = record(session);
        const startedAt = world.runtime.clock.monotonic();
        session.abandon('a test');
        expect([session.state, session.trusted()]).toEqual(['lost', false]);
        await gone(observer, '/mine');
        expect(world.runtime.clock.monotonic() - startedAt).toBeLessThan(world.timeoutMs * 0.9);
        await heard.called;
        await session.connected(world.timeoutMs * 20);
        expect(session.sessionId).not.toBe(id);
        expect(states.map(({ state }) => state)).toEqual(['lost', 'connecting', 'connected']);
        expect((await session.write([create('/mine', '', 'ephemeral')])).kind).toBe('applied');
      });

      test('a watch that was asked for as its session was given up is none that is never heard', async () => {
        const other = (await world.open()).session;
        await apply(session, create('/there'));
        const heard = listener();
        const read = session.read('/there', heard.hear);
        session.abandon('a test');
        await session.connected(world.timeoutMs * 20);
        await read;
        await apply(other, set('/there', 'changed'));
        await heard.called;
      });

      test('a session that is given up while it cannot be reached is lost all the same', async () => {
        const id = session.sessionId;
        peer.cutOff();
        await inState(session, 'suspended');
        session.abandon('a test');
        expect(session.state).not.toBe('suspended');
        peer.rejoin();
        await session.connected(world.timeoutMs * 20);
        expect(session.sessionId).not.toBe(id);
      });

      test('a server that falls silent is noticed, and trust ends before the server may give the session away', async () => {
        const observer = (await world.open()).session;
        await apply(session, create('/mine', '', 'ephemeral'));
        const freed = listener();
        await observer.sync();
        expect(await observer.read('/mine', freed.hear)).not.toBeNull();
        let trustedAtFreeing: boolean | null = null;
        const watched = freed.called.then(() => {
          trustedAtFreeing = session.trusted();
        });
        expect(session.trusted()).toBe(true);
        peer.freeze();
        await inState(session, 'suspended');
        await watched;
        expect(trustedAtFreeing).toBe(false);
        peer.rejoin();
      });

      test('a write that is sent into silence is unknown within its deadline', async () => {
        peer.freeze();
        const outcome = await session.write([create('/a')], { deadlineMs: 50 });
        expect(outcome.kind).toBe('unknown');
        peer.rejoin();
      });

      test('a write whose reply is lost is unknown, and the next read shows that it was applied', async () => {
        peer.loseNextReply();
        expect((await session.write([create('/a', 'x')])).kind).toBe('unknown');
        await session.connected(world.timeoutMs * 2);
        expect((await session.read('/a'))?.data.toString()).toBe('x');
      });

      test('trust is renewed by proof, and ends a margin before the session timeout', async () => {
        const before = world.runtime.clock.monotonic();
        expect(await session.prove()).toBe(true);
        expect(session.trustedUntil()).toBeGreaterThan(before);
        expect(session.trustedUntil()).toBeLessThan(world.runtime.clock.monotonic() + session.timeoutMs);
        expect(session.timeoutMs).toBe(world.timeoutMs);
      });
    });

    describe('closing', () => {
      test('ends the session on the server: its ephemerals vanish at once', async () => {
        const other = await world.open();
        await apply(other.session, create('/mine', '', 'ephemeral'));
        const startedAt = world.runtime.clock.monotonic();
        await Promise.all([other.session.close(), other.session.close()]);
        await session.sync();
        expect(await session.read('/mine')).toBeNull();
        expect(world.runtime.clock.monotonic() - startedAt).toBeLessThan(world.timeoutMs * 0.9);
      });

      test('a closed session says so, and stays closed', async () => {
        const other = (await world.open()).session;
        const states = record(other);
        await other.close();
        expect(states.map(({ state }) => state)).toEqual(['closed']);
        expect([other.state, other.trusted(), await other.prove()]).toEqual(['closed', false, false]);
        expect((await other.write([create('/a')])).kind).toBe('notSent');
        await expect(other.read('/a')).rejects.toMatchObject({ code: 'CLOSED' });
        await expect(other.connected(1_000)).rejects.toMatchObject({ code: 'CLOSED' });
      });

      test('settles while the ensemble cannot be reached; its ephemerals leave by expiry', async () => {
        const other = await world.open();
        await apply(other.session, create('/mine', '', 'ephemeral'));
        other.cutOff();
        await other.session.close();
        expect(other.session.state).toBe('closed');
        await gone(session, '/mine');
      });

      test('settles what is still waiting', async () => {
        const other = await world.open();
        other.freeze();
        const write = other.session.write([create('/a')]);
        const read = other.session.read('/a').catch((error: unknown) => error);
        await other.session.close();
        expect((await write).kind).toBe('unknown');
        expect(await read).toBeInstanceOf(Error);
      });

      test('waiting for a connection has a deadline', async () => {
        peer.cutOff();
        await inState(session, 'suspended');
        await expect(session.connected(20)).rejects.toMatchObject({ code: 'ZOOKEEPER_UNAVAILABLE' });
      });
    });
  });
}
