// fleet.test.ts: the fleet as it is read: each worker with what it has taken, in one reading for all of them.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { FleetMember, Name, WorkerId } from '../../src/domain/index.js';
import { readFleet } from '../../src/fleet.js';
import { claimsOf, workersPath } from '../../src/ledger/index.js';
import { join, type Party, withMethods } from '../support/crew.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const described = {
  ...{ pid: 7, host: 'h', queues: ['mail' as Name], types: ['job' as Name] },
  ...{ concurrency: 10, startedAt: 1_700_000_000_000 },
};

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('the fleet on %s', (_name, makeWorld) => {
  let world: World;
  let desk: Party;

  beforeAll(async () => {
    world = await makeWorld();
    desk = await join(world, () => undefined);
  });
  afterAll(() => world.close());

  /** A worker that says `what` of itself, and has a claim of each of `batches`. */
  async function worker(id: string, what: string, batches: readonly (readonly string[])[] = []) {
    const { session } = desk.ctx;
    const node = (path: string, data: string) =>
      ({ kind: 'create', path, data: Buffer.from(data), mode: 'persistent' }) as const;
    const parent = claimsOf(id as WorkerId);
    const paths = batches.map((_, i) => `${parent}/claim-n-000000000${i}`);
    const claims = batches.map((tasks, i) => node(paths[i] ?? '', JSON.stringify({ tasks })));
    const all = [`${workersPath}/${id}`, parent, ...paths];
    await session.write([node(all[0] ?? '', what), node(parent, ''), ...claims]);
    onTestFinished(async () => {
      for (const path of all.reverse()) await session.write([{ kind: 'delete', path, version: null }]);
    });
  }

  function member(id: string, tasks: readonly string[]): object {
    return { id, ...described, session: expect.any(String), tasks } satisfies Record<
      keyof FleetMember,
      unknown
    >;
  }

  function byId(fleet: readonly FleetMember[]): readonly FleetMember[] {
    const sorted = fleet.map(({ tasks, ...member }) => ({ ...member, tasks: [...tasks].sort() }));
    return sorted.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  test('each has what its own claims name', async () => {
    const about = JSON.stringify(described);
    await worker('w1', about, [['a', 'b'], ['c']]);
    await worker('w2', about);
    await worker('w3', about, [['d']]);
    expect(byId(await readFleet(desk.ctx))).toEqual([
      member('w1', ['a', 'b', 'c']),
      member('w2', []),
      member('w3', ['d']),
    ]);
  });

  test('one whose word cannot be read does not hide the others', async () => {
    await worker('w1', JSON.stringify(described));
    for (const [i, what] of ['no JSON', 'null', '7', '{"pid":7}', ''].entries()) await worker(`x${i}`, what);
    expect(await readFleet(desk.ctx)).toEqual([member('w1', [])]);
  });

  test('all claims are listed at once, and all of them read at once', async () => {
    for (const id of ['w1', 'w2', 'w3']) await worker(id, JSON.stringify(described), [[id]]);
    const { session } = desk.ctx;
    const asked: string[] = [];
    const counted = withMethods(session, {
      childrenOfAll: (paths) => {
        asked.push(`list ${paths.length}`);
        return session.childrenOfAll(paths);
      },
      readAll: (paths) => {
        asked.push(`read ${paths.length}`);
        return session.readAll(paths);
      },
    });
    expect(await readFleet({ ...desk.ctx, session: counted })).toHaveLength(3);
    expect(asked).toEqual(['list 3', 'read 3']);
  });
});
