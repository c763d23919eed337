// drive.ts: the course of a chaos run, from the plan to the verdict. Owns the order of its parts, and that they end whatever
// happens; what each does is in its own file.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { ask } from '../../infra/local-server.js';
import { eventually } from '../support/eventually.js';
import { SeededRandom } from '../support/seeded-random.js';
import { type Aftermath, aftermath, oddFaults } from './aftermath.js';
import { handlerMsMax } from './behaviour.js';
import { provideFaketime } from './clock-setting.js';
import type { RunFacts } from './evidence.js';
import { EvidenceWriter } from './evidence-writer.js';
import { Faults } from './faults.js';
import { graceMs, Installation, type Means, sessionTimeoutMs } from './installation.js';
import { Legacy } from './legacy.js';
import { Load, loadPerSecond } from './load.js';
import { drawPlan, type FaultKind, type PlannedFault } from './plan.js';
import { writeReport } from './report.js';
import { judge, type RunOutcome, type Verdict } from './verdict.js';

export type RunOptions = { readonly minutes: number; readonly seed: number; readonly folder: string };

/** A disk that takes the transactions of a run of this length several times over. */
const diskMbPerMinute = 64;
const settleMsMax = 90_000;
/** Of each kind of trouble: the report and the evidence have all. */
const linesTold = 10;
const dedupWindowMs = 7 * 24 * 3_600_000;

/** Given up, it says nothing. */
export async function run({ minutes, seed, folder }: RunOptions): Promise<RunOutcome> {
  if (readdirSync(folder).length > 0)
    throw new Error(`${folder} is not empty: a run needs a folder of its own`);
  const legacy = new Legacy();
  const giveUp = new AbortController();
  const onSignal = (): void => giveUp.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  try {
    const means = await findMeans(legacy, minutes);
    const plan = drawPlan(seed, minutes, missing(means));
    tellPlan(plan, means, folder);
    await course({ minutes, seed, folder }, plan, means, legacy, giveUp.signal);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    await legacy.close();
  }
  if (giveUp.signal.aborted) return 'void';
  const verdict = await judge(folder);
  tellVerdict(verdict, await writeReport(folder, verdict));
  return verdict.outcome;
}

async function course(
  options: RunOptions,
  plan: readonly PlannedFault[],
  means: Means,
  legacy: Legacy,
  signal: AbortSignal,
): Promise<void> {
  const { minutes, seed, folder } = options;
  const from = Date.now();
  const evidence = new EvidenceWriter(folder);
  const lag = monitorEventLoopDelay();
  lag.enable();
  const installation = await Installation.start(evidence, means, legacy);
  const { fronts, keeper } = installation;
  const load = new Load({ seed, random: new SeededRandom(seed + 1), fronts, keeper, evidence });
  const versions = await versionsOf(installation);
  let over: Course;
  try {
    say(`all ${installation.all.length} processes serve; broken for ${minutes} minutes from now on`);
    const faults = new Faults(installation, evidence, load, signal);
    over = await brokenAndMended(installation, load, faults.run(plan), minutes * 60_000, signal);
  } finally {
    await installation.close();
  }
  for (const line of await oddFaults(folder, load.oddities, (pid) => installation.nameOf(pid)))
    evidence.fault(line);
  await evidence.ledger(over.ledger);
  const { healedAt, settledAt } = over;
  const facts: RunFacts = {
    seed,
    command: `npm run chaos -- --minutes ${minutes} --seed ${seed}`,
    from,
    healedAt,
    settledAt,
    to: Date.now(),
    sessionTimeoutMs,
    graceMs,
    dedupWindowMs,
    handlerMsMax,
    loadPerSecond,
    processes: installation.all.flatMap(({ lives }) => lives),
    versions,
    leftOver: [...over.leftOver, ...installation.errors],
  };
  await evidence.close(facts);
  tellFigures(facts, evidence, lag.max / 1e6);
}

type Course = Aftermath & { readonly healedAt: number };

/** What cannot be mended is left over: a run has a verdict in any case. */
async function brokenAndMended(
  installation: Installation,
  load: Load,
  faults: Promise<void>,
  lastsMs: number,
  signal: AbortSignal,
): Promise<Course> {
  const troubles: string[] = [];
  const noted = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => void troubles.push(`not mended: ${error}`));
  await Promise.all([load.run(lastsMs, signal), noted(faults)]);
  await load.stop();
  await noted(serving(installation));
  installation.calmHandlers();
  const healedAt = Date.now();
  say(`healed; ${load.acknowledged.size} tasks were accepted`);
  const over = await aftermath(installation, settleMsMax, signal);
  return { ...over, healedAt, leftOver: [...troubles, ...over.leftOver] };
}

/** Whatever the last faults left down is up again. */
async function serving(installation: Installation): Promise<void> {
  const ready = async (): Promise<void> => {
    for (const front of installation.fronts) {
      const { status } = await fetch(`${front}/readyz`, { signal: AbortSignal.timeout(2_000) });
      if (status !== 200) throw new Error(`${front} is not ready`);
    }
    const down = installation.all.find(({ pid }) => pid === null);
    if (down !== undefined) throw new Error(`${down.name} does not run`);
  };
  await eventually(ready, { what: 'everything serves again', deadlineMs: 40_000 });
}

/** What this machine lets us do. */
async function findMeans(legacy: Legacy, minutes: number): Promise<Means> {
  const probe = mkdtempSync(join(tmpdir(), 'claimkeeper-chaos-disk-'));
  const canMount = await legacy
    .mount(probe, 1)
    .then(() => legacy.unmount(probe))
    .then(() => true)
    .catch(() => false);
  rmdirSync(probe);
  const sizeMb = Math.ceil(64 + diskMbPerMinute * minutes);
  return { disk: canMount ? { sizeMb } : null, faketime: provideFaketime() };
}

function missing({ disk, faketime }: Means): ReadonlySet<FaultKind> {
  const without = new Set<FaultKind>();
  if (disk === null) without.add('disk-full');
  if (faketime === null) without.add('clock-jump');
  return without;
}

function tellPlan(plan: readonly PlannedFault[], means: Means, folder: string): void {
  writeFileSync(join(folder, 'plan.json'), `${JSON.stringify(plan, null, 1)}\n`);
  for (const { kind, on, atMs, forMs } of plan) {
    const at = (atMs / 1_000).toFixed(1).padStart(6);
    console.log(`${at} s  ${kind} on ${on}${forMs > 0 ? ` for ${(forMs / 1_000).toFixed(1)} s` : ''}`);
  }
  if (means.disk === null) say('no disk can be mounted here: disk-full is left out');
  if (means.faketime === null) say('there is no libfaketime here: clock-jump is left out');
  say(`${plan.length} faults of ${new Set(plan.map(({ kind }) => kind)).size} kinds are planned`);
}

function tellFigures({ processes, leftOver }: RunFacts, evidence: EvidenceWriter, lagMs: number): void {
  for (const [what, counts] of Object.entries(evidence.counts)) {
    const told = [...counts].map(([name, times]) => `${name} ${times}`).sort();
    say(`${what}: ${told.join(', ')}`);
  }
  say(`${processes.length} lives of processes`);
  for (const what of leftOver.slice(0, linesTold)) say(`left over: ${what}`);
  say(`the driver itself was held up for ${lagMs.toFixed(0)} ms at most`);
}

function tellVerdict(verdict: Verdict, report: string): void {
  const { tasks, throughput, recovery, faults, kinds, findings, settledAt, healedAt } = verdict;
  say(
    Object.entries(tasks)
      .map(([name, count]) => `${count} ${name}`)
      .join(', '),
  );
  say(`${throughput.perSecond.toFixed(1)} tasks per second, at least ${throughput.perSecondMin.toFixed(1)}`);
  say(`${faults.length} faults of ${kinds.length} kinds; recovery in ms: ${JSON.stringify(recovery)}`);
  say(
    settledAt === null ? 'it did not settle' : `all was over ${settledAt - healedAt} ms after it was mended`,
  );
  for (const { name, checked, violated } of findings) {
    say(`${violated.length === 0 ? 'holds' : 'VIOLATED'} ${name} (${checked} times)`);
    for (const line of violated.slice(0, linesTold)) say(`    ${line}`);
  }
  for (const reason of verdict.void.slice(0, linesTold)) say(`void: ${reason}`);
  say(`${verdict.outcome}; report: ${report}`);
}

async function versionsOf({ ensemble }: Installation): Promise<Record<string, string>> {
  const srvr = await ask(ensemble.servers[0]?.port ?? 0, 'srvr');
  const redis = spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout ?? '';
  const own = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return {
    claimkeeper: own.version,
    node: process.version,
    zookeeper: /version: ([^-,\s]+)/.exec(srvr)?.[1] ?? 'unknown',
    redis: /v=(\S+)/.exec(redis)?.[1] ?? 'unknown',
  };
}

function say(line: string): void {
  console.log(`chaos: ${line}`);
}
