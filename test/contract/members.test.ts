// members.test.ts: what holds of an announced member, on the memory twin and on real ZooKeeper.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  announce,
  ensureTree,
  listMembers,
  MemoryEnsemble,
  type Session,
} from '../../src/coordination/index.js';
import { silentLogger, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { ManualClock } from '../support/manual-clock.js';
import { memoryWorld } from '../support/memory-world.js';
import { expire, type Peer, type World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const path = '/workers/w1';
const data = Buffer.from('about me');

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('a member on %s', (_name, setup: () => Promise<World>) => {
  let world: World;
  let observer: Session;
  let peer: Peer;

  beforeEach(async () => {
    world = await setup();
    observer = (await world.open()).session;
    peer = await world.open();
    await ensureTree(observer, ['/workers']);
    await peer.session.sync();
  });
  afterEach(() => world.close());

  /** Resolves once the node is there and belongs to the peer's session of that moment. */
  function stands(): Promise<void> {
    return eventually(
      async () => {
        const owner = (await observer.read(path))?.stat.ephemeralOwner;
        expect(owner).toBe(peer.session.sessionId);
        expect(peer.session.state).toBe('connected');
      },
      { what: 'the member stands in its present session' },
    );
  }

  test('stands once its start resolves, with its data, and is gone once its stop does', async () => {
    const member = announce(peer.session, path, data, world.runtime);
    await member.start();
    await observer.sync();
    expect(await listMembers(observer, '/workers')).toEqual([
      { name: 'w1', data, owner: peer.session.sessionId },
    ]);
    await member.stop();
    await observer.sync();
    expect(await listMembers(observer, '/workers')).toEqual([]);
  });

  test('is made anew in the session that follows an expiry', async () => {
    const member = announce(peer.session, path, data, world.runtime);
    await member.start();
    const before = peer.session.sessionId;
    await expire(peer, observer, path);
    await stands();
    expect(peer.session.sessionId).not.toBe(before);
    await member.stop();
  });

  test('takes the place of a ghost that another session left', async () => {
    await observer.write([{ kind: 'create', path, data: Buffer.from('ghost'), mode: 'ephemeral' }]);
    const member = announce(peer.session, path, data, world.runtime);
    await member.start();
    const node = await peer.session.read(path);
    expect([node?.data.toString(), node?.stat.ephemeralOwner]).toEqual(['about me', peer.session.sessionId]);
    await member.stop();
  });

  test('stands once although the reply to its create was lost', async () => {
    peer.loseNextReply();
    const member = announce(peer.session, path, data, world.runtime);
    await member.start();
    await stands();
    await member.stop();
  });

  test('is put back when someone deletes it', async () => {
    const member = announce(peer.session, path, data, world.runtime);
    await member.start();
    const first = (await peer.session.read(path))?.stat.czxid ?? 0n;
    await observer.write([{ kind: 'delete', path, version: null }]);
    const back = async (): Promise<void> =>
      expect((await peer.session.read(path))?.stat.czxid ?? 0n).toBeGreaterThan(first);
    await eventually(back, { what: 'it is back' });
    await member.stop();
  });

  test('is deleted although the reply to the delete was lost, and does not come back', async () => {
    const member = announce(peer.session, path, data, world.runtime);
    await member.start();
    peer.loseNextReply();
    await member.stop();
    await observer.sync();
    expect(await observer.read(path)).toBeNull();
    peer.interrupt();
    await peer.session.connected(world.timeoutMs * 20);
    await peer.session.sync();
    expect(await peer.session.read(path)).toBeNull();
  });

  test('stops while it cannot reach the ensemble; its node leaves with its session', async () => {
    const member = announce(peer.session, path, data, world.runtime);
    await member.start();
    peer.cutOff();
    await member.stop();
    await eventually(async () => expect(await observer.read(path)).toBeNull(), { what: 'the node is gone' });
  });

  test('a start that is stopped before it could stand rejects', async () => {
    peer.cutOff();
    const member = announce(peer.session, path, data, world.runtime);
    const started = member.start();
    const failed = expect(started).rejects.toMatchObject({ code: 'CLOSED' });
    await member.stop();
    await failed;
  });
});

describe('a member on the memory twin alone', () => {
  async function setUp() {
    const clock = new ManualClock();
    const runtime = { clock, random: systemRandom, log: silentLogger };
    const ensemble = new MemoryEnsemble(clock);
    const session = ensemble.open({ timeoutMs: 1_000 }, runtime);
    const observer = ensemble.open({ timeoutMs: 1_000 }, runtime);
    await clock.advance(0);
    await ensureTree(session, ['/workers']);
    const member = announce(session, path, data, runtime);
    await member.start();
    return { clock, ensemble, session, observer, member };
  }

  test('replaces the ghost of its own last session, which the server still holds', async () => {
    const { clock, ensemble, session, observer, member } = await setUp();
    const before = session.sessionId;
    await clock.advance(50);
    ensemble.partition(session);
    await clock.advance(1_000); // Lost by its own clock; the server waits for its next tick.
    expect((await observer.read(path))?.stat.ephemeralOwner).toBe(before);
    ensemble.heal(session);
    await clock.advance(0);
    expect(session.sessionId).not.toBe(before);
    expect((await observer.read(path))?.stat.ephemeralOwner).toBe(session.sessionId);
    await member.stop();
  });

  test('deletes again when the first delete was lost on its way', async () => {
    const { ensemble, session, observer, member } = await setUp();
    ensemble.loseNextReply(session, { applied: false });
    await member.stop();
    expect(await observer.read(path)).toBeNull();
  });
});
