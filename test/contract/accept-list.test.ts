// accept-list.test.ts: tasks that are submitted as a list: each has the outcome that it would have alone, on the memory twin and on
// real ZooKeeper; and what a list costs, whatever of it is there already.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type CommitOptions,
  Commits,
  type WriteOp,
  type WriteOutcome,
} from '../../src/coordination/index.js';
import {
  ClaimkeeperError,
  type Hint,
  limits,
  type News,
  parseSubmission,
  type Submission,
  type TaskId,
} from '../../src/domain/index.js';
import { type AcceptOutcome, acceptAll, readAllHeld, recordPath } from '../../src/ledger/index.js';
import { delay } from '../../src/runtime/index.js';
import { type Fault, join, type Party, withMethods } from '../support/crew.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

type Desk = Party & { readonly hints: Hint[]; readonly news: News[] };

async function desk(world: World): Promise<Desk> {
  const hints: Hint[] = [];
  const news: News[] = [];
  const party = await join(
    world,
    (more) => void hints.push(...more),
    undefined,
    (more) => void news.push(...more),
  );
  return { ...party, hints, news };
}

let serial = 0;

/** Tasks of a list of their own, unless `list` names one. */
function listOf(count: number, more: { list?: number; payload?: unknown } = {}): Submission[] {
  serial += 1;
  const { list = serial, payload = null } = more;
  return Array.from({ length: count }, (_, i) =>
    parseSubmission(
      { id: `list-${list}-${i}`, type: 'note', payload },
      0 as Parameters<typeof parseSubmission>[1],
    ),
  );
}

type Told = AcceptOutcome['kind'] | ClaimkeeperError['code'];

/** What each was told, in the order of the list: nobody twice. */
async function told(
  { ctx }: Party,
  tasks: readonly Submission[],
  { likelyThere = false, deadlineMs = 10_000 } = {},
): Promise<Told[]> {
  const outcomes = new Map<number, Told>();
  await acceptAll(ctx, tasks, { deadlineMs, likelyThere }, (place, outcome) => {
    expect(outcomes.has(place)).toBe(false);
    outcomes.set(place, outcome instanceof ClaimkeeperError ? outcome.code : outcome.kind);
  });
  return tasks.map((_, place) => outcomes.get(place) as Told);
}

/** How many were told what. */
function counted(outcomes: readonly Told[]): Partial<Record<Told, number>> {
  const counts: Partial<Record<Told, number>> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

const idsOf = (tasks: readonly { readonly id: TaskId }[]): TaskId[] => tasks.map(({ id }) => id).sort();
const part = limits.envelopeTasksMax;

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('a list on %s', (_name, makeWorld) => {
  let world: World;
  let a: Desk;
  let b: Desk;

  beforeAll(async () => {
    world = await makeWorld();
    [a, b] = [await desk(world), await desk(world)];
  });
  beforeEach(() => {
    for (const { hints, news } of [a, b]) {
      hints.length = 0;
      news.length = 0;
    }
  });
  afterAll(() => world.close());

  /** Each is there once, as it was made, and was delivered and noted once. */
  async function expectMade(by: Desk, tasks: readonly Submission[]): Promise<void> {
    const held = await readAllHeld(b.ctx, idsOf(tasks));
    expect(held.map((each) => each?.version)).toEqual(tasks.map(() => 0));
    expect(idsOf(by.hints)).toEqual(idsOf(tasks));
    expect(idsOf(by.news.map(({ record }) => record))).toEqual(idsOf(tasks));
  }

  test('is accepted by one transaction for each envelope of it', async () => {
    const tasks = listOf(3 * part + 1);
    const before = a.commits.stats.transactions;
    expect(counted(await told(a, tasks))).toEqual({ created: tasks.length });
    expect(a.commits.stats.transactions - before).toBe(4);
    await expectMade(a, tasks);
  });

  test('tells what was there from what is new, and another content from the same', async () => {
    const list = ++serial;
    const there = listOf(part + 5, { list });
    await told(b, there);
    const other = listOf(1, { list, payload: 'another' });
    const fresh = listOf(part);
    const tasks = [...fresh, ...other, ...there.slice(1)];
    const expected = { created: part, conflict: 1, same: part + 4 };
    expect(counted(await told(a, tasks))).toEqual(expected);
    await expectMade(a, fresh);
    expect(counted(await told(a, tasks, { likelyThere: true }))).toEqual({ same: 2 * part + 4, conflict: 1 });
    await expectMade(a, fresh);
  });

  test('that two submit at once is made once', async () => {
    const tasks = listOf(5 * part);
    const [byA, byB] = await Promise.all([told(a, tasks), told(b, [...tasks].reverse())]);
    expect(counted([...byA, ...byB])).toEqual({ created: tasks.length, same: tasks.length });
    const made = { ...a, hints: [...a.hints, ...b.hints], news: [...a.news, ...b.news] };
    await expectMade(made, tasks);
  });

  test('that names a task twice makes it once', async () => {
    const tasks = listOf(part - 1);
    expect(counted(await told(a, [...tasks, ...tasks]))).toEqual({
      created: tasks.length,
      same: tasks.length,
    });
    await expectMade(a, tasks);
  });

  test.each<Fault>(['replyLost', 'requestLost', 'notSent'])(
    'of which a transaction meets %s is made once',
    async (fault) => {
      const tasks = listOf(2 * part);
      a.commits.failNext(fault, () => true);
      expect(counted(await told(a, tasks))).toEqual({ created: tasks.length });
      await expectMade(a, tasks);
    },
  );

  test('whose reply is lost with the connection is found to have been made', async () => {
    const tasks = listOf(2 * part);
    a.peer.loseNextReply();
    expect(counted(await told(a, tasks))).toEqual({ created: tasks.length });
    await expectMade(a, tasks);
  });

  test('with a record that cannot be read is accepted but for that one', async () => {
    const tasks = listOf(part);
    const [spoilt] = tasks as [Submission];
    const data = Buffer.from('no record');
    await b.ctx.session.write([{ kind: 'create', path: recordPath(spoilt.id), data, mode: 'persistent' }]);
    expect(await told(a, tasks)).toEqual(['RECORD_UNREADABLE', ...tasks.slice(1).map(() => 'created')]);
  });

  test('of large payloads fits', async () => {
    const tasks = listOf(20, { payload: 'x'.repeat(limits.payloadBytesMax - 2) });
    expect(counted(await told(a, tasks))).toEqual({ created: 20 });
    await expectMade(a, tasks);
  });

  test.each<Fault>(['requestLost', 'notSent'])(
    'is not written any more once its time is over: %s',
    async (fault) => {
      const tasks = listOf(3);
      class Slow extends Commits {
        override async commit(ops: readonly WriteOp[], options: CommitOptions): Promise<WriteOutcome> {
          if (ops.length === 1) return super.commit(ops, options);
          await delay(a.ctx.runtime.clock, 60);
          return { kind: fault === 'notSent' ? 'notSent' : 'unknown', why: 'a fault' };
        }
      }
      const commits = new Slow(a.ctx.session, a.generation, a.ctx.runtime.clock);
      const outcomes = await told({ ...a, ctx: { ...a.ctx, commits } }, tasks, { deadlineMs: 50 });
      expect(counted(outcomes)).toEqual({ unavailable: 3 });
      expect(await readAllHeld(b.ctx, idsOf(tasks))).toEqual([null, null, null]);
    },
  );

  test('that was sent before its session was closed is not said to be refused', async () => {
    const c = await desk(world);
    c.commits.failNext('replyLost', () => true);
    c.commits.onOutcome = () => void c.peer.session.close();
    const tasks = listOf(3);
    const ends: unknown[] = [];
    await acceptAll(
      c.ctx,
      tasks,
      { deadlineMs: 10_000, likelyThere: false },
      (_, end) => void ends.push(end),
    );
    expect(ends).toEqual(tasks.map(() => ({ kind: 'unavailable', sent: true })));
    expect((await readAllHeld(b.ctx, idsOf(tasks))).every((held) => held !== null)).toBe(true);
  });

  test('that cannot be accepted in time is unavailable, and says whether it was sent', async () => {
    a.commits.fault = (ops) => (ops.length > 1 ? 'requestLost' : 'notSent');
    expect(counted(await told(a, listOf(3), { deadlineMs: 50 }))).toEqual({ unavailable: 3 });
    a.commits.fault = () => 'none';
    expect(a.hints).toEqual([]);
  });
});

describe('what a list costs of which some are there already', () => {
  const tasks = 1_000;
  const parts = tasks / part;

  /** Multis and requests for reading, of a list of which one in `nth` is there. */
  async function costOf(nth: number, likelyThere: boolean): Promise<{ multis: number; reads: number }> {
    const world = await memoryWorld();
    try {
      const party = await desk(world);
      const list = listOf(tasks);
      await told(
        party,
        list.filter((_, i) => i % nth === 0),
      );
      let reads = 0;
      const session = withMethods(party.ctx.session, {
        readAll: (paths) => {
          reads += 1;
          return party.ctx.session.readAll(paths);
        },
        read: (path) => {
          reads += 1;
          return party.ctx.session.read(path);
        },
      });
      const { stats } = party.commits;
      const before = stats.multis;
      const outcomes = await told({ ...party, ctx: { ...party.ctx, session } }, list, { likelyThere });
      const same = Math.ceil(tasks / nth);
      expect(counted(outcomes)).toEqual({ same, ...(same < tasks ? { created: tasks - same } : {}) });
      return { multis: stats.multis - before, reads };
    } finally {
      await world.close();
    }
  }

  test.each([
    ['one in a hundred', 100],
    ['one in ten', 10],
    ['each', 1],
  ])('%s: no part of it is refused twice on its own, nor looked at twice', async (_share, nth) => {
    const { multis, reads } = await costOf(nth, false);
    const refused = Math.min(parts, Math.ceil(tasks / nth));
    expect(reads).toBeLessThanOrEqual(refused);
    // Together with others and on its own, and what is left of it; those that shared a multi with it go again.
    expect(multis).toBeLessThanOrEqual(2 * parts);
  });

  test.each([
    ['one in ten', 10],
    ['each', 1],
  ])('%s, and so it was in the list before: nothing is refused', async (_share, nth) => {
    const { multis, reads } = await costOf(nth, true);
    expect(reads).toBe(parts);
    expect(multis).toBeLessThanOrEqual(nth === 1 ? 0 : Math.ceil(tasks / (limits.multiOpsMax - part)));
  });
});
