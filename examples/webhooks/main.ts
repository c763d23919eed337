// main.ts: `npm start`. A fleet sends two thousand webhooks, each once, while one of its workers is frozen past its
// ZooKeeper session: brings everything up, submits through the HTTP API, and counts at the receiver, which is no part of
// Claimkeeper.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { acquireServers } from '../../infra/servers.js';
import { type Claimkeeper, connect, type FleetMember, type State } from '../../src/index.js';
import { showProgress } from './progress.js';
import { startReceiver } from './receiver.js';
import { whenStarterEnds } from './starter.js';

type Task = { readonly id: string };
type Frozen = {
  readonly member: FleetMember;
  readonly frozenMs: number;
  readonly returned: FleetMember;
  readonly tasks: readonly string[];
};

const workers = 2;
const sessionTimeoutMs = 2_000;
const receiverLatencyMs = 40;
const deadlineMs = 120_000;
/** The fleet itself would wait for Redis for ever. */
const redisMsMax = 10_000;
/** The freeze comes once this share of the tasks has arrived. */
const freezeAt = 0.3;

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const { values: flags } = parseArgs({ options: { once: { type: 'boolean', default: false } } });
const tasks = await readTasks(here('../../../examples/webhooks/tasks.ndjson'));
/** How to end what there is, the latest last. */
const ends: (() => Promise<void>)[] = [];
let ending: Promise<never> | null = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => void end(128 + constants.signals[signal]));
}
whenStarterEnds(() => void end(1));

const servers = await acquireServers();
ends.push(() => servers.stop());
const receiver = await startReceiver(receiverLatencyMs);
ends.push(() => receiver.close());
const root = `example-${randomBytes(6).toString('hex')}`;
const api = await startFleet();
const keeper = await connect({
  zookeeper: servers.zookeeperUrl,
  redis: servers.redisUrl,
  chroot: `/${root}`,
  prefix: root,
});
ends.push(() => keeper.close());

try {
  const failed = await demonstrate();
  if (flags.once || failed) await end(failed ? 1 : 0);
  console.log(`\nThe fleet stays up: ${api} (try: curl ${api}/v1/tasks/${tasks[0]?.id}). Ctrl-C ends it.`);
} catch (error) {
  // Whatever fails because everything is being ended is of no interest.
  if (ending === null) console.error(error);
  await end(1);
}

/** True when something was lost or executed twice. */
async function demonstrate(): Promise<boolean> {
  await until('Redis answers', () => keeper.ready().redis === 'ready', redisMsMax);
  console.log(`${workers} workers are up, the API listens on ${api}; submitting ${tasks.length} webhooks`);
  const startedAt = performance.now();
  const accepted = await submit(api, tasks);
  const progress = showProgress(tasks.length, () => receiver.arrivals.size);
  const { frozen, states } = await freezeAndSettle().finally(() => progress.stop());
  const seconds = (performance.now() - startedAt) / 1_000;
  return report(states, frozen, accepted, seconds);
}

async function freezeAndSettle(): Promise<{ frozen: Frozen; states: Map<string, State> }> {
  const frozen = await freezeOne();
  return { frozen, states: await settle() };
}

/** The product as its users run it: the API, a scheduler and worker processes. Resolves with the API's URL. */
async function startFleet(): Promise<string> {
  const child = spawn(
    process.execPath,
    [
      here('../../src/cli/main.js'),
      'up',
      '--workers',
      String(workers),
      '--module',
      here('./worker.js'),
      '--port',
      '0',
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...process.env,
        ZOOKEEPER_URL: servers.zookeeperUrl,
        REDIS_URL: servers.redisUrl,
        CLAIMKEEPER_CHROOT: `/${root}`,
        CLAIMKEEPER_PREFIX: root,
        CLAIMKEEPER_SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
        CLAIMKEEPER_LOG_LEVEL: process.env.CLAIMKEEPER_LOG_LEVEL ?? 'error',
        RECEIVER_URL: receiver.url,
      },
    },
  );
  const exited = once(child, 'exit');
  void exited.then(() => end(1)); // Nothing when it is being ended.
  ends.push(async () => {
    // No signal: Ctrl-C has reached it too, and at a second signal it would leave its workers behind.
    if (child.connected) child.disconnect();
    await exited;
  });
  // Of what it says beside its output, its log (errors, unless CLAIMKEEPER_LOG_LEVEL says otherwise) and why it could not start.
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => {
    if (line.startsWith('{') || line.startsWith('claimkeeper:')) console.error(line);
  });
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const url = /listening on (\S+)/.exec(line)?.[1];
    if (url !== undefined) return url;
  }
  return end(1);
}

async function readTasks(path: string): Promise<Task[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Task);
}

/** Batches of up to a thousand; returns how many the API says it accepted. */
async function submit(url: string, all: readonly Task[]): Promise<number> {
  let count = 0;
  for (let from = 0; from < all.length; from += 1_000) {
    const body = JSON.stringify({ tasks: all.slice(from, from + 1_000) });
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${url}/v1/tasks/batch`, { method: 'POST', headers, body });
    const answer = (await response.json()) as { outcomes: { kind: string }[] };
    if (!response.ok) throw new Error(`the API answered ${response.status}: ${JSON.stringify(answer)}`);
    count += answer.outcomes.filter(({ kind }) => kind === 'created').length;
  }
  return count;
}

/** Stops a worker process in the middle of its work until ZooKeeper has expired its session, then lets it go on. */
async function freezeOne(): Promise<Frozen> {
  await until('tasks arrive', () => receiver.arrivals.size >= tasks.length * freezeAt);
  const victim = (await keeper.fleet()).find(({ tasks: running }) => running.length > 0);
  if (victim === undefined) throw new Error('no worker was busy when one was to be frozen');
  process.kill(victim.pid, 'SIGSTOP');
  const at = performance.now();
  const [asleep] = (await keeper.fleet()).filter(({ id }) => id === victim.id);
  const find = async (): Promise<FleetMember | undefined> =>
    (await keeper.fleet()).find(({ id }) => id === victim.id);
  await until('the frozen worker session expires', async () => (await find()) === undefined);
  // Past the grace, so that the scheduler has given the tasks up before their worker comes back.
  await sleep(1_500);
  process.kill(victim.pid, 'SIGCONT');
  const frozenMs = performance.now() - at;
  let back: FleetMember | undefined;
  await until('the frozen worker comes back', async () => {
    back = await find();
    return back !== undefined && back.session !== victim.session;
  });
  return { member: victim, frozenMs, returned: back ?? victim, tasks: asleep?.tasks ?? [] };
}

/** Waits until no task is left to be done, and returns where each of them stands. */
async function settle(): Promise<Map<string, State>> {
  const known = new Map<string, State>();
  const open = async (): Promise<boolean> => {
    const left = tasks.filter(
      ({ id }) => !['completed', 'failed', 'cancelled'].includes(known.get(id) ?? ''),
    );
    await inTurns(left, async ({ id }) => void known.set(id, (await stateOf(keeper, id)) ?? 'waiting'));
    return [...known.values()].some((state) => state === 'waiting' || state === 'running');
  };
  await until('all tasks are over', async () => !(await open()));
  return known;
}

async function stateOf(from: Claimkeeper, id: string): Promise<State | undefined> {
  return (await from.get(id))?.state;
}

async function inTurns<T>(items: readonly T[], visit: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += 100)
    await Promise.all(items.slice(from, from + 100).map(visit));
}

async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = deadlineMs,
): Promise<void> {
  const over = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > over) throw new Error(`not within ${withinMs / 1_000} s: ${what}`);
    await sleep(100);
  }
}

/** Prints what became of everything; true when something was lost or executed twice. */
function report(
  all: ReadonlyMap<string, State>,
  { member, frozenMs, returned, tasks: held }: Frozen,
  accepted: number,
  seconds: number,
): boolean {
  const ids = tasks.map(({ id }) => id);
  const arrived = ids.filter((id) => receiver.arrivals.has(id)).length;
  const twice = ids.filter((id) => (receiver.arrivals.get(id) ?? 0) > 1).length;
  const inState = (state: State): string[] => ids.filter((id) => all.get(id) === state);
  const uncertain = inState('uncertain');
  const lost = ids.filter((id) => !['completed', 'uncertain'].includes(all.get(id) ?? 'waiting'));
  const fate = new Map<string, number>();
  for (const id of held) fate.set(all.get(id) ?? 'unknown', (fate.get(all.get(id) ?? 'unknown') ?? 0) + 1);
  const rows: [string, string][] = [
    ['accepted', String(accepted)],
    ['executed, as the receiver counts', String(arrived)],
    ['executed twice', String(twice)],
    ['lost', String(lost.length)],
    ['uncertain', String(uncertain.length)],
    [
      'time',
      `${seconds.toFixed(1)} s, ${(frozenMs / 1_000).toFixed(1)} s of it with one of ${workers} workers frozen`,
    ],
    ['tasks/s', String(Math.round(ids.length / seconds))],
    ['frozen worker: old session', `${member.session} (expired)`],
    ['frozen worker: new session', returned.session],
    [
      'its tasks when it froze',
      `${held.length}: ${[...fate].map(([state, n]) => `${n} ${state}`).join(', ')}`,
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n')}`);
  if (returned.session === member.session)
    console.log('\nThe frozen worker kept its session: the run shows nothing.');
  return lost.length > 0 || twice > 0 || accepted !== ids.length || returned.session === member.session;
}

function end(code: number): Promise<never> {
  ending ??= endAll(code);
  return ending;
}

async function endAll(code: number): Promise<never> {
  for (const each of ends.reverse()) await each();
  process.exit(code);
}
