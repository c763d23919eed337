// generation.test.ts: an ensemble whose data was wiped or restored stops every process that knows better, until an operator
// confirms it (P11).

import { afterEach, describe, expect, test } from 'vitest';
import { startZooKeeper } from '../../infra/servers.js';
import {
  Commits,
  confirmRestore,
  Generation,
  MemoryEnsemble,
  openSession,
  type Session,
} from '../../src/coordination/index.js';
import { type Runtime, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { withMethods } from '../support/crew.js';
import { eventually } from '../support/eventually.js';

const runtime: Runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
const timeoutMs = 1_000;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

type Party = { readonly session: Session; readonly generation: Generation; readonly commits: Commits };

async function join(session: Session): Promise<Party> {
  cleanups.push(() => session.close());
  await session.connected(10_000);
  const generation = new Generation(session, runtime);
  await generation.prove();
  return { session, generation, commits: new Commits(session, generation, runtime.clock) };
}

function write({ commits }: Party, path: string): ReturnType<Commits['commit']> {
  return commits.commit([{ kind: 'create', path, data: Buffer.alloc(0), mode: 'persistent' }], {
    lane: 'write',
  });
}

function halted({ generation }: Party): Promise<void> {
  return eventually(() => expect(generation.halted).toBe(true), { what: 'the process is halted' });
}

function proven({ generation }: Party): Promise<void> {
  return eventually(() => expect([generation.halted, generation.guard()?.kind]).toEqual([false, 'check']), {
    what: 'the process may write again',
  });
}

describe('on the memory twin', () => {
  test('all processes of one tree hold one generation, and may write', async () => {
    const ensemble = new MemoryEnsemble(systemClock);
    const parties = await Promise.all([1, 2, 3].map(() => join(ensemble.open({ timeoutMs }, runtime))));
    expect(new Set(parties.map(({ generation }) => generation.id)).size).toBe(1);
    for (const [i, party] of parties.entries()) expect((await write(party, `/n${i}`)).kind).toBe('applied');
  });

  test('a tree that went back to an older state halts who has seen a newer one, and a confirmed restore lets it go on', async () => {
    const ensemble = new MemoryEnsemble(systemClock);
    const party = await join(ensemble.open({ timeoutMs }, runtime));
    const backup = ensemble.snapshot();
    // More than the restored tree will have written by the time it is compared: the zxid is all there is to see.
    for (let i = 0; i < 20; i += 1) expect((await write(party, `/paid-${i}`)).kind).toBe('applied');
    ensemble.restore(backup);
    await halted(party);
    expect(await write(party, '/other')).toMatchObject({ kind: 'notSent' });
    const operator = ensemble.open({ timeoutMs }, runtime);
    cleanups.push(() => operator.close());
    await operator.connected(10_000);
    const id = await confirmRestore(operator, [], runtime);
    await proven(party);
    expect(party.generation.id).toBe(id);
    expect((await write(party, '/other')).kind).toBe('applied');
  });

  test('a session that a restored snapshot lists ends once that is confirmed: what was read in it is not written upon', async () => {
    const ensemble = new MemoryEnsemble(systemClock);
    const client = ensemble.open({ timeoutMs }, runtime);
    const party = await join(client);
    const operator = ensemble.open({ timeoutMs }, runtime);
    cleanups.push(() => operator.close());
    await operator.connected(10_000);
    const set = (data: string, version: number) =>
      ({ kind: 'set', path: '/record', data: Buffer.from(data), version }) as const;
    expect((await write(party, '/record')).kind).toBe('applied');
    const backup = ensemble.snapshot();
    expect((await party.commits.commit([set('lost', 0)], { lane: 'write' })).kind).toBe('applied');
    const readIn = client.sessionId;
    ensemble.partition(client);
    ensemble.restore(backup);
    await operator.connected(10_000);
    // Version 1 once more, and of something else; more of them than the client has seen of the tree that is lost.
    expect((await operator.write([set('since', 0)])).kind).toBe('applied');
    await confirmRestore(operator, [], runtime);
    ensemble.heal(client);
    const stale = party.commits.commit([set('stale', 1)], { lane: 'write', session: readIn });
    expect(await stale).toMatchObject({ kind: 'notSent' });
    await eventually(() => expect(client.sessionId).not.toBe(readIn), { what: 'another session' });
    await proven(party);
    const later = party.commits.commit([set('stale', 1)], { lane: 'write', session: readIn });
    expect(await later).toMatchObject({ kind: 'notSent' });
    expect((await operator.read('/record'))?.data.toString()).toBe('since');
  });

  test('a session that is lost while its process makes the first generation is followed by one that may write', async () => {
    const ensemble = new MemoryEnsemble(systemClock);
    const client = ensemble.open({ timeoutMs }, runtime);
    await client.connected(10_000);
    const first = client.sessionId;
    const session = withMethods(client, {
      write: async (ops) => {
        const outcome = await client.write(ops);
        if (client.sessionId === first && first !== null) {
          ensemble.expire(first);
          await eventually(
            () => expect([client.state, client.sessionId === first]).toEqual(['connected', false]),
            {
              what: 'another session',
            },
          );
        }
        return outcome;
      },
    });
    const party = await join(session);
    await proven(party);
    expect((await write(party, '/n')).kind).toBe('applied');
  });

  test('writes that are answered while the generation is being proven do not look like a step back', async () => {
    const ensemble = new MemoryEnsemble(systemClock);
    const party = await join(ensemble.open({ timeoutMs }, runtime));
    for (let i = 0; i < 50; i += 1) {
      await Promise.all([party.generation.prove(), write(party, `/a${i}`), write(party, `/b${i}`)]);
    }
    expect(party.generation.halted).toBe(false);
  });
});

describe('on real ZooKeeper', () => {
  test('a wiped ensemble halts who knew the old one, also after newcomers have begun a new generation', async () => {
    const server = await startZooKeeper();
    cleanups.push(() => server.stop());
    const open = (): Session => openSession({ servers: server.url, chroot: '/app', timeoutMs }, runtime);
    const party = await join(open());
    const old = party.generation.id ?? '';
    await server.stop();
    await server.restart();
    await halted(party);
    const newcomer = await join(open());
    expect(newcomer.generation.halted).toBe(false);
    expect(newcomer.generation.id).not.toBe(old);
    expect(await write(party, '/from-before')).toMatchObject({ kind: 'notSent' });
    await confirmRestore(newcomer.session, [old], runtime);
    await Promise.all([proven(party), proven(newcomer)]);
    expect(party.generation.id).toBe(newcomer.generation.id);
    expect((await write(party, '/from-before')).kind).toBe('applied');
  });
});
