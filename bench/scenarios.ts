// scenarios.ts: what is done in a run, and what is measured of it. Every one begins with a warm-up, which is not measured, and
// every drain ends with proof that each task was run and completed once.

import { setTimeout as pause } from 'node:timers/promises';
import { now } from './clock.js';
import { type Measures, quantile } from './figures.js';
import type { Look, Stage } from './stage.js';
import { assertNoneTwice, assertOnce, type Counts } from './tally.js';

export type Size = { readonly tasks: number; readonly warmUp: number };
export type Scenario = (stage: Stage, size: Size) => Promise<Measures>;

/** Bytes of a payload, where nothing else is said. */
const small = 100;

function perSecond(tasks: number, from: number, to: number): Measures {
  return { 'tasks/s': (tasks * 1_000) / (to - from) };
}

function submission(
  submit: (stage: Stage) => Promise<(from: number, count: number) => Promise<void>>,
): Scenario {
  return async (stage, { tasks, warmUp }) => {
    const submitted = await submit(stage);
    await submitted(0, warmUp);
    const from = await stage.look();
    await submitted(warmUp, tasks);
    const rate = perSecond(tasks, from.at, now());
    return { ...rate, ...stage.cost(from, await stage.settled(), tasks) };
  };
}

export function bulk(bytes = small): Scenario {
  return submission(
    async ({ submitter }) =>
      (from, count) =>
        submitter.ask('bulk', { from, count, bytes }, 0),
  );
}

/** By the library, so many at once. */
export function singles(atOnce: number): Scenario {
  return submission(
    async ({ submitter }) =>
      (from, count) =>
        submitter.ask('oneByOne', { from, count, bytes: small }, atOnce),
  );
}

export function http(connections: number): Scenario {
  return submission(async (stage) => {
    const url = await stage.openFront();
    return (from, count) => stage.submitter.ask('overHttp', url, { from, count, bytes: small }, connections);
  });
}

type Drain = {
  readonly slots: number;
  readonly workers?: number;
  /** This share of the tasks is delivered twice. */
  readonly again?: number;
};

/** Tasks wait; then workers begin. */
export function drain({ slots, workers = 1, again = 0 }: Drain): Scenario {
  return async (stage, { tasks, warmUp }) => {
    const all = warmUp + tasks;
    await stage.submitter.ask('bulk', { from: 0, count: all, bytes: small }, again);
    await stage.addWorkers(workers, { slots, handlerMs: 0, tasks: all });
    await stage.startWorkers();
    await stage.untilCompleted(warmUp);
    const { completedAt, cost } = await finished(stage, await stage.look(), all);
    return { ...rateAfter(completedAt, warmUp), ...cost };
  };
}

/** Workers wait; then tasks are submitted in bulk. */
export function endToEnd(slots: number, bytes = small): Scenario {
  return async (stage, { tasks, warmUp }) => {
    const all = warmUp + tasks;
    await stage.addWorkers(1, { slots, handlerMs: 0, tasks: all });
    await stage.startWorkers();
    await stage.submitter.ask('bulk', { from: 0, count: warmUp, bytes }, 0);
    await stage.untilCompleted(warmUp);
    const from = await stage.look();
    await stage.submitter.ask('bulk', { from: warmUp, count: tasks, bytes }, 0);
    const { completedAt, cost } = await finished(stage, from, all);
    return { ...perSecond(tasks, from.at, lastOf(completedAt)), ...cost };
  };
}

/** Once all are completed: what those cost that were not yet at `from`. */
async function finished(
  stage: Stage,
  from: Look,
  all: number,
): Promise<{ completedAt: Float64Array; cost: Measures }> {
  await stage.untilCompleted(all);
  const to = await stage.settled();
  const { completedAt } = await onceEach(stage, all);
  const tasks = all - from.completed;
  stage.noteOthers(from, to);
  // A short run may be over before it is looked at.
  return { completedAt, cost: tasks === 0 ? {} : stage.cost(from, to, tasks) };
}

/** Of those that were completed after the first so many. */
function rateAfter(completedAt: Float64Array, warmUp: number): Measures {
  const times = completedAt.toSorted();
  const from = times[warmUp - 1] ?? 0;
  return perSecond(times.filter((at) => at > from).length, from, lastOf(times));
}

async function onceEach(stage: Stage, all: number): Promise<Counts> {
  await stage.untilLeft(all, 0);
  const counts = await stage.counts(all);
  assertOnce(counts, all);
  return counts;
}

function lastOf(times: Float64Array): number {
  return times.reduce((last, at) => Math.max(last, at), 0);
}

/** Single submits by the library at an even pace, to workers that are idle. */
export function latency(tasksPerSecond: number, seconds: number): Scenario {
  return async (stage, { warmUp }) => {
    const [pacedFrom, tasks] = [warmUp + tasksPerSecond, tasksPerSecond * seconds];
    const all = pacedFrom + tasks;
    const atPace = (from: number, count: number) =>
      stage.submitter.ask('atPace', { from, count, bytes: small }, tasksPerSecond);
    await stage.addWorkers(1, { slots: 100, handlerMs: 0, tasks: all });
    await stage.startWorkers();
    // At their pace alone the compilers would take minutes.
    await stage.submitter.ask('oneByOne', { from: 0, count: warmUp, bytes: small }, 64);
    await stage.untilCompleted(warmUp);
    await atPace(warmUp, tasksPerSecond);
    await stage.untilCompleted(pacedFrom);
    const from = await stage.look();
    const begun = await atPace(pacedFrom, tasks);
    await stage.untilCompleted(all);
    const to = await stage.settled();
    const { startedAt, completedAt } = await onceEach(stage, all);
    const since = (times: Float64Array) => times.subarray(pacedFrom).map((at, i) => at - (begun[i] ?? 0));
    const [start, end] = [since(startedAt), since(completedAt)];
    return {
      'start ms p50': quantile(start, 0.5),
      'start ms p99': quantile(start, 0.99),
      'completed ms p50': quantile(end, 0.5),
      'completed ms p99': quantile(end, 0.99),
      ...stage.cost(from, to, tasks),
    };
  };
}

/** Bulks of `size` that come to idle workers: how long until all of one are completed. */
export function bursts(size: number, count: number): Scenario {
  return async (stage) => {
    const all = size * (count + 1);
    await stage.addWorkers(1, { slots: 100, handlerMs: 0, tasks: all });
    await stage.startWorkers();
    const begun: number[] = [];
    let from = await stage.look();
    for (let burst = 0; burst <= count; burst += 1) {
      if (burst === 1) from = await stage.look(); // The first is the warm-up.
      begun.push(now());
      await stage.submitter.ask('bulk', { from: burst * size, count: size, bytes: small }, 0);
      await stage.untilCompleted((burst + 1) * size);
      await pause(500);
    }
    const to = await stage.settled();
    const { completedAt } = await onceEach(stage, all);
    const tookMs = begun.map((at, i) => lastOf(completedAt.subarray(i * size, (i + 1) * size)) - at);
    const measured = tookMs.slice(1);
    return {
      'burst ms p50': quantile(measured, 0.5),
      'burst ms max': quantile(measured, 1),
      ...stage.cost(from, to, size * count),
    };
  };
}

/** What the first tasks cost of so many that wait: the rest still waits when it ends. */
export function backlog(waiting: number): Scenario {
  return async (stage, { tasks, warmUp }) => {
    const all = waiting + warmUp + tasks;
    await stage.submitter.ask('bulk', { from: 0, count: all, bytes: small }, 0);
    await stage.addWorkers(1, { slots: 100, handlerMs: 0, tasks: all });
    await stage.startWorkers();
    await stage.untilCompleted(warmUp);
    const from = await stage.look();
    await stage.untilCompleted(from.completed + tasks);
    const to = await stage.look();
    assertNoneTwice(await stage.counts(all));
    const done = to.completed - from.completed;
    return { ...perSecond(done, from.at, to.at), ...stage.cost(from, to, done) };
  };
}

/**
 * Bytes of ZooKeeper's live heap per record: by what a second lot of tasks adds, since ZooKeeper also keeps its last transactions,
 * whatever there are of records.
 */
export const memory: Scenario = async (stage, { tasks }) => {
  const all = 2 * tasks;
  const heap = async (): Promise<number> => {
    const bytes = await stage.zookeeperHeap();
    if (bytes === null)
      throw new Error('ZooKeeper’s live heap is not known: there is no jcmd, which comes with a JDK');
    return bytes;
  };
  await stage.submitter.ask('bulk', { from: 0, count: tasks, bytes: small }, 0);
  const first = await heap();
  await stage.submitter.ask('bulk', { from: tasks, count: tasks, bytes: small }, 0);
  const waiting = ((await heap()) - first) / tasks;
  await stage.addWorkers(1, { slots: 100, handlerMs: 0, tasks: all });
  const from = await stage.look();
  await stage.startWorkers();
  const { cost } = await finished(stage, from, all);
  const finishedBytes = ((await heap()) - (first - waiting * tasks)) / all;
  return { 'heap bytes/waiting task': waiting, 'heap bytes/finished task': finishedBytes, ...cost };
};

/** Workers are killed in the midst of their tasks: how long until the one that is left has completed all. */
export function takeover(killed: number): Scenario {
  return async (stage, { tasks }) => {
    await stage.submitter.ask('bulk', { from: 0, count: tasks, bytes: small }, 0);
    await stage.addWorkers(killed + 1, { slots: 25, handlerMs: 20, tasks });
    await stage.startWorkers();
    await stage.untilCompleted(tasks / 4);
    const from = await stage.look();
    const killedAt = now();
    await stage.killWorkers(killed);
    await stage.untilLeft(tasks, 0);
    const seconds = (now() - killedAt) / 1_000;
    stage.noteOthers(from, await stage.look());
    return { 's until all are completed': seconds };
  };
}
