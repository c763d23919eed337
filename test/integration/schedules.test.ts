// schedules.test.ts: schedules on real servers: leaders whose process is killed, or whose session ends, at the tick; and a
// thousand schedules that are due in the same second.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { openSession } from '../../src/coordination/zookeeper/index.js';
import { limits, type ScheduleId, tickId } from '../../src/domain/index.js';
import { type Claimkeeper, connect, defineTask } from '../../src/index.js';
import { bucketPath, buckets } from '../../src/ledger/paths.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { Scheduler } from '../../src/scheduler/index.js';
import { join } from '../support/crew.js';
import { emptyRedis } from '../support/empty-redis.js';
import { eventually } from '../support/eventually.js';
import { redisUrl, uniqueChroot, uniquePrefix, zookeeperUrl } from '../support/servers.js';
import { tickOf } from '../support/ticks.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

type Place = { readonly chroot: string; readonly prefix: string };

async function keeperAt(place: Place): Promise<Claimkeeper> {
  const keeper = await connect({
    zookeeper: zookeeperUrl(),
    redis: redisUrl(),
    sessionTimeoutMs: 2_000,
    requestMsMax: 30_000,
    log: silentLogger,
    ...place,
  });
  cleanups.push(() => keeper.close());
  return keeper;
}

/** Reads what the library does not tell: who leads, and which tasks there are. */
async function lookInto({ chroot }: Pick<Place, 'chroot'>) {
  const session = openSession({ servers: zookeeperUrl(), chroot, timeoutMs: 10_000 }, runtime);
  cleanups.push(() => session.close());
  await session.connected(10_000);
  return {
    leader: async () => String((await session.read('/leader/term'))?.data ?? ''),
    taskIds: async () => {
      const lists = await Promise.all(buckets.map((bucket) => session.children(bucketPath(bucket))));
      return lists.flatMap((list) => list ?? []);
    },
  };
}

async function startScheduler({ chroot, prefix }: Place): Promise<ChildProcess> {
  const child = fork(main, ['scheduler'], {
    env: {
      PATH: process.env.PATH,
      CLAIMKEEPER_ZOOKEEPER: zookeeperUrl(),
      CLAIMKEEPER_REDIS: redisUrl(),
      CLAIMKEEPER_CHROOT: chroot,
      CLAIMKEEPER_PREFIX: prefix,
      CLAIMKEEPER_SESSION_TIMEOUT_MS: '2000',
      CLAIMKEEPER_LOG_LEVEL: 'silent',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  cleanups.push(() => kill(child));
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`a scheduler ended with ${code}`);
  });
  await Promise.race([once(child, 'message'), exited]);
  exited.catch(() => undefined);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Resolves within some ms of the beginning of a second. */
async function nextSecond(): Promise<void> {
  const now = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 1_000 - (now % 1_000)));
}

/** Every second from the first to the last of `ids`, and nothing else. */
function gapless(ids: readonly string[], schedule: string): string[] {
  const ticks = ids.map((id) => tickOf(id)?.tick ?? Number.NaN).sort((a, b) => a - b);
  const first = ticks[0] ?? 0;
  return ticks.map((_, n) => tickId(schedule as ScheduleId, (first + n * 1_000) as never));
}

test('schedulers whose process is killed at the tick: every tick has one task, that runs once', async () => {
  const place = { chroot: uniqueChroot(), prefix: uniquePrefix() };
  const keeper = await keeperAt(place);
  const look = await lookInto(place);
  const ran: string[] = [];
  const job = defineTask('job', { handler: (_, { task }) => void ran.push(task.id) });
  await keeper.worker({ types: [job], concurrency: 50 }).start();
  const schedulers = [await startScheduler(place), await startScheduler(place)];
  await keeper.schedules.create({
    id: 'tick',
    cron: '* * * * * *',
    task: { type: 'job' },
    misfire: { policy: 'all' },
  });
  const fired = async (): Promise<string[]> => (await look.taskIds()).filter((id) => id.startsWith('tick@'));
  const leading = async (): Promise<ChildProcess> => {
    const leader = await look.leader();
    const child = schedulers.find(
      ({ pid, signalCode }) => signalCode === null && leader.startsWith(`${pid}-`),
    );
    if (child === undefined) throw new Error(`nobody leads: ${leader}`);
    return child;
  };
  for (let n = 1; n <= 2; n += 1) {
    const before = (await fired()).length;
    await eventually(async () => expect((await fired()).length).toBeGreaterThan(before + 1), {
      deadlineMs: 20_000,
      what: 'a leader fires',
    });
    const leader = await eventually(leading, { what: 'somebody leads' });
    await nextSecond();
    await kill(leader);
    schedulers.push(await startScheduler(place));
  }
  const before = (await fired()).length;
  await eventually(async () => expect((await fired()).length).toBeGreaterThan(before + 2), {
    deadlineMs: 20_000,
    what: 'a leader fires again',
  });
  await keeper.schedules.pause('tick');
  const ids = (await fired()).sort();
  expect(ids).toEqual(gapless(ids, 'tick'));
  await eventually(() => expect([...ran].sort()).toEqual(ids), {
    deadlineMs: 45_000, // The hint at a task may die with its leader: then the next leader's second pass finds it.
    what: 'each task has run once',
  });
}, 120_000);

test('schedulers whose session ends, whose reply is lost or who are cut off at the tick: every tick has one task', async () => {
  const world = await zookeeperWorld();
  cleanups.push(() => world.close());
  const parties = [await join(world, () => undefined), await join(world, () => undefined)];
  const options = { graceMs: 1_000, reconcileEveryMs: 600_000, dedupWindowMs: 600_000, historyMs: 1_000 };
  for (const [n, party] of parties.entries()) {
    const scheduler = new Scheduler(options, `n${n}`, party.ctx, party.generation, emptyRedis);
    await scheduler.start();
    cleanups.push(() => scheduler.stop());
  }
  const desk = await join(world, () => undefined);
  const { Schedules } = await import('../../src/schedules.js');
  const schedules = new Schedules(desk.ctx, { deadlineMs: 10_000 }, async () => undefined);
  await schedules.create({
    id: 'tick',
    cron: '* * * * * *',
    task: { type: 'job' },
    misfire: { policy: 'all' },
  });
  const { session } = desk.ctx;
  const fired = async (): Promise<string[]> => {
    const lists = await Promise.all(buckets.map((bucket) => session.children(bucketPath(bucket))));
    return lists.flatMap((list) => list ?? []);
  };
  const leader = async () => {
    const name = String((await session.read('/leader/term'))?.data ?? '');
    return parties[Number(name.slice(1))] ?? parties[0];
  };
  const more = async (): Promise<void> => {
    const before = (await fired()).length;
    await eventually(async () => expect((await fired()).length).toBeGreaterThan(before + 1), {
      deadlineMs: 20_000,
      what: 'a leader fires',
    });
  };
  for (const trouble of ['loseNextReply', 'cutOff', 'freeze', 'interrupt'] as const) {
    await more();
    const peer = (await leader())?.peer;
    await nextSecond();
    peer?.[trouble]();
    await more();
    peer?.rejoin();
  }
  await schedules.pause('tick');
  const ids = (await fired()).sort();
  expect(ids.length).toBeGreaterThan(8);
  expect(ids).toEqual(gapless(ids, 'tick'));
}, 120_000);

async function inParts(ids: readonly string[], each: (id: string) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < ids.length; from += 100) await Promise.all(ids.slice(from, from + 100).map(each));
}

test('a thousand schedules that are due in the same second all fire, and each once', async () => {
  const place = { chroot: uniqueChroot(), prefix: uniquePrefix() };
  const keeper = await keeperAt(place);
  const look = await lookInto(place);
  await keeper.scheduler().start();
  const ids = Array.from({ length: 1_000 }, (_, n) => `s${n}`);
  const far = { cron: '0 0 1 1 *', task: { type: 'job', payload: { text: 'x'.repeat(200) } } };
  const createdFrom = Date.now();
  await inParts(ids, (id) => keeper.schedules.create({ id, ...far }));
  const createMs = Date.now() - createdFrom;
  // Changing them takes about as long as creating them did.
  const due = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 5_000 + 3 * createMs);
  due.setUTCMilliseconds(0);
  const cron = `${due.getUTCSeconds()} ${due.getUTCMinutes()} ${due.getUTCHours()} * * *`;
  await inParts(ids, (id) => keeper.schedules.update({ id, ...far, cron }));
  const changedMs = Date.now() - due.getTime();
  expect(changedMs).toBeLessThan(-1_500); // Else the tick is not what they wait for.
  const wanted = ids.map((id) => tickId(id as ScheduleId, due.getTime() as never)).sort();
  await eventually(async () => expect((await look.taskIds()).length).toBe(limits.batchTasksMax), {
    deadlineMs: 60_000,
    what: 'all have fired',
  });
  expect((await look.taskIds()).sort()).toEqual(wanted);
}, 180_000);
