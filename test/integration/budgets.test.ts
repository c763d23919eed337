// budgets.test.ts: what a task may cost ZooKeeper and Redis, counted by the servers themselves and not timed: a regression is found
// on a slow machine as on a fast one. What it costs in time is `npm run bench`.

import { Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { ask, type LocalServer } from '../../infra/local-server.js';
import { startRedis, startZooKeeper } from '../../infra/servers.js';
import { type Claimkeeper, connect, defineTask } from '../../src/index.js';
import { silentLogger } from '../../src/runtime/index.js';

/** Per task, from its submit to its completion, beyond what is there without tasks. */
type Cost = {
  /** That ZooKeeper has committed: each is synced to its disk, together with those that came meanwhile. */
  readonly transactions: number;
  /** In those transactions. */
  readonly operations: number;
  /** That Redis has run, those that its scripts call among them. */
  readonly commands: number;
  /** Reads from sockets: commands that come together are one. */
  readonly reads: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
};

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** Servers of its own: others would count here as well. */
async function started(server: Promise<LocalServer>): Promise<LocalServer> {
  const one = await server;
  cleanups.push(() => one.stop());
  return one;
}

async function counted(zookeeper: LocalServer, redis: Redis): Promise<Omit<Cost, 'operations'>> {
  const zxid = /^Zxid: 0x([0-9a-f]+)$/m.exec(await ask(zookeeper.port, 'srvr'))?.[1];
  const info = await redis.info('stats');
  const stat = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1]);
  return {
    transactions: Number.parseInt(zxid ?? '', 16),
    commands: stat('total_commands_processed'),
    reads: stat('total_reads_processed'),
    bytesIn: stat('total_net_input_bytes'),
    bytesOut: stat('total_net_output_bytes'),
  };
}

type Load = (keeper: Claimkeeper, ended: (count: number) => Promise<void>) => Promise<void>;

async function costOf(tasks: number, load: Load): Promise<Cost> {
  const [zookeeper, server] = await Promise.all([started(startZooKeeper()), started(startRedis())]);
  const redis = new Redis(server.url);
  cleanups.push(() => redis.quit());
  const keeper = await connect({ zookeeper: zookeeper.url, redis: server.url, log: silentLogger });
  cleanups.push(() => keeper.close());

  let count = 0;
  let awaited: { readonly count: number; resolve(): void } | null = null;
  const worker = keeper.worker({ types: [defineTask('noop', { handler: () => 0 })], concurrency: 100 });
  worker.on('ended', ({ ending }) => {
    if (ending === 'succeeded') count += 1;
    if (count === awaited?.count) awaited.resolve();
  });
  await worker.start();

  const before = await counted(zookeeper, redis);
  const ended = (count: number): Promise<void> =>
    new Promise((resolve) => {
      awaited = { count, resolve };
    });
  await load(keeper, ended);
  const { operations } = keeper.stats().commits;
  // Sends what still waits to be noted; its own few transactions and commands are among those that are counted.
  await keeper.close();
  const after = await counted(zookeeper, redis);
  expect(count).toBe(tasks);
  const perTask = (from: number, to: number): number => (to - from) / tasks;
  return {
    transactions: perTask(before.transactions, after.transactions),
    operations: perTask(0, operations),
    commands: perTask(before.commands, after.commands),
    reads: perTask(before.reads, after.reads),
    bytesIn: perTask(before.bytesIn, after.bytesIn),
    bytesOut: perTask(before.bytesOut, after.bytesOut),
  };
}

function expectWithin(cost: Cost, budget: Cost): void {
  const over = Object.entries(budget).filter(([name, most]) => !(cost[name as keyof Cost] <= most));
  expect(over, `cost per task: ${JSON.stringify(cost)}`).toEqual([]);
}

const payload = 'x'.repeat(98);

test('a task that comes with many shares their transactions and round trips', async () => {
  const tasks = 2_000;
  const cost = await costOf(tasks, async (keeper, ended) => {
    const inputs = Array.from({ length: tasks }, (_, n) => ({ id: `t${n}`, type: 'noop', payload }));
    const all = ended(tasks);
    await keeper.submitMany(inputs);
    await all;
  });
  expectWithin(cost, {
    transactions: 0.1,
    operations: 3.2,
    commands: 8,
    reads: 0.2,
    bytesIn: 500,
    bytesOut: 40,
  });
});

test('a task that comes alone takes three transactions: accepted, claimed, completed', async () => {
  const tasks = 100;
  const cost = await costOf(tasks, async (keeper, ended) => {
    for (let n = 0; n < tasks; n += 1) {
      const end = ended(n + 1);
      await keeper.submit({ id: `t${n}`, type: 'noop', payload });
      await end;
    }
  });
  // What it has become is noted for lists in one go or in three, as it happens, each time with the script that does it.
  expectWithin(cost, {
    transactions: 3.1,
    operations: 8.1,
    commands: 90,
    reads: 12,
    bytesIn: 18_000,
    bytesOut: 1_000,
  });
});
