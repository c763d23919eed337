// keys.test.ts: API keys as they are kept, on the memory twin and on real ZooKeeper: made once, shown once, known to every
// process that checks them, and gone for all of them within a second of their revocation.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type KeyInput, keyScopes, limits, parseKeyText } from '../../src/domain/index.js';
import { KeyRing } from '../../src/key-ring.js';
import { Keys } from '../../src/keys.js';
import { keysPath } from '../../src/ledger/index.js';
import { join, type Party, withMethods } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const until = { deadlineMs: 5_000 };
const asked: KeyInput = { name: 'shop', scopes: ['submit', 'read'], queues: ['mail-*'] };

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('keys on %s', (_name, makeWorld) => {
  let world: World;
  let desk: Party;
  let keys: Keys;

  beforeAll(async () => {
    world = await makeWorld();
    desk = await join(world, () => undefined);
    keys = new Keys(desk.ctx, until);
  });
  afterAll(() => world.close());

  /** A process that checks keys, on a connection of its own. */
  async function ring(): Promise<{ ring: KeyRing; party: Party }> {
    const party = await join(world, () => undefined);
    const started = new KeyRing(party.ctx, 5_000);
    await started.start();
    onTestFinished(() => started.stop());
    return { ring: started, party };
  }

  function idOf(key: string) {
    const parsed = parseKeyText(key);
    if (parsed === null) throw new Error(`${key} is no key`);
    return parsed.id;
  }

  test('one that was made is listed without its secret, which is kept nowhere', async () => {
    const { key, ...view } = await keys.create(asked);
    expect(view).toMatchObject({ ...asked, expiresAt: null, createdAt: expect.any(Number) });
    expect(await keys.list()).toContainEqual(view);
    const stored = await desk.ctx.session.read(`${keysPath}/${view.id}`);
    const secret = parseKeyText(key)?.secret ?? '';
    expect(secret).toHaveLength(43);
    expect(stored?.data.toString()).not.toContain(secret);
  });

  test('a process that checks keys knows those of before it and those made since', async () => {
    const before = await keys.create(asked);
    const { ring: watching } = await ring();
    expect(watching.find(idOf(before.key))).toMatchObject({ name: 'shop', scopes: ['submit', 'read'] });
    const since = await keys.create({ ...asked, name: 'later' });
    await eventually(() => expect(watching.find(idOf(since.key))).toMatchObject({ name: 'later' }), {
      what: 'the new key is known',
      deadlineMs: 1_000,
    });
    expect(watching.find(idOf(before.key))).not.toBeNull();
  });

  test('a revoked key is gone within a second for all that check keys, whoever deleted it', async () => {
    const [first, second, kept] = [
      await keys.create(asked),
      await keys.create(asked),
      await keys.create(asked),
    ];
    const rings = [(await ring()).ring, (await ring()).ring];
    await keys.revoke(first.id);
    // As an operator may with ZooKeeper's own shell.
    await desk.ctx.session.write([{ kind: 'delete', path: `${keysPath}/${second.id}`, version: null }]);
    const gone = (): void => {
      for (const each of rings) {
        expect(each.find(idOf(first.key))).toBeNull();
        expect(each.find(idOf(second.key))).toBeNull();
      }
    };
    await eventually(gone, { what: 'it is gone', deadlineMs: 1_000 });
    for (const each of rings) expect(each.find(idOf(kept.key))).not.toBeNull();
    await expect(keys.revoke(first.id)).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
    expect((await keys.list()).map(({ id }) => id)).not.toContain(first.id);
  });

  test('while a process is cut off its last known keys count; what was revoked meanwhile goes when it is back', async () => {
    const [doomed, kept] = [await keys.create(asked), await keys.create(asked)];
    const { ring: watching, party } = await ring();
    party.peer.cutOff();
    await eventually(() => expect(party.peer.session.state).not.toBe('connected'), { what: 'it is cut off' });
    await keys.revoke(doomed.id);
    expect(watching.find(idOf(doomed.key))).not.toBeNull();
    expect(watching.find(idOf(kept.key))).not.toBeNull();
    party.peer.rejoin();
    await eventually(() => expect(watching.find(idOf(doomed.key))).toBeNull(), {
      what: 'the revoked is gone',
    });
    expect(watching.find(idOf(kept.key))).not.toBeNull();
  });

  test('what cannot be read lets nobody in, and keeps no other out', async () => {
    const path = `${keysPath}/${'e'.repeat(16)}`;
    await desk.ctx.session.write([{ kind: 'create', path, data: Buffer.from('{}'), mode: 'persistent' }]);
    onTestFinished(async () => {
      await desk.ctx.session.write([{ kind: 'delete', path, version: null }]);
    });
    const { key } = await keys.create(asked);
    const { ring: watching } = await ring();
    expect(watching.find('e'.repeat(16) as never)).toBeNull();
    expect(watching.find(idOf(key))).not.toBeNull();
  });

  test.each(['requestLost', 'replyLost', 'notSent'] as const)(
    'is made once although its transaction meets %s',
    async (fault) => {
      const before = (await keys.list()).length;
      desk.commits.failNext(fault, (ops) => ops.some(({ path }) => path.startsWith(keysPath)));
      const { key } = await keys.create({ name: fault, scopes: keyScopes });
      expect((await keys.list()).length).toBe(before + 1);
      expect((await ring()).ring.find(idOf(key))).toMatchObject({ name: fault });
    },
  );

  test('an id that is taken, by whatever chance, is not given out again', async () => {
    const nonce = desk.ctx.runtime.random.nonce();
    const random = { ...desk.ctx.runtime.random, nonce: () => nonce };
    const runtime = { ...desk.ctx.runtime, random: { ...random, roll: () => 0.5 } };
    const unlucky = new Keys({ ...desk.ctx, runtime }, { deadlineMs: 300 });
    const { id } = await unlucky.create({ ...asked, name: 'first' });
    await expect(unlucky.create({ ...asked, name: 'second' })).rejects.toMatchObject({
      code: 'ZOOKEEPER_UNAVAILABLE',
    });
    expect((await keys.list()).filter((key) => key.id === id)).toMatchObject([{ name: 'first' }]);
  });

  test('no more are made than there may be', async () => {
    const session = withMethods(desk.ctx.session, {
      read: async (path) => {
        const node = await desk.ctx.session.read(path);
        return node && { ...node, stat: { ...node.stat, numChildren: limits.keysMax } };
      },
    });
    const full = new Keys({ ...desk.ctx, session }, until);
    await expect(full.create(asked)).rejects.toMatchObject({ code: 'KEY_LIMIT' });
  });

  test('is revoked although the reply is lost', async () => {
    const { id } = await keys.create(asked);
    let lost = false;
    const session = withMethods(desk.ctx.session, {
      write: async (ops, options) => {
        const outcome = await desk.ctx.session.write(ops, options);
        if (lost) return outcome;
        lost = true;
        return { kind: 'unknown', why: 'a fault' };
      },
    });
    await new Keys({ ...desk.ctx, session }, until).revoke(id);
    expect(lost).toBe(true);
    expect((await keys.list()).map((key) => key.id)).not.toContain(id);
  });

  test('a process that cannot read the keys does not start', async () => {
    const party = await join(world, () => undefined);
    const session = withMethods(party.ctx.session, { children: () => new Promise(() => undefined) });
    const deaf = new KeyRing({ ...party.ctx, session }, 50);
    await expect(deaf.start()).rejects.toMatchObject({ code: 'ZOOKEEPER_UNAVAILABLE' });
  });
});
