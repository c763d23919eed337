// finish.test.ts: attempts of one claim that end together are recorded together, each of them once, whatever becomes of their
// transaction; and the claim goes with the last of them or after it. On the memory twin and on real ZooKeeper.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type CommitOptions,
  Commits,
  ensureTree,
  type WriteOp,
  type WriteOutcome,
} from '../../src/coordination/index.js';
import { type Held, type News, resolvePolicy, type WorkerId } from '../../src/domain/index.js';
import {
  cancel,
  claimsOf,
  claimsStanding,
  dropClaim,
  interrupt,
  type MoveOutcome,
  readHeld,
  replay,
  takeClaim,
} from '../../src/ledger/index.js';
import { Hold } from '../../src/worker/hold.js';
import { join, moves, type Party, signalled, submit } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const until = { deadlineMs: 10_000 };
const noEnd = new AbortController().signal;
const leader = { kind: 'check', path: '/leader/term', version: null } as const;

/** Tasks that run under one claim. */
type Claimed = { readonly worker: WorkerId; readonly hold: Hold; readonly running: readonly Held[] };

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('ends of one claim on %s', (_name, makeWorld) => {
  let world: World;
  let one: Party;
  let other: Party;
  const noted: (readonly News[])[] = [];

  beforeAll(async () => {
    world = await makeWorld();
    const none = (): void => undefined;
    one = await join(
      world,
      none,
      (session) => session,
      (news) => void noted.push(news),
    );
    other = await join(world, none);
  });
  afterAll(() => world.close());

  async function claimed(tasks: number, payload = 'x'): Promise<Claimed> {
    const { ctx } = one;
    const worker = `w-${world.runtime.random.nonce()}` as WorkerId;
    await ensureTree(ctx.session, [claimsOf(worker)]);
    const ids = await Promise.all(Array.from({ length: tasks }, () => submit(one, 'job', { payload })));
    const policy = resolvePolicy(null, null);
    const at = ctx.runtime.clock.now();
    const candidates = ids.map(async (id) => {
      const held = await readHeld(ctx, id);
      if (held === null) throw new Error(`no record of ${id}`);
      return { held, event: (claim: Hold['claim']['ref']) => claimedBy(claim) };
    });
    const claimedBy = (claim: Hold['claim']['ref']) =>
      ({ kind: 'claimed', at, nonce: claim.nonce, claim, policy }) as const;
    const options = { alone: false, doubted: new Set<never>() };
    const { claim, won } = await takeClaim(ctx, worker, await Promise.all(candidates), options);
    if (claim === null || won.length < tasks) throw new Error('not all were claimed');
    const hold = new Hold(
      claim,
      won.map(({ record }) => record.id),
    );
    noted.length = 0;
    return { worker, hold, running: won };
  }

  /** As a run does it. */
  async function end(hold: Hold, held: Held, ctx = one.ctx): Promise<MoveOutcome> {
    const { id, nonce } = held.record;
    const at = ctx.runtime.clock.now();
    const event = { kind: 'succeeded', at, nonce, result: { value: id } } as const;
    const { moved, claimDeleted } = await hold.finish(ctx, held, event, { signal: noEnd });
    hold.close(ctx, id, claimDeleted, noEnd);
    return moved;
  }

  const endAll = ({ hold, running }: Claimed): Promise<MoveOutcome[]> =>
    Promise.all(running.map((held) => end(hold, held)));

  const claims = async (worker: WorkerId): Promise<number> =>
    (await claimsStanding(other.ctx, [worker])).flat().length;

  const claimGoes = (worker: WorkerId): Promise<void> =>
    eventually(async () => expect(await claims(worker)).toBe(0), { what: 'the claim is gone' });

  /** `writes`: to each record, since it was claimed. */
  async function expectCompleted(running: readonly Held[], writes = 1): Promise<void> {
    for (const { record, version } of running) {
      const now = await readHeld(other.ctx, record.id);
      expect(now).toMatchObject({
        version: version + writes,
        record: { state: 'completed', result: { value: record.id } },
      });
    }
  }

  test('those of one turn are recorded, noted and rid of their claim in one transaction', async () => {
    const all = await claimed(10);
    const { transactions } = one.commits.stats;
    const outcomes = await endAll(all);
    expect(one.commits.stats.transactions - transactions).toBe(1);
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(10).fill('moved'));
    expect(noted).toEqual([outcomes.map((outcome) => outcome.kind === 'moved' && outcome.held)]);
    expect(await claims(all.worker)).toBe(0);
    await expectCompleted(all.running);
  });

  test('a claim stands until the last of them is recorded, and goes with it', async () => {
    const { worker, hold, running } = await claimed(3);
    const [first, ...rest] = running;
    if (first === undefined) throw new Error('nothing runs');
    await end(hold, first);
    expect(await claims(worker)).toBe(1);
    const { transactions } = one.commits.stats;
    await endAll({ worker, hold, running: rest });
    expect(one.commits.stats.transactions - transactions).toBe(1);
    expect(await claims(worker)).toBe(0);
  });

  test('what ends while the first are on their way is recorded as well, and the claim goes after both', async () => {
    const all = await claimed(4);
    const [first, second, ...rest] = all.running.map((held) => () => end(all.hold, held));
    const early = [first?.(), second?.()];
    await new Promise<void>((resolve) => one.ctx.runtime.clock.atEndOfTurn(resolve));
    await Promise.all([...early, ...rest.map((each) => each())]);
    await claimGoes(all.worker);
    await expectCompleted(all.running);
  });

  test('what one transaction cannot carry goes in several, and the claim after them', async () => {
    const all = await claimed(4, 'x'.repeat(60_000));
    const more = await Promise.all([claimed(4, 'y'.repeat(60_000)), claimed(4, 'z'.repeat(60_000))]);
    const hold = new Hold(
      all.hold.claim,
      [all, ...more].flatMap(({ running }) => running.map(({ record }) => record.id)),
    );
    const running = [all, ...more].flatMap((each) => each.running);
    await endAll({ worker: all.worker, hold, running });
    await claimGoes(all.worker);
    await expectCompleted(running);
  });

  test('one that is larger than a record may be costs none of the others their outcome', async () => {
    const { worker, hold, running } = await claimed(7, 'x'.repeat(60_000));
    const outcomes = running.map(async (held, i) => {
      const { id, nonce } = held.record;
      const at = one.ctx.runtime.clock.now();
      const result = { value: i === 6 ? 'y'.repeat(200_000) : id };
      const event = { kind: 'succeeded', at, nonce, result } as const;
      const { moved, claimDeleted } = await hold.finish(one.ctx, held, event, { signal: noEnd });
      hold.close(one.ctx, id, claimDeleted, noEnd);
      return moved.kind;
    });
    expect(await Promise.all(outcomes)).toEqual(Array(7).fill('moved'));
    await claimGoes(worker);
    await expectCompleted(running.slice(0, 6));
  });

  test.each(['requestLost', 'replyLost', 'notSent'] as const)(
    'each is recorded once, and the claim goes: %s',
    async (fault) => {
      const all = await claimed(5);
      one.commits.failNext(fault, moves('completed'));
      const outcomes = await endAll(all);
      expect(outcomes.map(({ kind }) => kind)).toEqual(Array(5).fill('moved'));
      await claimGoes(all.worker);
      await expectCompleted(all.running);
    },
  );

  test('a claim does not stay when its other tasks have ended before the lost reply is given up', async () => {
    const { worker, hold, running } = await claimed(3);
    const [first, ...rest] = running;
    if (first === undefined) throw new Error('nothing runs');
    const othersEnded = signalled();
    class Forgetful extends Commits {
      override async commit(ops: readonly WriteOp[], options: CommitOptions): Promise<WriteOutcome> {
        const outcome = await super.commit(ops, options);
        await othersEnded.promise;
        return moves('completed')(ops) ? { kind: 'unknown', why: 'a fault' } : outcome;
      }
    }
    const commits = new Forgetful(one.ctx.session, one.generation, one.ctx.runtime.clock);
    const lost = end(hold, first, { ...one.ctx, commits });
    await new Promise<void>((resolve) => one.ctx.runtime.clock.atEndOfTurn(resolve));
    await endAll({ worker, hold, running: rest });
    othersEnded.resolve();
    expect(await lost).toMatchObject({ kind: 'moved' });
    await claimGoes(worker);
    await expectCompleted(running);
  });

  test('each is recorded once when the connection breaks with the reply', async () => {
    const all = await claimed(5);
    one.peer.loseNextReply();
    const outcomes = await endAll(all);
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(5).fill('moved'));
    await claimGoes(all.worker);
    await expectCompleted(all.running);
  });

  test('a cancel that came in between costs neither its task nor the others their outcome', async () => {
    const all = await claimed(5);
    const [first, flagged, ...rest] = all.running;
    if (first === undefined || flagged === undefined) throw new Error('nothing runs');
    await cancel(other.ctx, flagged.record.id, until);
    const outcomes = await endAll(all);
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(5).fill('moved'));
    await claimGoes(all.worker);
    await expectCompleted([first, ...rest]);
    await expectCompleted([flagged], 2);
  });

  test('a claim that is gone meanwhile costs none its outcome', async () => {
    const all = await claimed(5);
    await dropClaim(other.ctx, all.hold.claim.path, noEnd);
    const outcomes = await endAll(all);
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(5).fill('moved'));
    await expectCompleted(all.running);
  });

  test('what others have moved on is refused, and the others are recorded', async () => {
    const all = await claimed(5);
    const [moved, ...rest] = all.running;
    if (moved === undefined) throw new Error('nothing runs');
    expect(await interrupt(other.ctx, moved.record.id, all.hold.claim.ref, leader)).toBe('interrupted');
    await replay(other.ctx, moved.record.id, until);
    const outcomes = await endAll(all);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['refused', ...Array(4).fill('moved')]);
    expect((await readHeld(other.ctx, moved.record.id))?.record).toMatchObject({
      state: 'waiting',
      attempt: 2,
    });
    await claimGoes(all.worker);
    await expectCompleted(rest);
  });
});
