// watched.test.ts: what holds of a watched value and of the tree made at start-up, on the memory twin and on real ZooKeeper.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  ensureTree,
  type Session,
  type Watch,
  watchChildren,
  watchNode,
} from '../../src/coordination/index.js';
import { eventually } from '../support/eventually.js';
import { memoryWorld } from '../support/memory-world.js';
import { expire, type Peer, type World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('on %s', (_name, setup: () => Promise<World>) => {
  let world: World;
  let writer: Session;
  let peer: Peer;
  const watches: Watch[] = [];

  beforeEach(async () => {
    world = await setup();
    writer = (await world.open()).session;
    peer = await world.open();
  });
  afterEach(async () => {
    await Promise.all(watches.splice(0).map((watch) => watch.stop()));
    await world.close();
  });

  async function put(path: string, text: string): Promise<void> {
    const data = Buffer.from(text);
    const set = await writer.write([{ kind: 'set', path, data, version: null }]);
    if (set.kind === 'applied') return;
    const made = await writer.write([{ kind: 'create', path, data, mode: 'persistent' }]);
    expect(made.kind).toBe('applied');
  }

  /** What the watch called back with so far. */
  function follow(
    path: string,
    onValue: (value: string | null) => void | Promise<void> = () => undefined,
  ): (string | null)[] {
    const seen: (string | null)[] = [];
    const record = (value: string | null): void | Promise<void> => {
      seen.push(value);
      return onValue(value);
    };
    watches.push(watchNode(peer.session, path, String, record, world.runtime));
    return seen;
  }

  function lastOf(seen: (string | null)[], value: string | null): Promise<void> {
    const look = (): void => {
      expect(seen.length).toBeGreaterThan(0);
      expect(seen.at(-1)).toBe(value);
    };
    return eventually(look, { what: `the last value is ${value}` });
  }

  describe('a watched value', () => {
    test('tells the present value at once, and null where there is no node', async () => {
      await put('/a', '1');
      const [there, missing] = [follow('/a'), follow('/b')];
      await lastOf(there, '1');
      await lastOf(missing, null);
      expect([there, missing]).toEqual([['1'], [null]]);
    });

    test('tells creation, changes and deletion', async () => {
      const seen = follow('/a');
      await lastOf(seen, null);
      for (const text of ['1', '2', '3']) {
        await put('/a', text);
        await lastOf(seen, text);
      }
      await writer.write([{ kind: 'delete', path: '/a', version: null }]);
      await lastOf(seen, null);
      expect(seen).toEqual([null, '1', '2', '3', null]);
    });

    test('of a burst of changes the last is told, and no two callbacks run at once', async () => {
      let running = 0;
      let runningMax = 0;
      const seen = follow('/a', async () => {
        running += 1;
        runningMax = Math.max(runningMax, running);
        await writer.sync();
        running -= 1;
      });
      for (let n = 0; n < 30; n += 1) await put('/a', String(n));
      await lastOf(seen, '29');
      expect(runningMax).toBe(1);
    });

    test('a change made while the connection was broken is told; a reconnect without one tells nothing', async () => {
      await put('/a', '1');
      const seen = follow('/a');
      await lastOf(seen, '1');
      peer.interrupt();
      await eventually(() => expect(peer.session.state).toBe('connected'), { what: 'connected again' });
      peer.cutOff();
      await put('/a', '2');
      peer.rejoin();
      await lastOf(seen, '2');
      expect(seen).toEqual(['1', '2']);
    });

    test('changes are followed in the session after an expiry', async () => {
      await put('/a', '1');
      await peer.session.write([{ kind: 'create', path: '/mine', data: Buffer.alloc(0), mode: 'ephemeral' }]);
      const seen = follow('/a');
      await lastOf(seen, '1');
      await expire(peer, writer, '/mine');
      await put('/a', '2');
      await lastOf(seen, '2');
      await put('/a', '3');
      await lastOf(seen, '3');
    });

    test('a callback that throws is called again with the value of then', async () => {
      await put('/a', '1');
      let failures = 2;
      const seen = follow('/a', () => {
        failures -= 1;
        if (failures >= 0) throw new Error('on purpose');
      });
      await eventually(() => expect(seen).toEqual(['1', '1', '1']), {
        what: 'it was called until it succeeded',
      });
      await put('/a', '2');
      await lastOf(seen, '2');
      expect(seen).toHaveLength(4);
    });

    test('once stopped, nothing is told any more', async () => {
      await put('/a', '1');
      const seen = follow('/a');
      await lastOf(seen, '1');
      await watches[0]?.stop();
      await put('/a', '2');
      await peer.session.sync();
      expect((await peer.session.read('/a'))?.data.toString()).toBe('2');
      expect(seen).toEqual(['1']);
    });
  });

  describe('a watched list of children', () => {
    /** What the watch called back with so far. */
    function followChildren(path: string): string[] {
      const seen: string[] = [];
      const record = (names: readonly string[]): void => void seen.push(names.join(' '));
      watches.push(watchChildren(peer.session, path, record, world.runtime));
      return seen;
    }

    test('tells the names at once, sorted, and after each is made or deleted; not when data change', async () => {
      for (const path of ['/a', '/a/2', '/a/1']) await put(path, '');
      const seen = followChildren('/a');
      await lastOf(seen, '1 2');
      await put('/a/1', 'changed');
      await put('/a', 'changed');
      await put('/a/3', '');
      await lastOf(seen, '1 2 3');
      await writer.write([{ kind: 'delete', path: '/a/2', version: null }]);
      await lastOf(seen, '1 3');
      expect(seen).toEqual(['1 2', '1 2 3', '1 3']);
    });

    test('what changed while the connection was broken, and in the session after an expiry, is told', async () => {
      await put('/a', '');
      await peer.session.write([{ kind: 'create', path: '/mine', data: Buffer.alloc(0), mode: 'ephemeral' }]);
      const seen = followChildren('/a');
      await lastOf(seen, '');
      peer.cutOff();
      await put('/a/1', '');
      peer.rejoin();
      await lastOf(seen, '1');
      await expire(peer, writer, '/mine');
      await put('/a/2', '');
      await lastOf(seen, '1 2');
    });

    test('of a node that is not there yet is told once it is', async () => {
      const seen = followChildren('/a');
      await peer.session.sync();
      await put('/a', '');
      await lastOf(seen, '');
    });
  });

  describe('the tree', () => {
    const paths = ['/tree', ...Array.from({ length: 230 }, (_, n) => `/tree/${n}`), '/tree/7/deep'];

    test('is made where it is missing; what exists is left as it is', async () => {
      await put('/tree', 'kept');
      await ensureTree(writer, paths);
      await ensureTree(writer, paths);
      expect(await writer.children('/tree')).toHaveLength(230);
      expect(await writer.children('/tree/7')).toEqual(['deep']);
      expect((await writer.read('/tree'))?.data.toString()).toBe('kept');
    });

    test('may be made by several processes at once', async () => {
      await Promise.all([ensureTree(writer, paths), ensureTree(peer.session, paths)]);
      await writer.sync();
      expect(await writer.children('/tree')).toHaveLength(230);
    });

    test('is made although a reply is lost', async () => {
      peer.loseNextReply();
      await ensureTree(peer.session, paths);
      expect(await peer.session.children('/tree')).toHaveLength(230);
    });

    test('a parent that is missing is an error', async () => {
      await expect(ensureTree(writer, ['/no/child'])).rejects.toMatchObject({
        code: 'ZOOKEEPER_UNAVAILABLE',
      });
    });
  });
});
