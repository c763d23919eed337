// memory-ensemble.test.ts: the faults that the memory twin injects do what simulations believe they do. What it shares with
// real ZooKeeper is contract/session-contract.ts.

import { describe, expect, test } from 'vitest';
import { MemoryEnsemble, type Session, type WriteOp } from '../../src/coordination/index.js';
import { type Runtime, silentLogger, systemRandom } from '../../src/runtime/index.js';
import { ManualClock } from '../support/manual-clock.js';

const timeoutMs = 1_000;

function create(path: string, mode: 'persistent' | 'ephemeral' = 'persistent'): WriteOp {
  return { kind: 'create', path, data: Buffer.alloc(0), mode };
}

function world(latencyMs?: () => number) {
  const clock = new ManualClock();
  const runtime: Runtime = { clock, random: systemRandom, log: silentLogger };
  const ensemble = new MemoryEnsemble(clock, latencyMs);
  return { clock, runtime, ensemble, open: () => ensemble.open({ timeoutMs }, runtime) };
}

/** Every state the session enters, with the time. */
function record(session: Session, clock: ManualClock): string[] {
  const states: string[] = [];
  const from = clock.monotonic();
  session.on('state', ({ state }) => states.push(`${clock.monotonic() - from} ${state}`));
  return states;
}

describe('the twin', () => {
  test('answers in a later turn, by itself when there is no latency', async () => {
    const { open } = world();
    const session = open();
    expect(session.state).toBe('connecting');
    await session.connected(timeoutMs);
    let answered = false;
    const write = session.write([create('/a')]).then(() => {
      answered = true;
    });
    await Promise.resolve();
    expect(answered).toBe(false);
    await write;
  });

  test('an expiry ends the session on the server at once, and the client learns of it when it reconnects', async () => {
    const { clock, ensemble, open } = world();
    const [session, observer] = [open(), open()];
    await clock.advance(0);
    await session.write([create('/mine', 'ephemeral')]);
    const states = record(session, clock);
    if (session.sessionId !== null) ensemble.expire(session.sessionId);
    expect(await observer.read('/mine')).toBeNull();
    await clock.advance(0);
    expect(states).toEqual(['0 suspended', '0 lost', '0 connecting', '0 connected']);
  });

  test('a silence is noticed at two thirds of the timeout, and the session is lost at the whole of it', async () => {
    const { clock, ensemble, open } = world();
    const [session, observer] = [open(), open()];
    await clock.advance(50);
    await session.write([create('/mine', 'ephemeral')]);
    const states = record(session, clock);
    ensemble.partition(session, { silent: true });
    await clock.advance(600);
    expect([session.state, session.trusted()]).toEqual(['connected', true]);
    await clock.advance(450);
    expect(states).toEqual([`${(timeoutMs * 2) / 3} suspended`, '1000 lost', '1000 connecting']);
    await clock.advance(100);
    expect(await observer.read('/mine')).toBeNull();
  });

  test('a silence that begins again while the last one ends keeps back what has not arrived', async () => {
    const { clock, ensemble, open } = world();
    const [session, observer] = [open(), open()];
    await clock.advance(0);
    ensemble.partition(session, { silent: true });
    const writes = [session.write([create('/first')]), session.write([create('/second')])];
    await clock.advance(1);
    const write = ensemble.write.bind(ensemble);
    ensemble.write = (...asked) => {
      ensemble.write = write;
      const answer = write(...asked);
      ensemble.partition(session, { silent: true });
      return answer;
    };
    ensemble.heal(session);
    expect(await observer.read('/first')).not.toBeNull();
    expect(await observer.read('/second')).toBeNull();
    ensemble.heal(session);
    expect((await Promise.all(writes)).map(({ kind }) => kind)).toEqual(['applied', 'applied']);
  });

  test('what was sent into a silence that ends in time arrives late, and is answered', async () => {
    const { clock, ensemble, open } = world();
    const [session, observer] = [open(), open()];
    await clock.advance(0);
    ensemble.partition(session, { silent: true });
    const write = session.write([create('/late')]);
    await clock.advance(300);
    expect(await observer.read('/late')).toBeNull();
    ensemble.heal(session);
    expect((await write).kind).toBe('applied');
    await clock.advance(5_000);
    expect([session.state, session.trusted()]).toEqual(['connected', true]);
  });

  test('a write given up at its deadline may still be applied', async () => {
    const { clock, ensemble, open } = world();
    const session = open();
    await clock.advance(0);
    ensemble.partition(session, { silent: true });
    const write = session.write([create('/late')], { deadlineMs: 100 });
    await clock.advance(100);
    expect((await write).kind).toBe('unknown');
    ensemble.heal(session);
    await clock.advance(0);
    expect(await session.read('/late')).not.toBeNull();
  });

  test('what was sent into a silence that outlasts the session is not applied', async () => {
    const { clock, ensemble, open } = world();
    const [session, observer] = [open(), open()];
    await clock.advance(0);
    ensemble.partition(session, { silent: true });
    const write = session.write([create('/late')]);
    if (session.sessionId !== null) ensemble.expire(session.sessionId);
    ensemble.heal(session);
    expect((await write).kind).toBe('unknown');
    await clock.advance(0);
    expect(await observer.read('/late')).toBeNull();
  });

  test('a quorum that was never lost ends no session by coming back', async () => {
    const { clock, ensemble, open } = world();
    const session = open();
    await clock.advance(50);
    await session.write([create('/mine', 'ephemeral')]);
    const states = record(session, clock);
    ensemble.up();
    await clock.advance(3 * timeoutMs);
    expect(states).toEqual([]);
    expect(await session.read('/mine')).not.toBeNull();
  });

  test('a follower shows what was written late, until it is asked to sync or has written itself', async () => {
    const clock = new ManualClock();
    const runtime: Runtime = { clock, random: systemRandom, log: silentLogger };
    const ensemble = new MemoryEnsemble(
      clock,
      () => 0,
      () => 500,
    );
    const writer = ensemble.open({ timeoutMs }, runtime);
    const reader = ensemble.open({ timeoutMs, stale: true }, runtime);
    await clock.advance(0);
    await writer.write([create('/a')]);
    let changed = false;
    const watching = (): void => {
      changed = true;
    };
    expect(await reader.read('/a', watching)).toBeNull();
    expect(await writer.read('/a')).not.toBeNull();
    await clock.advance(400);
    expect([changed, await reader.read('/a')]).toEqual([false, null]);
    await clock.advance(200);
    expect(changed).toBe(true);
    expect(await reader.read('/a')).not.toBeNull();
    await writer.write([create('/b')]);
    expect(await reader.read('/b')).toBeNull();
    await reader.sync();
    expect(await reader.read('/b')).not.toBeNull();
    await writer.write([create('/c')]);
    await reader.write([create('/d')]);
    expect(await reader.read('/c')).not.toBeNull();
  });

  test.each(['requestLost', 'replyLost'] as const)(
    'of the requests of a kind, the one meant meets its fault: %s',
    async (how) => {
      const { ensemble, open } = world();
      const session = open();
      await session.connected(timeoutMs);
      let hits = 0;
      const onHit = (): void => {
        hits += 1;
      };
      ensemble.meddle(session, { which: ({ kind }) => kind === 'write', skip: 1, how, onHit });
      expect(await session.read('/a')).toBeNull();
      expect((await session.write([create('/a')])).kind).toBe('applied');
      expect(hits).toBe(0);
      expect((await session.write([create('/b')])).kind).toBe('unknown');
      expect(hits).toBe(1);
      expect(await session.read('/b')).toEqual(how === 'replyLost' ? expect.anything() : null);
    },
  );

  test('a reply can be lost before its write is applied', async () => {
    const { ensemble, open } = world();
    const session = open();
    await session.connected(timeoutMs);
    ensemble.loseNextReply(session, { applied: false });
    expect((await session.write([create('/a')])).kind).toBe('unknown');
    expect(await session.read('/a')).toBeNull();
    expect((await session.write([create('/a')])).kind).toBe('applied');
  });

  test('without a quorum no session expires; afterwards each has its whole timeout, and ghosts outlive their clients', async () => {
    const { clock, ensemble, open } = world();
    const session = open();
    await clock.advance(50);
    await session.write([create('/mine', 'ephemeral')]);
    const ghost = session.sessionId;
    const states = record(session, clock);
    ensemble.down();
    await clock.advance(5_000);
    expect(states).toEqual(['0 suspended', '1000 lost', '1000 connecting']);
    ensemble.up();
    await clock.advance(900);
    expect(session.state).toBe('connected');
    expect((await session.read('/mine'))?.stat.ephemeralOwner).toBe(ghost);
    await clock.advance(200);
    expect(await session.read('/mine')).toBeNull();
  });

  test('a client that comes back within the timeout keeps its session', async () => {
    const { clock, ensemble, open } = world();
    const session = open();
    await clock.advance(0);
    const id = session.sessionId;
    ensemble.down();
    await clock.advance(900);
    ensemble.up();
    await clock.advance(5_000);
    expect([session.state, session.sessionId]).toEqual(['connected', id]);
  });

  test('after a wipe the ensemble refuses those who have seen more, until they ask for a new session', async () => {
    const { clock, ensemble, open } = world();
    const session = open();
    await clock.advance(0);
    for (const path of ['/a', '/b', '/c']) await session.write([create(path)]);
    const before = await session.sync();
    ensemble.wipe();
    await clock.advance(500);
    expect(session.state).toBe('suspended');
    await clock.advance(600);
    expect(session.state).toBe('connected');
    expect(await session.children('/')).toEqual([]);
    expect(await session.sync()).toBeLessThan(before);
  });

  test('a restored snapshot brings back data, sequence numbers, ephemerals and the zxid of then', async () => {
    const { clock, ensemble, open } = world();
    const session = open();
    await clock.advance(0);
    const next: WriteOp = {
      kind: 'create',
      path: '/q/n-',
      data: Buffer.alloc(0),
      mode: 'persistent-sequential',
    };
    await session.write([create('/q'), next, create('/mine', 'ephemeral')]);
    const owner = session.sessionId;
    const zxid = await session.sync();
    const snapshot = ensemble.snapshot();
    await session.write([next, { kind: 'set', path: '/q', data: Buffer.from('later'), version: 0 }]);
    ensemble.restore(snapshot);
    await clock.advance(1_100);
    const again = open();
    await again.connected(timeoutMs);
    expect((await again.read('/q'))?.data.toString()).toBe('');
    expect(await again.children('/q')).toEqual(['n-0000000000']);
    const outcome = await again.write([next]);
    expect(outcome).toMatchObject({ results: [{ path: '/q/n-0000000001' }] });
    expect(snapshot.sessions.map(({ id }) => id)).toEqual([owner]);
    expect(ensemble.zxid).toBeGreaterThan(zxid);
    expect(await again.read('/mine')).toBeNull(); // Nobody came back for that session.
  });

  test('a message waits for its latency, and none overtakes another', async () => {
    const latencies = [5, 5, 40, 1, 1, 1, 1, 1, 1, 1, 1];
    const { clock, open } = world(() => latencies.shift() ?? 1);
    const session = open();
    await clock.advance(10);
    expect(session.state).toBe('connected');
    const order: string[] = [];
    for (const path of ['/slow', '/quick', '/quicker']) {
      void session.write([create(path)]).then((outcome) => order.push(`${path} ${outcome.kind}`));
    }
    await clock.advance(1);
    expect(order).toEqual([]);
    await clock.advance(100);
    expect(order).toEqual(['/slow applied', '/quick applied', '/quicker applied']);
  });

  test('the same seed gives the same story, whatever faults it holds', async () => {
    const [one, same, other] = [await story(1), await story(1), await story(2)];
    expect(one).toEqual(same);
    expect(one).not.toEqual(other);
    expect(one.length).toBeGreaterThan(100);
  });
});

/** What three sessions live through under random writes, latencies and faults. */
async function story(seed: number): Promise<string[]> {
  let state = seed;
  const roll = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const { clock, ensemble, open } = world(() => Math.floor(roll() * 20));
  const sessions = [open(), open(), open()];
  const lines: string[] = [];
  const tell = (line: string): void => void lines.push(`${clock.monotonic()} ${line}`);
  for (const [n, session] of sessions.entries()) session.on('state', (event) => tell(`${n} ${event.state}`));
  for (let step = 0; step < 300; step += 1) {
    const n = Math.floor(roll() * 3);
    const session = sessions[n];
    if (session === undefined) continue;
    const fault = roll();
    if (fault < 0.03) ensemble.partition(session, { silent: roll() < 0.5 });
    else if (fault < 0.1) ensemble.heal(session);
    else if (fault < 0.13) ensemble.loseNextReply(session, { applied: roll() < 0.5 });
    else if (fault < 0.14) ensemble.down();
    else if (fault < 0.2) ensemble.up();
    const op = create(`/${Math.floor(roll() * 40)}`, roll() < 0.5 ? 'ephemeral' : 'persistent');
    void session
      .write([op])
      .then((outcome) => tell(`${n} ${op.path} ${JSON.stringify(outcome, jsonOfBigInt)}`));
    await clock.advance(Math.floor(roll() * 60));
  }
  return lines;
}

function jsonOfBigInt(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
