// scheduler.test.ts: what the leader's looks and passes promise, on the memory twin and on real ZooKeeper: that nothing which
// one task or one worker left behind keeps the others from being mended.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensureTree, type SessionId } from '../../src/coordination/index.js';
import { type Hint, resolvePolicy, type TaskId, type WorkerId } from '../../src/domain/index.js';
import {
  type Claim,
  claimsOf,
  dropClaim,
  move,
  readAllHeld,
  takeClaim,
  workersPath,
} from '../../src/ledger/index.js';
import { ClaimsMonitor } from '../../src/scheduler/claims-monitor.js';
import { type ReconcileOptions, type ReconcileReport, reconcile } from '../../src/scheduler/reconcile.js';
import { join, moves, type Party, recordOf, signalled, spoil, submit, withMethods } from '../support/crew.js';
import { emptyRedis } from '../support/empty-redis.js';
import { eventually } from '../support/eventually.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const noEnd = new AbortController().signal;
const guard = () => ({ kind: 'check', path: '/leader/term', version: null }) as const;

/** As the leader does. */
async function lookAndAct(monitor: ClaimsMonitor, signal = noEnd): Promise<void> {
  await monitor.look();
  await monitor.act(guard, signal);
}

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('the leader on %s', (_name, makeWorld) => {
  let world: World;
  let party: Party;
  let hints: Hint[] = [];

  beforeAll(async () => {
    world = await makeWorld();
    party = await join(world, (more) => void hints.push(...more));
  });
  afterAll(() => world.close());

  async function claim(worker: WorkerId, ids: readonly TaskId[]): Promise<Claim> {
    const { ctx } = party;
    await ensureTree(ctx.session, [claimsOf(worker)]);
    const at = ctx.runtime.clock.now();
    const policy = resolvePolicy(null, null);
    const held = (await readAllHeld(ctx, ids)).filter((each) => each !== null);
    const candidates = held.map((each) => ({
      held: each,
      event: (ref: Claim['ref']) => ({ kind: 'claimed', at, nonce: ref.nonce, claim: ref, policy }) as const,
    }));
    const { claim: made } = await takeClaim(ctx, worker, candidates, { alone: true, doubted: new Set() });
    if (made === null) throw new Error('nothing was claimed');
    return made;
  }

  /** Over the ledger, as the leader makes it. */
  function pass(options: Partial<ReconcileOptions>, deliveries = emptyRedis): Promise<ReconcileReport> {
    return reconcile(party.ctx, deliveries, {
      dedupWindowMs: 60_000,
      historyMs: 60_000,
      kind: 'thorough',
      guard,
      signal: noEnd,
      onOrphan: () => undefined,
      ...options,
    });
  }

  function newWorker(): WorkerId {
    return `w-${world.runtime.random.nonce()}` as WorkerId;
  }

  test('a task that cannot be read keeps no other from being interrupted', async () => {
    const ids = await Promise.all(Array.from({ length: 4 }, () => submit(party, 'job')));
    const [spoilt, ...others] = ids as [TaskId, ...TaskId[]];
    const worker = newWorker();
    const claims = [await claim(worker, [spoilt, others[0] as TaskId]), await claim(worker, others.slice(1))];
    const monitor = new ClaimsMonitor(party.ctx, 0);
    await lookAndAct(monitor);
    await spoil(party, spoilt);
    for (const { path } of claims) await dropClaim(party.ctx, path, noEnd);
    await lookAndAct(monitor);
    for (const id of others) expect((await recordOf(party, id)).state).toBe('uncertain');
  });

  test('while one task of a claim cannot be interrupted, the others are hinted at once and not at every look', async () => {
    const [stuck, waiting] = (await Promise.all([submit(party, 'job'), submit(party, 'job')])) as [
      TaskId,
      TaskId,
    ];
    const { ref, path } = await claim(newWorker(), [stuck, waiting]);
    const monitor = new ClaimsMonitor(party.ctx, 0);
    await lookAndAct(monitor);
    const released = {
      kind: 'released',
      at: world.runtime.clock.now(),
      nonce: ref.nonce,
      notBefore: null,
    } as const;
    await move(party.ctx, waiting, released, { until: { deadlineMs: 1_000 } });
    await dropClaim(party.ctx, path, noEnd);
    party.commits.fault = (ops) => (moves('uncertain')(ops) ? 'notSent' : 'none');
    hints = [];
    for (let n = 0; n < 2; n += 1) await lookAndAct(monitor);
    party.commits.fault = () => 'none';
    expect(hints.filter(({ id }) => id === waiting)).toHaveLength(1);
    await lookAndAct(monitor);
    expect((await recordOf(party, stuck)).state).toBe('uncertain');
  });

  test('a look ends soon once its leader has stepped down, however much is left to interrupt', async () => {
    const worker = newWorker();
    const ids = await Promise.all(Array.from({ length: 40 }, () => submit(party, 'job')));
    const claims = await Promise.all(ids.map((id) => claim(worker, [id])));
    const monitor = new ClaimsMonitor(party.ctx, 0);
    await lookAndAct(monitor);
    for (const { path } of claims) await dropClaim(party.ctx, path, noEnd);
    const stepDown = new AbortController();
    let tried = 0;
    party.commits.fault = (ops) => {
      if (!moves('uncertain')(ops)) return 'none';
      tried += 1;
      stepDown.abort();
      return 'none';
    };
    await lookAndAct(monitor, stepDown.signal);
    party.commits.fault = () => 'none';
    expect(tried).toBeGreaterThan(0);
    expect(tried).toBeLessThanOrEqual(16); // Those of the claims that are dealt with together.
  });

  test('who looks is told when a worker comes or goes, with whom its claims go', async () => {
    const monitor = new ClaimsMonitor(party.ctx, 0);
    const path = `${workersPath}/${newWorker()}`;
    for (const kind of ['create', 'delete'] as const) {
      const told = signalled();
      await monitor.look(told.resolve);
      const data = Buffer.from('{}');
      await party.ctx.session.write([
        kind === 'create' ? { kind, path, data, mode: 'ephemeral' } : { kind, path, version: null },
      ]);
      await told.promise;
    }
  });

  test('a claim that went while nobody led is interrupted by whoever saw it stand and leads next', async () => {
    const id = await submit(party, 'job');
    const { path } = await claim(newWorker(), [id]);
    const standby = new ClaimsMonitor(party.ctx, 0);
    await standby.look();
    await dropClaim(party.ctx, path, noEnd);
    await standby.look();
    expect((await recordOf(party, id)).state).toBe('running');
    standby.forget();
    await standby.act(guard, noEnd);
    expect((await recordOf(party, id)).state).toBe('uncertain');
  });

  test('a claim that stands is not taken for gone because the server of a new session lags behind', async () => {
    const id = await submit(party, 'job');
    await claim(newWorker(), [id]);
    let sessionId = 'before' as SessionId | null;
    let lags = false;
    const session = withMethods(party.ctx.session, {
      get sessionId() {
        return sessionId;
      },
      children: async (path) => (lags ? [] : party.ctx.session.children(path)),
    });
    const monitor = new ClaimsMonitor({ ...party.ctx, session }, 0);
    await monitor.look();
    sessionId = party.ctx.session.sessionId;
    lags = true;
    await lookAndAct(monitor);
    expect((await recordOf(party, id)).state).toBe('running');
  });

  test('a claim that vanished and stands again, as after a restore, is not taken for gone', async () => {
    const { session } = party.ctx;
    const id = await submit(party, 'job');
    const { path } = await claim(newWorker(), [id]);
    const node = await session.read(path);
    if (node === null) throw new Error('the claim does not stand');
    const monitor = new ClaimsMonitor(party.ctx, 0);
    await monitor.look();
    await dropClaim(party.ctx, path, noEnd);
    await monitor.look();
    expect(monitor.dueInMs()).toBeLessThanOrEqual(0); // Gone, and past its grace.
    await session.write([{ kind: 'create', path, data: node.data, mode: 'ephemeral' }]);
    await lookAndAct(monitor);
    expect(monitor.dueInMs()).toBe(Number.POSITIVE_INFINITY);
    expect((await recordOf(party, id)).state).toBe('running');
  });

  test('a claim that goes while its worker has others hurries nobody, and is dealt with all the same', async () => {
    const worker = newWorker();
    const [first, second] = [await submit(party, 'job'), await submit(party, 'job')];
    const claims = [await claim(worker, [first]), await claim(worker, [second])];
    const monitor = new ClaimsMonitor(party.ctx, 0);
    await monitor.look();
    await dropClaim(party.ctx, claims[0]?.path ?? '', noEnd);
    await monitor.look();
    expect(monitor.dueInMs()).toBe(Number.POSITIVE_INFINITY);
    await monitor.act(guard, noEnd);
    expect((await recordOf(party, first)).state).toBe('uncertain');
    await dropClaim(party.ctx, claims[1]?.path ?? '', noEnd);
    await monitor.look();
    expect(monitor.dueInMs()).toBeLessThanOrEqual(0);
  });

  test('what dead workers leave under /claims is removed, and what the living need is not', async () => {
    const [dead, alive, busy] = [newWorker(), newWorker(), newWorker()];
    await claim(busy, [await submit(party, 'job')]);
    await ensureTree(party.ctx.session, [dead, alive].map(claimsOf));
    await party.ctx.session.write([
      { kind: 'create', path: `${workersPath}/${alive}`, data: Buffer.alloc(0), mode: 'ephemeral' },
    ]);
    const monitor = new ClaimsMonitor(party.ctx, 1_000);
    for (let n = 0; n < 2; n += 1) await lookAndAct(monitor);
    expect(await party.ctx.session.children(claimsOf(dead))).toBeNull();
    expect(await party.ctx.session.children(claimsOf(alive))).toEqual([]);
    expect(await party.ctx.session.children(claimsOf(busy))).toHaveLength(1);
  });

  test('a worker whose place under /claims was removed too early makes it again and claims', async () => {
    const worker = newWorker();
    const id = await submit(party, 'job');
    await claim(worker, [await submit(party, 'job')]).then(({ path }) => dropClaim(party.ctx, path, noEnd));
    await party.ctx.session.write([{ kind: 'delete', path: claimsOf(worker), version: null }]);
    const [held] = (await readAllHeld(party.ctx, [id])).filter((each) => each !== null);
    if (held === undefined) throw new Error('no record');
    const at = world.runtime.clock.now();
    const policy = resolvePolicy(null, null);
    const event = (ref: Claim['ref']) =>
      ({ kind: 'claimed', at, nonce: ref.nonce, claim: ref, policy }) as const;
    const { won } = await takeClaim(party.ctx, worker, [{ held, event }], {
      alone: false,
      doubted: new Set(),
    });
    expect(won.map(({ record }) => record.id)).toEqual([id]);
  });

  test('a pass redelivers all that waits, past any record that cannot be read', async () => {
    const ids = await Promise.all(Array.from({ length: 30 }, () => submit(party, 'job')));
    await Promise.all(ids.slice(0, 10).map((id) => spoil(party, id)));
    hints = [];
    await pass({ kind: 'rebuild' });
    expect(hints.map(({ id }) => id)).toEqual(expect.arrayContaining(ids.slice(10)));
  });

  test('what the read model says runs is looked at before the walk, for a leader that is soon another', async () => {
    const [orphan, covered] = (await Promise.all([submit(party, 'job'), submit(party, 'job')])) as [
      TaskId,
      TaskId,
    ];
    const { path } = await claim(newWorker(), [orphan]);
    await claim(newWorker(), [covered]);
    await dropClaim(party.ctx, path, noEnd);
    const orphans: TaskId[] = [];
    await pass(
      { signal: AbortSignal.abort(), onOrphan: ({ id }) => void orphans.push(id) },
      { ...emptyRedis, view: { ...emptyRedis.view, running: async () => [orphan, covered] } },
    );
    expect(orphans).toEqual([orphan]);
  });

  test('a pass that is cut short redelivers what it has found', async () => {
    await Promise.all(Array.from({ length: 30 }, () => submit(party, 'job')));
    const over = new AbortController();
    hints = [];
    const pending = async (): Promise<Set<TaskId>> => {
      over.abort();
      return new Set();
    };
    const { redelivered } = await pass({ kind: 'rebuild', signal: over.signal }, { ...emptyRedis, pending });
    expect(hints.length).toBeGreaterThan(0);
    expect(hints).toHaveLength(redelivered);
  });

  test('a pass redelivers first what has waited longest, wherever it is in the ledger', async () => {
    const ids: TaskId[] = [];
    const { clock } = world.runtime;
    for (let n = 0; n < 12; n += 1) {
      ids.push(await submit(party, 'job'));
      const { acceptedAt } = await recordOf(party, ids.at(-1) as TaskId);
      await eventually(() => expect(clock.now()).toBeGreaterThan(acceptedAt), {
        what: 'a millisecond later',
      });
    }
    hints = [];
    await pass({ kind: 'rebuild' });
    expect(hints.map(({ id }) => id).filter((id) => ids.includes(id))).toEqual(ids);
  });
});
