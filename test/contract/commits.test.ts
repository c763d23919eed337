// commits.test.ts: what transactions that share a multi cost each other when some of them are refused.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Session, WriteOutcome } from '../../src/coordination/index.js';
import { limits } from '../../src/domain/index.js';
import { join, type Party, signalled, withMethods } from '../support/crew.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';

let world: World;
let party: Party;
beforeAll(async () => {
  world = await memoryWorld();
  party = await join(world, () => undefined);
});
afterAll(() => world.close());

const together = 200;

/** Makes that many nodes at once, of which every `nth` is there already; resolves with their outcomes and the multis it took. */
async function made(
  name: string,
  nth: number,
): Promise<{ outcomes: WriteOutcome['kind'][]; multis: number }> {
  const { commits } = party;
  const create = (i: number): Promise<WriteOutcome> =>
    commits.commit(
      [{ kind: 'create', path: `/tasks/00/${name}${i}`, data: Buffer.alloc(0), mode: 'persistent' }],
      { lane: 'write' },
    );
  const all = Array.from({ length: together }, (_, i) => i);
  await Promise.all(all.filter((i) => i % nth === nth - 1).map(create));
  const before = commits.stats.multis;
  const outcomes = await Promise.all(all.map(create));
  return { outcomes: outcomes.map(({ kind }) => kind), multis: commits.stats.multis - before };
}

test('one in a hundred refused: the others still go together', async () => {
  const { outcomes, multis } = await made('few', 100);
  expect(outcomes.filter((kind) => kind === 'refused')).toHaveLength(2);
  expect(outcomes.filter((kind) => kind === 'applied')).toHaveLength(together - 2);
  expect(multis).toBeLessThan(20);
});

test('every other one refused: hardly more multis than transactions', async () => {
  const { outcomes, multis } = await made('half', 2);
  expect(outcomes.filter((kind) => kind === 'refused')).toHaveLength(together / 2);
  expect(multis).toBeLessThan(1.6 * together);
});

test('all refused: about a multi each', async () => {
  const { outcomes, multis } = await made('all', 1);
  expect(new Set(outcomes)).toEqual(new Set(['refused']));
  expect(multis).toBeLessThan(1.1 * together);
});

test('what is gathered until a multi leaves shares it with what was committed before', async () => {
  const { commits } = await join(world, () => undefined);
  const commit = (name: string): Promise<WriteOutcome> =>
    commits.commit(
      [{ kind: 'create', path: `/tasks/00/${name}`, data: Buffer.alloc(0), mode: 'persistent' }],
      { lane: 'write' },
    );
  const { multis, transactions } = commits.stats;
  const early = commit('early');
  const gathered = new Promise<WriteOutcome>((resolve) => {
    commits.whenLeaving('write', () => resolve(commit('gathered')));
  });
  const outcomes = await Promise.all([early, gathered, commit('late')]);
  expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'applied', 'applied']);
  expect([commits.stats.multis - multis, commits.stats.transactions - transactions]).toEqual([1, 3]);
});

test('while as many multis are in flight as may be, more is gathered; then it leaves', async () => {
  const { commits } = await join(world, () => undefined);
  const endOfTurn = (): Promise<void> => new Promise((resolve) => world.runtime.clock.atEndOfTurn(resolve));
  const inFlight: Promise<WriteOutcome>[] = [];
  for (let n = 0; n < limits.multisInFlightMax; n += 1) {
    const op = { kind: 'check', path: '/tasks', version: null } as const;
    inFlight.push(commits.commit([op], { lane: 'write', alone: true }));
  }
  let answered = 0;
  for (const each of inFlight) void each.then(() => (answered += 1));
  await endOfTurn();
  const answeredBefore = await new Promise<number>((resolve) => {
    commits.whenLeaving('write', () => resolve(answered));
  });
  expect(answeredBefore).toBeGreaterThan(0);
});

/** Commits whose multis are held back until `answer` resolves, and the sizes of those that have left. */
async function held() {
  const sizes: number[] = [];
  const answer = signalled();
  const hold = (session: Session): Session =>
    withMethods(session, {
      write: async (ops, options) => {
        sizes.push(ops.length);
        await answer.promise;
        return session.write(ops, options);
      },
    });
  const { commits } = await join(world, () => undefined, hold);
  const outcomes: Promise<WriteOutcome>[] = [];
  const endOfTurn = (): Promise<void> => new Promise((resolve) => world.runtime.clock.atEndOfTurn(resolve));
  const commitChecks = async (count: number, alone = false): Promise<void> => {
    const check = { kind: 'check', path: '/tasks', version: null } as const;
    outcomes.push(commits.commit(Array(count).fill(check), { lane: 'write', alone }));
    await endOfTurn();
  };
  const allApplied = async (): Promise<void> => {
    answer.resolve();
    expect(new Set((await Promise.all(outcomes)).map(({ kind }) => kind))).toEqual(new Set(['applied']));
  };
  return { commits, sizes, commitChecks, endOfTurn, allApplied };
}

const full = limits.multiOpsMax - 1;

test('beside two multis in flight only full ones leave, up to as many as may be', async () => {
  const { sizes, commitChecks, allApplied } = await held();
  const left: number[] = [];
  for (const count of [1, 2, 3, full - 3, full, full, 4]) {
    await commitChecks(count);
    left.push(sizes.length);
  }
  expect(left).toEqual([1, 2, 2, 3, 4, 4, 4]);
  await allApplied();
  expect(sizes).toEqual([2, 3, full + 1, full + 1, full + 1, 5]);
});

test('one that is not full leaves beside two that go alone', async () => {
  const { sizes, commitChecks, allApplied } = await held();
  for (const [count, alone] of [
    [1, true],
    [2, true],
    [3, false],
  ] as const)
    await commitChecks(count, alone);
  expect(sizes).toEqual([2, 3, 4]);
  await allApplied();
});

test('nothing is gathered while nothing can leave, and all as soon as a full multi does', async () => {
  const { commits, sizes, commitChecks, endOfTurn, allApplied } = await held();
  for (const count of [1, 2]) await commitChecks(count);
  let isGathered = false;
  commits.whenLeaving('write', () => {
    isGathered = true;
  });
  await endOfTurn();
  expect(isGathered).toBe(false);
  await commitChecks(full);
  expect([isGathered, sizes.length]).toEqual([true, 3]);
  await allApplied();
});
