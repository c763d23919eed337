// failpoints.test.ts: the failpoint matrix: at every step of the protocol a process is killed, frozen beyond its session, or
// loses a reply, on a real ZooKeeper and a real Redis; what becomes of its task is what the design demands.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalServer, startRedis, startZooKeeper } from '../../infra/servers.js';
import { openSession } from '../../src/coordination/index.js';
import { cells, faults } from './cells.js';
import { bundleHost, Hosts } from './hosts.js';
import { startOutside } from './outside.js';
import {
  type Cell,
  differences,
  type Observation,
  type Played,
  play,
  sharedDedupWindowMs,
  Turns,
} from './play.js';
import { openGrounds, runtime, steadyTimeoutMs, type Theatre } from './stage.js';

/** Cells that are not merely waiting for the end of a lock or a session; two cores have all done soonest. */
const busyAtOnce = 12;
/** Processes started before they are asked for. */
const hostsAhead = 4;
const titleOf = ({ step, fault, policy }: Cell): string => `${step}, ${policy}: ${fault}`;

describe('the failpoint matrix', () => {
  const played = new Map<Cell, Promise<Played>>();
  const over: (() => Promise<unknown>)[] = [];

  // biome-ignore lint/correctness/noEmptyPattern: vitest demands a pattern here.
  beforeAll(async ({}, suite) => {
    const [zookeeper, redis, outside] = await Promise.all([
      startZooKeeper({ tickTimeMs: 200 }),
      startRedis(),
      startOutside(),
    ]);
    over.unshift(() => stopAll([zookeeper, redis]), outside.close);
    const folder = await mkdtemp(join(tmpdir(), 'claimkeeper-failpoints-'));
    over.unshift(() => rm(folder, { recursive: true }));
    const hosts = new Hosts(await bundleHost(folder), outside.url, hostsAhead);
    over.unshift(() => hosts.close());
    const session = openSession({ servers: zookeeper.url, chroot: '', timeoutMs: steadyTimeoutMs }, runtime);
    over.unshift(() => session.close());
    await session.connected(20_000);
    const urls = { zookeeperUrl: zookeeper.url, redisUrl: redis.url };
    const theatre: Theatre = { ...urls, outside, hosts, steady: await hosts.take(), session };
    const shared = await openGrounds(theatre, sharedDedupWindowMs);
    over.unshift(() => shared.deliveries.stop());
    await shared.rest.ask('lead');
    const turns = new Turns(busyAtOnce);
    const wanted = new Set(suite.tasks.flatMap(({ mode, name }) => (mode === 'run' ? [name] : [])));
    for (const cell of cells.filter((each) => wanted.has(titleOf(each)))) {
      played.set(cell, play(cell, theatre, shared, turns));
    }
  });

  afterAll(async () => {
    const all = await Promise.all([...played].map(async ([cell, result]) => [cell, await result] as const));
    console.log(tableOf(all));
    for (const end of over) await end().catch((error) => console.error(error));
  }, 120_000);

  test.each(cells.map((cell) => [titleOf(cell), cell] as const))(
    '%s',
    async (_, cell) => {
      const { observed } = (await played.get(cell)) ?? { observed: new Error('it was not played') };
      if (observed instanceof Error) throw observed;
      expect(differences(cell.expected, observed)).toEqual([]);
    },
    240_000,
  );
});

describe('the comparison fails where a cell ends otherwise', () => {
  const [cell] = cells;
  if (cell === undefined) throw new Error('there is no cell');
  const { expected } = cell;
  const right: Observation = { ...expected, answer: expected.answer[0] ?? '', left: [], unfenced: [] };

  test('and not where it ends as demanded', () => expect(differences(expected, right)).toEqual([]));

  test.each([
    ['another state', { state: 'uncertain' }],
    ['another attempt', { attempt: 2 }],
    ['an attempt more in the record', { attempts: ['1 failed', '2 succeeded'] }],
    ['an effect lost', { effects: [] }],
    ['an effect twice', { effects: [1, 1] }],
    ['a replay nobody asked for', { replays: 1 }],
    ['an answer that is not true', { answer: 'none' }],
    ['a claim left', { left: ['claim-x-0000000001'] }],
    ['a fence that does not grow', { unfenced: [2] }],
  ] as const)('%s', (_, doctored) => {
    expect(differences(expected, { ...right, ...doctored })).toHaveLength(1);
  });
});

async function stopAll(servers: readonly LocalServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
}

/** A row per step and policy: how each fault ended, with the attempts that had an effect. */
function tableOf(all: readonly (readonly [Cell, Played])[]): string {
  const rows = new Map<string, Record<string, string>>();
  for (const [cell, result] of all) {
    const name = `${cell.step}, ${cell.policy}`;
    rows.set(name, { ...rows.get(name), [cell.fault]: shown(cell, result) });
  }
  const header = ['', ...faults];
  const lines = [...rows].map(([name, ends]) => [name, ...faults.map((fault) => ends[fault] ?? '')]);
  const widths = header.map((_, i) => Math.max(...[header, ...lines].map((line) => (line[i] ?? '').length)));
  const text = [header, ...lines].map((line) =>
    line.map((each, i) => each.padEnd(widths[i] ?? 0)).join('  '),
  );
  return `\n${text.join('\n')}\n${all.length} cells`;
}

function shown({ expected }: Cell, { observed, ms }: Played): string {
  const seconds = `${(ms / 1_000).toFixed(1)} s`;
  if (observed instanceof Error) return `✗ ${observed.message} ${seconds}`;
  const mark = differences(expected, observed).length === 0 ? '' : '✗ ';
  return `${mark}${observed.state} [${observed.effects}] ${seconds}`;
}
