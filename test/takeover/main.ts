#!/usr/bin/env node
// main.ts: how soon tasks begin elsewhere when their worker goes: after a SIGKILL, and after a clean stop. Exits 1 when a bound
// is missed.

import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { eventually } from '../support/eventually.js';
import { type Fleet, type Member, sessionTimeoutMs, startFleet } from './fleet.js';

/** Of each round: several die at once, not in the same moment; one at a time is stopped. */
const workersPerRound = 8;
const leaversPerRound = { SIGKILL: 4, SIGTERM: 1 } as const;
const tasksPerRound = 80;
/** Tasks that come in while a worker stops. */
const latecomers = 10;
/** Deaths are spread over more than the time between two pings, or two looks at the claims. */
const spreadMs = 4_000;

/**
 * Where the time of a takeover goes, in ms: until the ledger has it that the attempt is over, until the next is claimed, until
 * its handler begins.
 */
const partNames = ['over', 'claimed', 'begun'] as const;
type Takeover = { readonly ms: number; readonly parts: readonly number[] };

type Series = {
  readonly name: string;
  readonly boundMs: number;
  readonly at: 'p99' | 'max';
  readonly takeovers: Takeover[];
};

/** Between a worker's signal and its tasks' next attempts. */
function seriesOf(name: string, at: Series['at'], boundMs: number): Series {
  return { name, boundMs, at, takeovers: [] };
}

function rowOf({ name, boundMs, at, takeovers }: Series) {
  const ms = takeovers.map((takeover) => takeover.ms);
  const figures = { p50: quantile(ms, 0.5), p99: quantile(ms, 0.99), max: quantile(ms, 1) };
  const medians = partNames.map((part, i) => {
    const known = takeovers.flatMap(({ parts }) => parts[i] ?? []);
    return [part, known.length === 0 ? null : quantile(known, 0.5)];
  });
  const ok = figures[at] <= boundMs;
  return {
    name,
    tasks: ms.length,
    ...figures,
    bound: `${at} ≤ ${boundMs}`,
    ok,
    ...Object.fromEntries(medians),
  };
}

/** Nothing measured is a bound missed. */
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.POSITIVE_INFINITY);
}

let serial = 0;

/** One by one: a delivery each, so that all workers get some. Resolves with when each was submitted. */
async function submit(fleet: Fleet, count: number): Promise<Map<string, number>> {
  const submitted = new Map<string, number>();
  for (let n = 1; n <= count; n += 1) {
    serial += 1;
    const id = `task-${serial}`;
    submitted.set(id, performance.now());
    await fleet.keeper.submit({ id, type: 'held' });
  }
  return submitted;
}

function begun(fleet: Fleet, ids: readonly string[], attempt: number): Promise<void> {
  const look = async (): Promise<void> => {
    const left = ids.filter((id) => fleet.witness.of(id).length < attempt);
    if (left.length > 0) throw new Error(`${left.length} have not, ${left[0]} among them`);
  };
  return eventually(look, { deadlineMs: 60_000, pollMs: 50, what: `attempt ${attempt} of all tasks begins` });
}

async function completed(fleet: Fleet, ids: readonly string[]): Promise<void> {
  fleet.witness.release();
  for (const id of ids) {
    const look = async (): Promise<void> => {
      const state = (await fleet.keeper.get(id))?.state;
      if (state !== 'completed') throw new Error(`it is ${state}`);
    };
    await eventually(look, { deadlineMs: 60_000, pollMs: 50, what: `${id} completes` });
  }
  fleet.witness.hold();
}

type Leave = { readonly leavers: number; readonly leftAt: ReadonlyMap<string, number> };

/** Sends `signal` to some workers that run some of `ids`; resolves with when, for each task that ran there. */
async function leave(fleet: Fleet, ids: readonly string[], signal: 'SIGKILL' | 'SIGTERM'): Promise<Leave> {
  const runningOn = (worker: Member): string[] =>
    ids.filter((id) => fleet.witness.of(id).at(-1)?.pid === worker.pid);
  const leavers = [...fleet.workers]
    .filter((worker) => runningOn(worker).length > 0)
    .slice(0, leaversPerRound[signal]);
  const leftAt = new Map<string, number>();
  for (const worker of leavers) {
    if (leftAt.size > 0)
      await new Promise((resolve) => setTimeout(resolve, (Math.random() * spreadMs) / leavers.length));
    const at = performance.now();
    for (const id of runningOn(worker)) leftAt.set(id, at);
    worker.kill(signal);
  }
  return { leavers: leavers.length, leftAt };
}

function takeovers(fleet: Fleet, leftAt: ReadonlyMap<string, number>): Promise<Takeover[]> {
  const epoch = Date.now() - performance.now(); // All processes are on this machine.
  return Promise.all(
    [...leftAt].map(async ([id, at]) => {
      const record = await fleet.keeper.get(id);
      const begunAt = fleet.witness.of(id)[1]?.atMs ?? Number.POSITIVE_INFINITY;
      const overAt = (record?.attempts?.[0]?.endedAt ?? 0) - epoch;
      const claimedAt = (record?.startedAt ?? 0) - epoch;
      return { ms: begunAt - at, parts: [overAt - at, claimedAt - overAt, begunAt - claimedAt] };
    }),
  );
}

async function killRound(fleet: Fleet, killed: Series): Promise<number> {
  await fleet.fill(workersPerRound);
  const ids = [...(await submit(fleet, tasksPerRound)).keys()];
  await begun(fleet, ids, 1);
  const { leavers, leftAt } = await leave(fleet, ids, 'SIGKILL');
  await begun(fleet, [...leftAt.keys()], 2);
  killed.takeovers.push(...(await takeovers(fleet, leftAt)));
  await completed(fleet, ids);
  return leavers;
}

async function stopRound(fleet: Fleet, stopped: Series, waiting: Series): Promise<void> {
  await fleet.fill(workersPerRound);
  const ids = [...(await submit(fleet, tasksPerRound)).keys()];
  await begun(fleet, ids, 1);
  const { leftAt } = await leave(fleet, ids, 'SIGTERM');
  const submittedAt = await submit(fleet, latecomers);
  await begun(fleet, [...leftAt.keys()], 2);
  await begun(fleet, [...submittedAt.keys()], 1);
  stopped.takeovers.push(...(await takeovers(fleet, leftAt)));
  for (const [id, at] of submittedAt) {
    const begunAt = fleet.witness.of(id)[0]?.atMs ?? Number.POSITIVE_INFINITY;
    waiting.takeovers.push({ ms: begunAt - at, parts: [] });
  }
  await completed(fleet, [...ids, ...submittedAt.keys()]);
}

async function measure({ rounds, json }: { rounds: number; json?: string }): Promise<boolean> {
  const killed = seriesOf('SIGKILL, tasks that run', 'p99', sessionTimeoutMs + 2_000);
  const stopped = seriesOf('SIGTERM, tasks that run', 'max', 1_000);
  const waiting = seriesOf('SIGTERM, tasks that wait', 'max', 1_000);
  let kills = 0;
  const fleet = await startFleet();
  try {
    for (let round = 1; round <= rounds; round += 1) kills += await killRound(fleet, killed);
    for (let round = 1; round <= rounds; round += 1) await stopRound(fleet, stopped, waiting);
  } finally {
    await fleet.close();
  }
  const rows = [killed, stopped, waiting].map(rowOf);
  console.log(`${kills} workers killed, session timeout ${sessionTimeoutMs} ms; in ms, parts as medians:`);
  console.table(rows);
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify({ kills, sessionTimeoutMs, rows }, null, 2)}\n`);
  }
  return rows.every(({ ok }) => ok);
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('It is not a whole number from 1.');
}

await new Command('takeover')
  .description('Measures how soon the tasks of a worker that goes begin elsewhere')
  .option(
    '--rounds <n>',
    `rounds of ${leaversPerRound.SIGKILL} kills, and as many of one clean stop`,
    wholeNumber,
    25,
  )
  .option('--json <file>', 'where to write the figures')
  .action(async (flags: { rounds: number; json?: string }) => {
    process.exitCode = (await measure(flags)) ? 0 : 1;
  })
  .parseAsync();
