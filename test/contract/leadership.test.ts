// leadership.test.ts: what holds of an election, on the memory twin and on real ZooKeeper.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  Election,
  ensureTree,
  type Leadership,
  MemoryEnsemble,
  type Session,
} from '../../src/coordination/index.js';
import { type Clock, silentLogger, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { ManualClock } from '../support/manual-clock.js';
import { memoryWorld } from '../support/memory-world.js';
import { expire, type Peer, type World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const path = '/leader';

/** A candidate, and every leadership it was given. */
type Stander = { readonly election: Election; readonly peer: Peer; readonly led: Leadership[] };

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('an election on %s', (_name, setup: () => Promise<World>) => {
  let world: World;
  let observer: Session;
  const standers: Stander[] = [];

  beforeEach(async () => {
    world = await setup();
    observer = (await world.open()).session;
    await ensureTree(observer, [path, `${path}/term`, '/log']);
  });
  afterEach(async () => {
    await Promise.all(standers.splice(0).map(({ election }) => election.stop()));
    await world.close();
  });

  /** Stands with a `lead` that by default does nothing until it is to step down. */
  async function stand(
    id: string,
    lead: (leadership: Leadership) => Promise<void> = (leadership) => aborted(leadership.signal),
    prepare: (peer: Peer) => void = () => undefined,
  ): Promise<Stander> {
    const peer = await world.open();
    prepare(peer);
    const led: Leadership[] = [];
    const record = (leadership: Leadership): Promise<void> => {
      led.push(leadership);
      return lead(leadership);
    };
    const election = new Election(peer.session, { path, id, lead: record }, world.runtime);
    const stander = { election, peer, led };
    standers.push(stander);
    await election.start();
    return stander;
  }

  /** The names in line, oldest first. */
  async function line(): Promise<string[]> {
    await observer.sync();
    const names = (await observer.children(path)) ?? [];
    const candidates = names.filter((name) => name.startsWith('candidate-'));
    return candidates.sort((a, b) => Number(a.slice(-10)) - Number(b.slice(-10)));
  }

  function inLine(count: number): Promise<string[]> {
    return eventually(
      async () => {
        const names = await line();
        expect(names).toHaveLength(count);
        return names;
      },
      { what: `${count} candidates are in line` },
    );
  }

  /** The stander's leadership number `nth` (from 1). */
  function leads(stander: Stander, nth = 1): Promise<Leadership> {
    return eventually(
      () => {
        const leadership = stander.led[nth - 1];
        if (leadership === undefined) throw new Error('not yet');
        return leadership;
      },
      { what: `leadership ${nth} begins` },
    );
  }

  test('one of several leads; when it stops, the next one in line does, with a greater term', async () => {
    const first = await stand('first');
    const one = await leads(first);
    const second = await stand('second');
    await inLine(2);
    const third = await stand('third');
    await inLine(3);
    expect([first.led.length, second.led.length, third.led.length]).toEqual([1, 0, 0]);
    await first.election.stop();
    expect(one.signal.aborted).toBe(true);
    const two = await leads(second);
    await second.election.stop();
    const three = await leads(third);
    expect(two.term).toBeGreaterThan(one.term);
    expect(three.term).toBeGreaterThan(two.term);
    expect((await observer.read(`${path}/term`))?.stat.version).toBe(three.term);
    expect(await line()).toHaveLength(1);
  });

  test('a suspended leader steps down at once, long before its session can expire', async () => {
    const leader = await stand('leader');
    const { signal } = await leads(leader);
    leader.peer.cutOff();
    await aborted(signal);
    expect(leader.peer.session.state).toBe('suspended');
    leader.peer.rejoin();
    await leads(leader, 2);
    await inLine(1);
  });

  test('a leader that hears nothing any more steps down before another can lead', async () => {
    const [leader, next] = [await stand('leader'), await stand('next')];
    const { signal } = await leads(leader);
    await inLine(2);
    leader.peer.freeze();
    await leads(next);
    expect(signal.aborted).toBe(true);
    leader.peer.rejoin();
  });

  test('when the session of the leader expires, the next one leads, and the guard of the old term is refused', async () => {
    const [leader, next] = [await stand('leader'), await stand('next')];
    const old = await leads(leader);
    const [candidate] = await inLine(2);
    await expire(leader.peer, observer, `${path}/${candidate}`);
    const now = await leads(next);
    expect([old.signal.aborted, now.term > old.term]).toEqual([true, true]);
    await leader.peer.session.connected(world.timeoutMs * 20);
    const create = { kind: 'create', path: '/log/x', data: Buffer.alloc(0), mode: 'persistent' } as const;
    expect(await leader.peer.session.write([old.guard(), create])).toEqual({
      kind: 'refused',
      index: 0,
      code: 'BAD_VERSION',
    });
    expect((await next.peer.session.write([now.guard(), create])).kind).toBe('applied');
    await inLine(2); // The old leader stands again.
  });

  test('a candidate whose create was answered into nothing is found again, and leaves no ghost', async () => {
    const lost = await stand('lost', undefined, (peer) => peer.loseNextReply());
    await leads(lost);
    await inLine(1);
    await lost.election.stop();
    expect(await line()).toEqual([]);
  });

  test('a waiting candidate whose session expires stands again in the next one', async () => {
    const [leader, waiting] = [await stand('leader'), await stand('waiting')];
    await leads(leader);
    const [, candidate] = await inLine(2);
    await expire(waiting.peer, observer, `${path}/${candidate}`);
    const [, again] = await inLine(2);
    expect(again).not.toBe(candidate);
    expect([leader.led.length, waiting.led.length]).toEqual([1, 0]);
    await leader.election.stop();
    await leads(waiting);
  });

  test('a leader whose candidate is deleted by someone else steps down and stands again', async () => {
    const leader = await stand('leader');
    const one = await leads(leader);
    const [candidate] = await inLine(1);
    await observer.write([{ kind: 'delete', path: `${path}/${candidate}`, version: null }]);
    await aborted(one.signal);
    expect((await leads(leader, 2)).term).toBeGreaterThan(one.term);
  });

  test('a waiter is not woken into leading by the end of another that waits before it', async () => {
    const leader = await stand('leader');
    await leads(leader);
    const middle = await stand('middle');
    await inLine(2);
    const last = await stand('last');
    await inLine(3);
    await middle.election.stop();
    await inLine(2);
    expect([leader.led.length, last.led.length]).toEqual([1, 0]);
    await leader.election.stop();
    await leads(last);
  });

  test('a leader that returns or throws makes way, and is a candidate again', async () => {
    const returns = await stand('returns', async () => undefined);
    const throws = await stand('throws', () => Promise.reject(new Error('on purpose')));
    await leads(returns, 2);
    await leads(throws, 2);
    const terms = [...returns.led, ...throws.led].map(({ term }) => term);
    expect(new Set(terms).size).toBe(terms.length);
  });

  test('a leader that does not wind up holds nobody else back, and runs only once at a time', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const stuck = await stand('stuck', () => held);
    const next = await stand('next');
    await leads(stuck);
    await inLine(2);
    stuck.peer.interrupt();
    await leads(next);
    expect(stuck.led).toHaveLength(1);
    await inLine(1);
    release();
    await inLine(2);
  });

  test('stopping leaves no candidate, and resolves once `lead` has settled', async () => {
    let settle = (): void => undefined;
    const windingUp = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const leader = await stand('leader', () => windingUp);
    await leads(leader);
    let stopped = false;
    const stop = leader.election.stop().then(() => {
      stopped = true;
    });
    await inLine(0);
    await leader.peer.session.sync();
    expect(stopped).toBe(false);
    settle();
    await stop;
  });

  test('however leaders are disturbed, no two of them write in one term, and none after a later term began', async () => {
    const busy = (id: string, session: () => Session) => async (leadership: Leadership) => {
      // Goes on after its signal, as a paused process would: the guard alone must hold it back.
      for (let refused = false; !refused; ) {
        const data = Buffer.from(`${leadership.term} ${id}`);
        const entry = { kind: 'create', path: '/log/e-', data, mode: 'persistent-sequential' } as const;
        const outcome = await session().write([leadership.guard(), entry]);
        refused = outcome.kind === 'refused' || (leadership.signal.aborted && outcome.kind !== 'applied');
        await observer.sync();
      }
    };
    const ids = ['a', 'b', 'c'];
    const crowd: Stander[] = [];
    for (const [index, id] of ids.entries()) {
      crowd.push(
        await stand(
          id,
          busy(id, () => (crowd[index] as Stander).peer.session),
        ),
      );
    }
    const leaderships = (): number => crowd.reduce((sum, { led }) => sum + led.length, 0);
    for (let round = 1; round <= 8; round += 1) {
      await eventually(() => expect(leaderships()).toBeGreaterThanOrEqual(round), { what: `round ${round}` });
      const leader = crowd.find(({ led }) => led.at(-1)?.signal.aborted === false);
      leader?.peer.interrupt();
    }
    await Promise.all(crowd.map(({ election }) => election.stop()));
    const names = ((await observer.children('/log')) ?? []).sort();
    const entries = await Promise.all(names.map((name) => observer.read(`/log/${name}`)));
    const written = entries.map((entry) => entry?.data.toString() ?? '').map((text) => text.split(' '));
    const terms = written.map(([term]) => Number(term));
    expect(terms).toEqual([...terms].sort((a, b) => a - b));
    const writers = new Map<number, Set<string | undefined>>();
    for (const [term, id] of written) {
      writers.set(Number(term), (writers.get(Number(term)) ?? new Set()).add(id));
    }
    expect([...writers.values()].every((who) => who.size === 1)).toBe(true);
    expect(writers.size).toBeGreaterThan(1);
  });
});

test('a leader steps down when its trust ends, even if its session notices nothing', async () => {
  const clock = new ManualClock();
  const runtime = { clock, random: systemRandom, log: silentLogger };
  const ensemble = new MemoryEnsemble(clock);
  // Its watchdog is starved: only what is due at once runs.
  const starved: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (delayMs, fn) => clock.after(delayMs === 0 ? 0 : Number.POSITIVE_INFINITY, fn),
    atEndOfTurn: (fn) => clock.atEndOfTurn(fn),
  };
  const session = ensemble.open({ timeoutMs: 1_000 }, { ...runtime, clock: starved });
  await clock.advance(0);
  await ensureTree(session, [path, `${path}/term`]);
  let leadership: Leadership | null = null;
  const lead = (given: Leadership): Promise<void> => {
    leadership = given;
    return aborted(given.signal);
  };
  const election = new Election(session, { path, id: 'starved', lead }, runtime);
  await election.start();
  await clock.advance(100);
  const { signal } = leadership as unknown as Leadership;
  await clock.advance(5_000);
  expect(signal.aborted).toBe(false);
  ensemble.partition(session, { silent: true });
  const frozenAt = clock.monotonic();
  while (!signal.aborted && clock.monotonic() < frozenAt + 2_000) await clock.advance(10);
  expect([signal.aborted, session.state]).toEqual([true, 'connected']);
  expect(clock.monotonic() - frozenAt).toBeLessThan(1_000);
});

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
