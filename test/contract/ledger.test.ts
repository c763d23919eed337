// ledger.test.ts: the ledger's contract, on the memory twin and on real ZooKeeper: one suite, both must keep it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Commits, ensureTree, Generation } from '../../src/coordination/index.js';
import {
  type Held,
  type Hint,
  type Nonce,
  parseSubmission,
  resolvePolicy,
  type SubmissionInput,
  type TaskId,
  type WorkerId,
} from '../../src/domain/index.js';
import {
  accept,
  type Candidate,
  type ClaimOptions,
  cancel,
  claimsOf,
  claimsStanding,
  dropClaim,
  interrupt,
  type LedgerContext,
  move,
  orphansOf,
  readHeld,
  recordPath,
  replay,
  resolve,
  takeClaim,
  treePaths,
  walk,
} from '../../src/ledger/index.js';
import { withMethods } from '../support/crew.js';
import { memoryWorld } from '../support/memory-world.js';
import { expire, type Peer, type World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

type Party = {
  readonly ctx: LedgerContext;
  readonly peer: Peer;
  readonly generation: Generation;
  readonly hints: Hint[];
};

const until = { deadlineMs: 10_000 };
const once: ClaimOptions = { alone: false, doubted: new Set() };
const noEnd = new AbortController().signal;

async function join(world: World): Promise<Party> {
  const peer = await world.open();
  await ensureTree(peer.session, treePaths);
  const generation = new Generation(peer.session, world.runtime);
  await generation.prove();
  const hints: Hint[] = [];
  const commits = new Commits(peer.session, generation, world.runtime.clock);
  const deliver = (more: readonly Hint[]): void => void hints.push(...more);
  return {
    ctx: { session: peer.session, commits, deliver, note: () => undefined, runtime: world.runtime },
    peer,
    generation,
    hints,
  };
}

let serial = 0;
function input(more: Partial<SubmissionInput> = {}): SubmissionInput {
  serial += 1;
  return { id: `task-${serial}`, type: 'mail', payload: { to: 'a@example.org' }, ...more };
}

async function submit({ ctx }: Party, more: Partial<SubmissionInput> = {}): Promise<Held> {
  const task = parseSubmission(input(more), ctx.runtime.clock.now());
  const outcome = await accept(ctx, task, until);
  expect(outcome.kind).toBe('created');
  return mustHold(await readHeld(ctx, task.id));
}

function mustHold(held: Held | null): Held {
  if (held === null) throw new Error('no record');
  return held;
}

function candidate({ ctx }: Party, held: Held): Candidate {
  const policy = resolvePolicy(null, held.record.wishes ?? null);
  return {
    held,
    event: (claim) => ({ kind: 'claimed', at: ctx.runtime.clock.now(), nonce: claim.nonce, claim, policy }),
  };
}

async function worker(party: Party, name: string): Promise<WorkerId> {
  const id = `${name}-${party.ctx.runtime.random.nonce()}` as WorkerId;
  await ensureTree(party.ctx.session, [claimsOf(id)]);
  return id;
}

async function claimOne(party: Party, id: WorkerId, held: Held): Promise<Held> {
  const { won } = await takeClaim(party.ctx, id, [candidate(party, held)], once);
  return mustHold(won[0] ?? null);
}

const leader = { kind: 'check', path: '/leader/term', version: null } as const;

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('the ledger on %s', (_name, makeWorld) => {
  let world: World;
  let a: Party;
  let b: Party;

  beforeAll(async () => {
    world = await makeWorld();
    a = await join(world);
    b = await join(world);
  });
  afterAll(() => world.close());

  test('accepts a task once: the same content is the same task, other content a conflict', async () => {
    const first = input();
    const task = parseSubmission(first, a.ctx.runtime.clock.now());
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, i) => accept(i % 2 === 0 ? a.ctx : b.ctx, task, until)),
    );
    expect(outcomes.filter(({ kind }) => kind === 'created')).toHaveLength(1);
    expect(outcomes.filter(({ kind }) => kind === 'same')).toHaveLength(49);
    expect([...a.hints, ...b.hints].filter(({ id }) => id === task.id)).toHaveLength(1);
    const other = parseSubmission({ ...first, payload: 'another' }, a.ctx.runtime.clock.now());
    expect((await accept(b.ctx, other, until)).kind).toBe('conflict');
  });

  test('an accept whose reply is lost is found to have been made, and is made once', async () => {
    const task = parseSubmission(input(), a.ctx.runtime.clock.now());
    a.peer.loseNextReply();
    expect((await accept(a.ctx, task, until)).kind).toBe('created');
    expect(mustHold(await readHeld(b.ctx, task.id))).toMatchObject({
      version: 0,
      record: { state: 'waiting' },
    });
  });

  test('of many claimants one wins, and only its claim stands', async () => {
    const held = await submit(a);
    const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => worker(i % 2 === 0 ? a : b, 'w')));
    const outcomes = await Promise.all(
      ids.map((id, i) => takeClaim(i % 2 === 0 ? a.ctx : b.ctx, id, [candidate(a, held)], once)),
    );
    const winners = outcomes.filter(({ won }) => won.length === 1);
    expect(winners).toHaveLength(1);
    expect(outcomes.filter(({ lost }) => lost.length === 1)).toHaveLength(19);
    const standing = (await claimsStanding(a.ctx, ids)).flat();
    expect(standing.map(({ ref }) => ref.nonce)).toEqual([winners[0]?.claim?.ref.nonce]);
  });

  test('a claim of a hundred leaves out what is not claimable and takes the rest', async () => {
    const all = await Promise.all(Array.from({ length: 100 }, () => submit(a)));
    const id = await worker(a, 'w');
    const taken = all.slice(0, 7);
    await Promise.all(taken.map((held) => claimOne(a, id, held)));
    const other = await worker(b, 'w');
    const outcome = await takeClaim(
      b.ctx,
      other,
      all.map((held) => candidate(b, held)),
      once,
    );
    expect(outcome.won).toHaveLength(93);
    expect([...outcome.lost].sort()).toEqual(taken.map(({ record }) => record.id).sort());
    for (const held of outcome.won) {
      expect(mustHold(await readHeld(a.ctx, held.record.id))).toEqual(held);
    }
  });

  test('a claim whose reply is lost is read back: won, with its path', async () => {
    const held = await submit(a);
    const id = await worker(a, 'w');
    a.peer.loseNextReply();
    const outcome = await takeClaim(a.ctx, id, [candidate(a, held)], once);
    expect(outcome.unknown).toBeNull();
    expect(outcome.won.map(({ record }) => record.id)).toEqual([held.record.id]);
    expect((await claimsStanding(a.ctx, [id])).flat().map(({ path }) => path)).toEqual([outcome.claim?.path]);
  });

  test('a task is not claimed before it is due', async () => {
    const held = await submit(a, { delayMs: 60_000 });
    const outcome = await takeClaim(a.ctx, await worker(a, 'w'), [candidate(a, held)], once);
    expect(outcome).toMatchObject({ won: [], lost: [held.record.id], claim: null });
    expect(mustHold(await readHeld(a.ctx, held.record.id)).record.state).toBe('waiting');
  });

  test('refuses an outcome whose fence is older than the recorded one', async () => {
    const held = await submit(a, { onInterrupted: 'rerun' });
    const first = await claimOne(a, await worker(a, 'w'), held);
    const ref = first.record.claim;
    if (ref === undefined) throw new Error('claimed without a claim');
    expect(await interrupt(b.ctx, held.record.id, ref, leader)).toBe('interrupted');
    const second = await claimOne(b, await worker(b, 'w'), mustHold(await readHeld(b.ctx, held.record.id)));
    expect(second.version).toBeGreaterThan(first.version);
    const late = {
      kind: 'succeeded',
      at: a.ctx.runtime.clock.now(),
      nonce: first.record.nonce,
      result: { value: 1 },
    } as const;
    expect(
      await move(a.ctx, held.record.id, late, { until, readIn: a.ctx.session.sessionId, held: first }),
    ).toMatchObject({
      kind: 'refused',
      why: 'owner',
    });
    expect(mustHold(await readHeld(a.ctx, held.record.id))).toEqual(second);
  });

  test('a fence of version 0 is compared: a second claim on the record as it was born is refused', async () => {
    const born = await submit(a);
    expect(born.version).toBe(0);
    await claimOne(a, await worker(a, 'w'), born);
    const outcome = await takeClaim(b.ctx, await worker(b, 'w'), [candidate(b, born)], {
      ...once,
      alone: true,
    });
    expect(outcome.won).toEqual([]);
  });

  test('the last outcome of a claim deletes it in the same transaction', async () => {
    const held = await submit(a);
    const id = await worker(a, 'w');
    const { claim, won } = await takeClaim(a.ctx, id, [candidate(a, held)], once);
    const running = mustHold(won[0] ?? null);
    const event = {
      kind: 'succeeded',
      at: a.ctx.runtime.clock.now(),
      nonce: running.record.nonce,
      result: { value: 'ok' },
    } as const;
    const moved = await move(a.ctx, held.record.id, event, {
      until,
      readIn: a.ctx.session.sessionId,
      held: running,
      deleteClaim: claim?.path ?? null,
    });
    expect(moved).toMatchObject({
      kind: 'moved',
      held: { record: { state: 'completed', result: { value: 'ok' } } },
    });
    expect((await claimsStanding(a.ctx, [id])).flat()).toEqual([]);
  });

  test('an outcome whose reply is lost is recorded once, and known to be', async () => {
    const running = await claimOne(a, await worker(a, 'w'), await submit(a));
    const event = {
      kind: 'succeeded',
      at: a.ctx.runtime.clock.now(),
      nonce: running.record.nonce,
      result: { value: 1 },
    } as const;
    a.peer.loseNextReply();
    const moved = await move(a.ctx, running.record.id, event, {
      until,
      readIn: a.ctx.session.sessionId,
      held: running,
    });
    expect(moved).toMatchObject({ kind: 'moved', held: { version: running.version + 1 } });
    expect(mustHold(await readHeld(b.ctx, running.record.id)).version).toBe(running.version + 1);
  });

  test('a cancel that came in between does not cost the attempt its outcome', async () => {
    const running = await claimOne(a, await worker(a, 'w'), await submit(a));
    expect((await cancel(b.ctx, running.record.id, until)).cancelRequested).toBe(true);
    const event = {
      kind: 'succeeded',
      at: a.ctx.runtime.clock.now(),
      nonce: running.record.nonce,
      result: { value: 1 },
    } as const;
    const moved = await move(a.ctx, running.record.id, event, {
      until,
      readIn: a.ctx.session.sessionId,
      held: running,
    });
    expect(moved).toMatchObject({ kind: 'moved', held: { record: { state: 'completed' } } });
  });

  test('late evidence of its own attempt settles an uncertain task, though its claim is gone', async () => {
    const held = await submit(a);
    const id = await worker(a, 'w');
    const { claim, won } = await takeClaim(a.ctx, id, [candidate(a, held)], once);
    const running = mustHold(won[0] ?? null);
    if (claim === null) throw new Error('won without a claim');
    await dropClaim(b.ctx, claim.path, noEnd);
    expect(await interrupt(b.ctx, held.record.id, claim.ref, leader)).toBe('interrupted');
    expect(mustHold(await readHeld(b.ctx, held.record.id)).record.state).toBe('uncertain');
    const event = {
      kind: 'succeeded',
      at: a.ctx.runtime.clock.now(),
      nonce: running.record.nonce,
      result: { value: 1 },
    } as const;
    const moved = await move(a.ctx, held.record.id, event, {
      until,
      readIn: a.ctx.session.sessionId,
      held: running,
      deleteClaim: claim.path,
    });
    expect(moved).toMatchObject({ kind: 'moved', held: { record: { state: 'completed' } } });
  });

  test('an expired session leaves an orphan; its worker readopts it under a new claim of the new session', async () => {
    const c = await join(world);
    const id = await worker(c, 'w');
    const running = await claimOne(c, id, await submit(c));
    const [old] = (await claimsStanding(a.ctx, [id])).flat();
    expect(await orphansOf(a.ctx, [running.record])).toEqual([]);
    await expire(c.peer, a.peer.session, old?.path ?? '');
    expect(await orphansOf(a.ctx, [running.record])).toEqual([running.record]);
    const { nonce } = running.record;
    const readopted = {
      held: running,
      event: (claim: { worker: WorkerId; nonce: Nonce }) => ({ kind: 'readopted', nonce, claim }) as const,
    };
    await c.peer.session.connected(10_000);
    await c.generation.prove();
    const { claim, won } = await takeClaim(c.ctx, id, [readopted], once);
    expect(won[0]).toMatchObject({ version: running.version + 1, record: { state: 'running', nonce } });
    expect(claim?.session).toBe(c.peer.session.sessionId);
    expect(await orphansOf(a.ctx, [mustHold(won[0] ?? null).record])).toEqual([]);
    expect(
      await interrupt(
        a.ctx,
        running.record.id,
        { worker: id, nonce: running.record.claim?.nonce ?? nonce },
        leader,
      ),
    ).toBe('movedOn');
  });

  test('an outcome for a task that was retired does not touch a new one of the same id, though its versions repeat', async () => {
    const c = await join(world);
    const id = await worker(c, 'w');
    const old = await claimOne(c, id, await submit(c, { id: 'again', payload: 'first' }));
    const readIn = c.peer.session.sessionId;
    const path = recordPath(old.record.id);
    await b.peer.session.write([{ kind: 'delete', path, version: null }]);
    const anew = await claimOne(b, await worker(b, 'w'), await submit(b, { id: 'again', payload: 'second' }));
    expect(anew.version).toBe(old.version);
    const [claim] = (await claimsStanding(a.ctx, [id])).flat();
    await expire(c.peer, a.peer.session, claim?.path ?? '');
    await c.peer.session.connected(10_000);
    await c.generation.prove();
    const { nonce } = old.record;
    const late = { kind: 'succeeded', at: c.ctx.runtime.clock.now(), nonce, result: { value: 1 } } as const;
    const moved = await move(c.ctx, old.record.id, late, { until, held: old, readIn });
    expect(moved).toMatchObject({ kind: 'refused', why: 'owner' });
    expect(mustHold(await readHeld(a.ctx, old.record.id))).toEqual(anew);
  });

  test('replays a failed task with its attempts counted anew, and refuses to replay a completed one', async () => {
    const running = await claimOne(a, await worker(a, 'w'), await submit(a, { retry: { attempts: 1 } }));
    const at = a.ctx.runtime.clock.now();
    const error = { code: 'HANDLER_FAILED', message: 'no' };
    const failed = { kind: 'attemptFailed', at, nonce: running.record.nonce, error, retryAt: at } as const;
    expect(
      await move(a.ctx, running.record.id, failed, { until, readIn: a.ctx.session.sessionId, held: running }),
    ).toMatchObject({
      held: { record: { state: 'failed' } },
    });
    const replays = await Promise.allSettled([
      replay(a.ctx, running.record.id, until),
      replay(b.ctx, running.record.id, until),
    ]);
    expect(replays.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const again = mustHold(await readHeld(a.ctx, running.record.id));
    expect(again.record).toMatchObject({ state: 'waiting', attempt: 2, attemptBase: 1, replays: 1 });
    const second = await claimOne(a, await worker(a, 'w'), again);
    const done = { kind: 'succeeded', at, nonce: second.record.nonce, result: { value: null } } as const;
    await move(a.ctx, running.record.id, done, { until, readIn: a.ctx.session.sessionId, held: second });
    await expect(replay(a.ctx, running.record.id, until)).rejects.toMatchObject({ code: 'MOVE_REFUSED' });
    await expect(replay(a.ctx, 'no-such-task' as TaskId, until)).rejects.toMatchObject({
      code: 'TASK_NOT_FOUND',
    });
  });

  test('an operator resolves an uncertain task, and cancels a waiting one', async () => {
    const running = await claimOne(a, await worker(a, 'w'), await submit(a));
    if (running.record.claim === undefined) throw new Error('claimed without a claim');
    await interrupt(a.ctx, running.record.id, running.record.claim, leader);
    const resolved = await resolve(b.ctx, running.record.id, 'completed', 'the bank says so', until);
    expect(resolved).toMatchObject({ state: 'completed', note: 'the bank says so' });
    const waiting = await submit(a);
    expect(await cancel(b.ctx, waiting.record.id, until)).toMatchObject({ state: 'cancelled' });
  });

  test('an operator is not refused upon the word of a server that lags behind', async () => {
    const { record } = await submit(a);
    let lags = true;
    const session = withMethods(b.ctx.session, {
      read: (path, watcher) => (lags ? Promise.resolve(null) : b.ctx.session.read(path, watcher)),
      sync: () => {
        lags = false;
        return b.ctx.session.sync();
      },
    });
    const behind = { ...b.ctx, session };
    expect(await cancel(behind, record.id, until)).toMatchObject({ state: 'cancelled' });
    lags = true;
    expect(await replay(behind, record.id, until)).toMatchObject({ state: 'waiting', attempt: 2 });
    await expect(replay(behind, 'never' as TaskId, until)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
  });

  test('a walk sees every record', async () => {
    const ids = (await Promise.all(Array.from({ length: 120 }, () => submit(a)))).map(
      ({ record }) => record.id,
    );
    const seen = new Set<TaskId>();
    await walk(b.ctx, noEnd, (helds) => {
      for (const { record } of helds) seen.add(record.id);
    });
    expect(ids.filter((id) => !seen.has(id))).toEqual([]);
  });

  test('one stale transaction does not fail those that share its multi', async () => {
    const all = await Promise.all(Array.from({ length: 30 }, () => submit(a)));
    const id = await worker(a, 'w');
    const running = await Promise.all(all.map((held) => claimOne(a, id, held)));
    const stale = { ...mustHold(running[3] ?? null), version: 0 };
    const at = a.ctx.runtime.clock.now();
    const outcomes = await Promise.all(
      running.map((held, i) => {
        const event = { kind: 'succeeded', at, nonce: held.record.nonce, result: { value: i } } as const;
        return move(a.ctx, held.record.id, event, {
          until,
          readIn: a.ctx.session.sessionId,
          held: i === 3 ? stale : held,
        });
      }),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(30).fill('moved'));
    expect(a.ctx.commits.stats.refusedMultis).toBeGreaterThan(0);
  });
});
