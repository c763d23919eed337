// schedules-firing.test.ts: what the leader promises of schedules, on the memory twin and by a clock that the test moves: one
// task per tick, whatever becomes of leaders, replies and clocks; and the policies, as the user set them.

import { afterEach, expect, test } from 'vitest';
import { type Leadership, MemoryEnsemble, type Session, type WriteOp } from '../../src/coordination/index.js';
import {
  encodeRecord,
  type Hint,
  type ScheduleInput,
  type Submission,
  type TaskId,
  type TaskRecord,
} from '../../src/domain/index.js';
import { accept, leaderPath, recordPath, schedulePath, schedulesPath, walk } from '../../src/ledger/index.js';
import { silentLogger } from '../../src/runtime/index.js';
import { Firing } from '../../src/scheduler/firing.js';
import { Schedules } from '../../src/schedules.js';
import { join, type Party, recordOf, withMethods } from '../support/crew.js';
import { ManualClock } from '../support/manual-clock.js';
import { SeededRandom } from '../support/seeded-random.js';
import { tickOf } from '../support/ticks.js';
import { WallClock } from '../support/wall-clock.js';
import type { World } from '../support/world.js';

const noEnd = new AbortController().signal;
const minuteMs = 60_000;
/** A minute's beginning: minimal schedules have their ticks on the minute. */
const epoch = Date.UTC(2026, 5, 1, 12, 0, 0);

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

type Leader = { readonly party: Party; readonly hints: Hint[]; depose(): Promise<void> };

/** A ledger with a desk, at which schedules are made, and as many leaders as are asked for. */
class Stage {
  readonly clock: ManualClock;
  readonly wall: WallClock;
  readonly world: World;
  desk!: Party;
  schedules!: Schedules<TaskRecord>;

  constructor(from: number) {
    this.clock = new ManualClock(from);
    this.wall = new WallClock(this.clock);
    const runtime = { clock: this.wall, random: new SeededRandom(7), log: silentLogger };
    const ensemble = new MemoryEnsemble(this.clock);
    const sessions: Session[] = [];
    this.world = {
      runtime,
      timeoutMs: 4_000,
      async open() {
        const session = ensemble.open({ timeoutMs: 4_000 }, runtime);
        sessions.push(session);
        await session.connected(4_000);
        const no = (): void => undefined;
        return { session, interrupt: no, cutOff: no, rejoin: no, freeze: no, loseNextReply: no };
      },
      close: async () => void (await Promise.all(sessions.map((session) => session.close()))),
    };
  }

  async open(): Promise<this> {
    this.desk = await join(this.world, () => undefined);
    const { ctx } = this.desk;
    const submit = async (task: Submission): Promise<TaskRecord> => {
      const outcome = await accept(ctx, task, { deadlineMs: 1_000 });
      if (outcome.kind === 'unavailable') throw new Error('no answer');
      return outcome.record;
    };
    this.schedules = new Schedules(ctx, { deadlineMs: 10_000 }, submit);
    return this;
  }

  create(more: Partial<ScheduleInput> = {}): Promise<unknown> {
    return this.schedules.create({ id: 's', cron: '* * * * *', task: { type: 'job' }, ...more });
  }

  /** Takes the term, so that the leader before is refused, and fires. */
  async lead(wrap?: (session: Session) => Session, guarded = true): Promise<Leader> {
    const hints: Hint[] = [];
    const party = await join(this.world, (more) => void hints.push(...more), wrap);
    const path = `${leaderPath}/term`;
    const { session } = party.ctx;
    const taken = await session.write([{ kind: 'set', path, data: Buffer.alloc(0), version: null }]);
    const result = taken.kind === 'applied' ? taken.results[0] : undefined;
    const term = result?.kind === 'set' ? result.version : -1;
    const stop = new AbortController();
    const guard = (): WriteOp => ({ kind: 'check', path, version: guarded ? term : null });
    const leadership: Leadership = { term, guard, signal: stop.signal };
    const running = new Firing(party.ctx).run(leadership);
    await this.clock.advance(10);
    const depose = async (): Promise<void> => {
      stop.abort();
      await running;
    };
    ends.push(depose);
    return { party, hints, depose };
  }

  /** Minutes, by the number of which the test speaks of ticks. */
  async pass(minutes: number): Promise<void> {
    await this.clock.advance(minutes * minuteMs);
  }

  async records(): Promise<TaskRecord[]> {
    const found: TaskRecord[] = [];
    await walk(this.desk.ctx, noEnd, (helds) => void found.push(...helds.map(({ record }) => record)));
    return found.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The ticks of `id` that have a task, in minutes from the beginning. */
  async fired(id = 's'): Promise<number[]> {
    const ticks = (await this.records()).map((record) => tickOf(record.id));
    return ticks
      .filter((tick) => tick?.schedule === id)
      .map((tick) => ((tick?.tick ?? Number.NaN) - epoch) / minuteMs);
  }

  async delete(id: TaskId): Promise<void> {
    await this.desk.ctx.session.write([{ kind: 'delete', path: recordPath(id), version: null }]);
  }

  async finish(id: TaskId, state: TaskRecord['state']): Promise<void> {
    const { finishedAt: _, ...record } = await recordOf(this.desk, id);
    const over = ['completed', 'failed', 'cancelled'].includes(state);
    const next = { ...record, state, ...(over ? { finishedAt: this.wall.now() } : {}) };
    const data = encodeRecord(next);
    await this.desk.ctx.session.write([{ kind: 'set', path: recordPath(id), data, version: null }]);
  }
}

async function stage(from = epoch): Promise<Stage> {
  const made = await new Stage(from).open();
  ends.push(() => made.world.close());
  return made;
}

function tick(minute: number): TaskId {
  return `s@${new Date(epoch + minute * minuteMs).toISOString().slice(0, 19)}Z` as TaskId;
}

/** A transaction that makes a tick's task, or moves a cursor. */
function fires(ops: readonly WriteOp[]): boolean {
  return ops.some((op) => op.kind === 'set' && op.path.includes('/cursor-'));
}

test('each tick has one task, made at its time, that is hinted at', async () => {
  const on = await stage();
  const { hints } = await on.lead();
  await on.create({ task: { type: 'job', queue: 'q', payload: { x: 1 }, priority: 3, timeoutMs: 5 } });
  await on.pass(3);
  expect(await on.fired()).toEqual([1, 2, 3]);
  const [first] = await on.records();
  expect(first).toMatchObject({
    id: tick(1),
    type: 'job',
    queue: 'q',
    payload: { x: 1 },
    priority: 3,
    wishes: { timeoutMs: 5 },
    state: 'waiting',
  });
  expect((first?.acceptedAt ?? 0) - (epoch + minuteMs)).toBeLessThan(50);
  expect(hints.map(({ id }) => id)).toEqual([tick(1), tick(2), tick(3)]);
});

test('a tick does not fire again once its record has left the ledger, by whatever leader, when the clock goes back', async () => {
  const on = await stage();
  const first = await on.lead();
  await on.create();
  await on.pass(3);
  for (const minute of [1, 2, 3]) await on.delete(tick(minute));
  on.wall.jump(-2 * minuteMs - 30_000);
  await on.pass(1);
  await first.depose();
  await on.lead();
  await on.pass(1);
  expect(await on.fired()).toEqual([]);
  await on.pass(1);
  expect(await on.fired()).toEqual([]);
  await on.pass(1);
  expect(await on.fired()).toEqual([4]);
});

test.each([
  ['skip', [20]],
  ['once', [19, 20]],
  ['all', [16, 17, 18, 19, 20]],
] as const)('after an outage, of the ticks that are late: %s', async (policy, expected) => {
  const on = await stage();
  const before = await on.lead();
  await on.create({ misfire: { policy, afterMs: 30_000, ticksMax: 5 } });
  await on.pass(2);
  await before.depose();
  await on.pass(18);
  await on.lead();
  expect(await on.fired()).toEqual([1, 2, ...expected]);
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 2, ...expected, 21]);
});

test('a clock that jumps forward and back fires no tick twice', async () => {
  const on = await stage();
  const { hints } = await on.lead();
  await on.create({ misfire: { policy: 'all' } });
  await on.pass(1);
  on.wall.jump(5 * minuteMs);
  await on.clock.advance(1_500);
  expect(await on.fired()).toEqual([1, 2, 3, 4, 5, 6]);
  on.wall.jump(-5 * minuteMs);
  await on.pass(5);
  expect(await on.fired()).toEqual([1, 2, 3, 4, 5, 6]);
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(new Set(hints.map(({ id }) => id)).size).toBe(hints.length);
});

test.each(['requestLost', 'replyLost', 'notSent'] as const)(
  'a firing that meets the fault %s makes one task, and hints at it',
  async (fault) => {
    const on = await stage();
    const { party, hints } = await on.lead();
    await on.create();
    party.commits.failNext(fault, fires);
    await on.pass(1);
    await on.clock.advance(500);
    expect(await on.fired()).toEqual([1]);
    expect(hints.map(({ id }) => id)).toEqual([tick(1)]);
    await on.pass(1);
    expect(await on.fired()).toEqual([1, 2]);
  },
);

test.each(['requestLost', 'replyLost'] as const)(
  'a leader that is killed at the tick, its write having met %s: the next one sees to it that the tick fires once',
  async (fault) => {
    const on = await stage();
    const { party, depose } = await on.lead();
    await on.create();
    let killed: Promise<void> | null = null;
    party.commits.fault = (ops) => {
      if (!fires(ops)) return 'none';
      killed ??= depose();
      return fault;
    };
    await on.pass(1);
    await killed;
    expect(await on.fired()).toEqual(fault === 'replyLost' ? [1] : []);
    const { hints } = await on.lead();
    expect(hints.map(({ id }) => id)).toEqual([tick(1)]); // Those of the one before may have died with it.
    await on.pass(1);
    expect(await on.fired()).toEqual([1, 2]);
    expect(hints.map(({ id }) => id)).toEqual([tick(1), tick(2)]);
  },
);

test('a leader that does not know that another leads changes nothing', async () => {
  const on = await stage();
  const old = await on.lead();
  await on.create();
  await on.pass(1);
  const outcomes: string[] = [];
  old.party.commits.onOutcome = (_options, { kind }) => void outcomes.push(kind);
  const young = await on.lead();
  await on.pass(3);
  expect(outcomes.length).toBeGreaterThan(0);
  expect(new Set(outcomes)).toEqual(new Set(['refused']));
  expect(young.hints.map(({ id }) => id)).toEqual([tick(1), tick(2), tick(3), tick(4)]);
  expect(await on.fired()).toEqual([1, 2, 3, 4]);
});

test('even leaders whom no term holds back make one task per tick: the create and the cursor decide', async () => {
  const on = await stage();
  const leaders = [await on.lead(undefined, false), await on.lead(undefined, false)];
  await on.create({ task: { type: 'job', payload: 'x' } });
  await on.pass(5);
  const hints = leaders.flatMap((leader) => leader.hints.map(({ id }) => id));
  expect(hints.sort()).toEqual([1, 2, 3, 4, 5].map(tick));
  expect(await on.fired()).toEqual([1, 2, 3, 4, 5]);
});

test('a firing that arrives after its tick was fired by another, and retired, makes nothing', async () => {
  const on = await stage();
  const slow = await on.lead(undefined, false);
  const { commits } = slow.party;
  const send = commits.commit.bind(commits);
  const late: (() => Promise<unknown>)[] = [];
  commits.commit = (ops, options) => {
    if (!fires(ops)) return send(ops, options);
    return new Promise((resolve) => late.push(async () => resolve(await send(ops, options))));
  };
  await on.create();
  await on.pass(1);
  expect(late).toHaveLength(1);
  await on.lead();
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 2]);
  for (const minute of [1, 2]) await on.delete(tick(minute));
  await late[0]?.();
  expect(await on.fired()).toEqual([]);
});

test('a task that has the id of a tick is the tick; those after it fire', async () => {
  const on = await stage();
  await on.lead();
  await on.create();
  const until = { deadlineMs: 1_000 };
  const task = { type: 'other', queue: 'q', payload: null, priority: 0, policy: null, notBefore: null };
  await accept(on.desk.ctx, { ...task, id: tick(1), hash: 'h' } as Submission, until);
  await on.pass(2);
  expect((await on.records()).map(({ id, type }) => [id, type])).toEqual([
    [tick(1), 'other'],
    [tick(2), 'job'],
  ]);
});

test('with overlap "skip" a tick fires only when the task of the last one is over; an uncertain task is not', async () => {
  const on = await stage();
  await on.lead();
  await on.create({ overlap: 'skip' });
  await on.pass(2);
  expect(await on.fired()).toEqual([1]);
  expect(await on.schedules.get('s')).toMatchObject({
    last: { task: tick(1) },
    skipped: { tick: epoch + 2 * minuteMs, why: 'overlap' },
  });
  await on.finish(tick(1), 'completed');
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 3]);
  await on.finish(tick(3), 'uncertain');
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 3]);
  await on.delete(tick(3));
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 5]);
});

test('with overlap "skip" a task that is replayed while the next one is made is not overlapped', async () => {
  const on = await stage();
  const { party } = await on.lead();
  await on.create({ overlap: 'skip' });
  await on.pass(1);
  await on.finish(tick(1), 'failed');
  const { commits } = party;
  const send = commits.commit.bind(commits);
  let replays = 0;
  commits.commit = async (ops, options) => {
    if (fires(ops) && replays === 0) {
      replays += 1;
      await on.finish(tick(1), 'waiting');
    }
    return send(ops, options);
  };
  await on.pass(1);
  await on.clock.advance(200);
  expect(replays).toBe(1);
  expect(await on.fired()).toEqual([1]);
});

test('jitter puts off the task, by the same time whoever fires it', async () => {
  const on = await stage();
  const first = await on.lead();
  await on.create({ jitterMs: 30_000 });
  await on.pass(1);
  const [before] = await on.records();
  expect(before?.notBefore).toBeGreaterThanOrEqual(epoch + minuteMs);
  expect(before?.notBefore).toBeLessThanOrEqual(epoch + minuteMs + 30_000);
  expect(first.hints[0]?.notBefore).toBe(before?.notBefore);
  await first.depose();
  const other = await stage();
  await other.lead();
  await other.create({ jitterMs: 30_000 });
  await other.pass(1);
  expect((await other.records())[0]?.notBefore).toBe(before?.notBefore);
});

test('nothing fires before the start, and nothing from the end on', async () => {
  const on = await stage();
  await on.lead();
  await on.create({ startAt: epoch + 2 * minuteMs, endAt: epoch + 4 * minuteMs });
  await on.pass(6);
  expect(await on.fired()).toEqual([2, 3]);
  expect((await on.schedules.get('s'))?.next).toBeNull();
});

test('what is paused does not fire, and its ticks do not come back when it is resumed', async () => {
  const on = await stage();
  await on.lead();
  await on.create({ misfire: { policy: 'all' } });
  await on.pass(1);
  await on.schedules.pause('s');
  expect((await on.schedules.get('s'))?.next).toBeNull();
  await on.pass(3);
  expect(await on.fired()).toEqual([1]);
  expect(await on.schedules.resume('s')).toMatchObject({ paused: false, next: epoch + 5 * minuteMs });
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 5]);
});

test('a change reaches a leader that waits for a tick far off', async () => {
  const on = await stage();
  await on.lead();
  await on.create({ cron: '0 0 1 1 *' });
  await on.create({ id: 'other', cron: '0 0 1 1 *' });
  await on.pass(1);
  await on.schedules.update({ id: 's', cron: '* * * * *', task: { type: 'job', payload: 'new' } });
  await on.schedules.remove('other');
  await on.create({ id: 'third' });
  await on.pass(1);
  expect(await on.fired()).toEqual([2]);
  expect(await on.fired('third')).toEqual([2]);
  expect((await recordOf(on.desk, tick(2))).payload).toBe('new');
  await on.schedules.remove('s');
  await on.pass(1);
  expect(await on.fired()).toEqual([2]);
});

test('a change of its times does not fire what lies before it; another change leaves what is due', async () => {
  const on = await stage();
  await on.create({ cron: '*/5 * * * *', misfire: { policy: 'all' } });
  await on.pass(6);
  await on.schedules.update({
    id: 's',
    cron: '*/5 * * * *',
    task: { type: 'other' },
    misfire: { policy: 'all' },
  });
  const { depose } = await on.lead();
  expect((await on.records()).map(({ type }) => type)).toEqual(['other']);
  await depose();
  await on.pass(6);
  await on.schedules.update({
    id: 's',
    cron: '*/3 * * * *',
    task: { type: 'other' },
    misfire: { policy: 'all' },
  });
  await on.lead();
  await on.pass(4);
  expect(await on.fired()).toEqual([5, 15]);
});

test('a leader whom no change reaches fires by no definition that is gone', async () => {
  const on = await stage();
  const deaf = (session: Session): Session =>
    withMethods(session, {
      read: (path) => session.read(path),
      children: (path) => session.children(path),
    });
  await on.create({ task: { type: 'job', payload: 'old' } });
  await on.create({ id: 'changed', task: { type: 'job', payload: 'old' } });
  await on.lead(deaf);
  await on.schedules.remove('s');
  await on.create({ task: { type: 'job', payload: 'new' } });
  await on.schedules.update({ id: 'changed', cron: '* * * * *', task: { type: 'job', payload: 'new' } });
  await on.pass(1);
  await on.clock.advance(2_000);
  const payloads = (await on.records()).map(({ payload }) => payload);
  expect(payloads).not.toContain('old');
  expect(payloads).toContain('new');
});

test('a definition that cannot be read keeps no other from firing, and fires once it can', async () => {
  const on = await stage();
  await on.create();
  await on.create({ id: 'spoilt' });
  const { session } = on.desk.ctx;
  const path = schedulePath('spoilt' as never);
  const good = await session.read(path);
  const spoil = (data: Buffer) => session.write([{ kind: 'set', path, data, version: null }]);
  await spoil(Buffer.from('{"v":99}'));
  await on.lead();
  await on.pass(1);
  expect(await on.fired()).toEqual([1]);
  const stored = JSON.parse(String(good?.data)) as object;
  await spoil(Buffer.from(JSON.stringify({ ...stored, timeZone: 'Mars/Base' })));
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 2]);
  await spoil(good?.data ?? Buffer.alloc(0));
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 2, 3]);
  expect((await on.fired('spoilt')).at(-1)).toBe(3);
});

test('a leader takes over what another has made and changed, in the same session too', async () => {
  const on = await stage();
  const first = await on.lead();
  await on.create();
  await on.pass(1);
  await first.depose();
  await on.schedules.update({ id: 's', cron: '*/2 * * * *', task: { type: 'job' } });
  const second = await on.lead(() => first.party.ctx.session);
  await on.create({ id: 'late' });
  await on.pass(1);
  await on.schedules.remove('late');
  await on.pass(1);
  expect(await on.fired()).toEqual([1, 2]);
  expect(await on.fired('late')).toEqual([2]);
  expect(second.hints.map(({ id }) => tickOf(id)?.schedule)).toEqual(expect.arrayContaining(['s', 'late']));
});

test('more ticks than one transaction carries fire in many, oldest first', async () => {
  const on = await stage();
  const payload = 'x'.repeat(60_000);
  await on.create({
    cron: '*/10 * * * * *',
    task: { type: 'job', payload },
    misfire: { policy: 'all', ticksMax: 60 },
  });
  await on.create({ id: 'light', cron: '* * * * * *', misfire: { policy: 'all', ticksMax: 300 } });
  await on.clock.advance(5 * minuteMs - 20);
  const { hints } = await on.lead();
  const heavy = hints.map(({ id }) => id).filter((id) => id.startsWith('s@'));
  expect(heavy).toHaveLength(29);
  expect(heavy).toEqual([...heavy].sort());
  expect(await on.fired('light')).toHaveLength(299);
});

test('a thousand schedules that are due together fire in few transactions', async () => {
  const on = await stage();
  const ids = Array.from({ length: 1_000 }, (_, n) => `s${n}`);
  await Promise.all(ids.map((id) => on.create({ id })));
  const { party, hints } = await on.lead();
  expect(party.commits.stats.multis).toBe(0);
  await on.pass(1);
  expect(hints).toHaveLength(1_000);
  expect(party.commits.stats.multis).toBeLessThan(40);
}, 60_000);

test('while nothing is scheduled the leader asks for nothing', async () => {
  const on = await stage();
  let reads = 0;
  await on.lead((session) =>
    withMethods(session, {
      children: (path, watcher) => {
        if (path === schedulesPath) reads += 1;
        return session.children(path, watcher);
      },
    }),
  );
  await on.pass(10);
  expect(reads).toBe(1);
});

test('over the night on which the clocks go forward, in Berlin, a daily schedule fires once', async () => {
  const from = Date.UTC(2026, 2, 28, 22);
  const on = await stage(from);
  await on.lead();
  await on.create({ cron: '30 2 * * *', timeZone: 'Europe/Berlin' });
  await on.pass(8 * 60);
  expect((await on.records()).map(({ id }) => id)).toEqual(['s@2026-03-29T01:00:00Z']);
});
