// figures.ts: what a chaos run comes to in numbers: how much work was done, what the faults met, how long it took to recover
// from each. Owns what each number means; whether it is enough is verdict.ts.

import type { TaskId } from '../../src/domain/index.js';
import type { Change } from '../invariants/story.js';
import type { Cast } from './cast.js';
import type { FaultLine } from './evidence.js';
import type { Evidence } from './evidence-reader.js';
import type { FaultKind } from './plan.js';
import { isAccepted, type ToldStory } from './story-from-evidence.js';

/** A task ran, as the ledger has it: from its claim until the record left `running`, or another claim took it over. */
export type Flight = {
  readonly task: TaskId;
  readonly worker: string;
  readonly from: number;
  /** Infinity: it never ended. */
  readonly to: number;
  /** From when on nobody waits for that attempt: it has its outcome, or, where it may run again, its next claim. */
  readonly overAt: number;
};

export type FaultFigures = FaultLine & {
  /**
   * Tasks that ran on the worker that was hit, at any time of the fault; the task itself, where it was laid on one; all
   * that ran in the fleet, where it was laid on a server or on a process that the whole fleet needs.
   */
  readonly inFlight: number;
  /** See {@link recoveryMs}; null: there was nothing to recover. */
  readonly recoveryMs: number | null;
};

export type Quantiles = { readonly p50: number; readonly p99: number; readonly max: number };

/** Work of one second, `at` its begin. */
export type Second = { readonly at: number; readonly accepted: number; readonly completed: number };

export function flightsOf(changes: readonly Change[]): Flight[] {
  const flights: Flight[] = [];
  const byTask = grouped(changes, ({ id }) => id);
  for (const [task, own] of byTask) {
    for (const [i, { at, after }] of own.entries()) {
      if (after?.state !== 'running' || after.claim === undefined) continue;
      if (own[i - 1]?.after?.claim?.nonce === after.claim.nonce && own[i - 1]?.after?.state === 'running')
        continue;
      const later = own.slice(i + 1);
      const end = later.find(
        (next) => next.after?.claim?.nonce !== after.claim?.nonce || next.after?.state !== 'running',
      );
      const next = end?.after?.state === 'waiting' ? later.find((one) => one.seq > end.seq) : end;
      const never = Number.POSITIVE_INFINITY;
      flights.push({
        task,
        worker: after.claim.worker,
        from: at,
        to: end?.at ?? never,
        overAt: next?.at ?? never,
      });
    }
  }
  return flights;
}

export function secondsOf(story: ToldStory, from: number, to: number): Second[] {
  const count = Math.max(1, Math.ceil((to - from) / 1_000));
  const seconds = Array.from({ length: count }, (_, i) => ({
    at: from + i * 1_000,
    accepted: 0,
    completed: 0,
  }));
  for (const { at, before, after } of story.changes) {
    const second = seconds[Math.floor((at - from) / 1_000)];
    if (second === undefined) continue;
    if (before === null) second.accepted += 1;
    if (isCompletion(before, after)) second.completed += 1;
  }
  return seconds;
}

function isCompletion(before: Change['before'], after: Change['after']): boolean {
  return after?.state === 'completed' && before?.state !== 'completed';
}

export function faultFigures(evidence: Evidence, story: ToldStory, cast: Cast): FaultFigures[] {
  const outages = united([...unledTimes(evidence), ...silentTimes(evidence)]);
  const world = { evidence, story, cast, flights: flightsOf(story.changes), outages };
  return evidence.faults.map((fault) => ({
    ...fault,
    inFlight: inFlight(fault, world),
    recoveryMs: recoveryMs(fault, world),
  }));
}

type World = {
  readonly evidence: Evidence;
  readonly story: ToldStory;
  readonly cast: Cast;
  readonly flights: readonly Flight[];
  /** When nobody could recover anything: no scheduler was there to lead, or the ensemble committed nothing. */
  readonly outages: readonly Interval[];
};

type Interval = { readonly from: number; readonly to: number };

type Target = 'worker' | 'scheduler' | 'api' | 'zookeeper' | 'redis' | 'task' | 'fleet';

function targetOf({ on }: FaultLine, { story }: World): Target {
  const named = /^(worker|scheduler|api|zookeeper|redis)(s$|-|$)/.exec(on)?.[1] as Target | undefined;
  return named ?? (story.records.has(on as TaskId) ? 'task' : 'fleet');
}

function inFlight(fault: FaultLine, world: World): number {
  const { flights, cast } = world;
  const then = flights.filter(({ from, to }) => from <= fault.to && to >= fault.from);
  switch (targetOf(fault, world)) {
    case 'worker': {
      const hit = new Set(cast.hitBy(fault).map(({ id }) => id));
      return then.filter(({ worker }) => hit.has(worker)).length;
    }
    case 'task':
      // Laid when the task was submitted; it comes to bear when the task runs.
      return flights.some(({ task }) => task === fault.on) ? 1 : 0;
    default:
      return then.length;
  }
}

/** Who has one of these does not run, or does not reach ZooKeeper. After `half-open` new connections pass. */
const keepsFromLeading: ReadonlySet<string> = new Set<FaultKind>([
  'scheduler-kill',
  'scheduler-freeze',
  'rolling-restart',
  'black-hole',
  'cut-inbound',
  'cut-outbound',
  'no-zookeeper',
]);

function unledTimes({ run, faults }: Evidence): readonly Interval[] {
  const names = new Set(run.processes.flatMap(({ name, role }) => (role === 'scheduler' ? [name] : [])));
  if (names.size === 0) return [];
  return [...names]
    .map((name) => united(faults.filter(({ kind, on }) => on === name && keepsFromLeading.has(kind))))
    .reduce<readonly Interval[]>(
      (all, own) =>
        all.flatMap((a) =>
          own.flatMap((b) => {
            const both = { from: Math.max(a.from, b.from), to: Math.min(a.to, b.to) };
            return both.from < both.to ? [both] : [];
          }),
        ),
      [{ from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY }],
    );
}

/** Under the load the ensemble commits all the time: a second without a commit while a server is under a fault is one without a quorum. */
const silentMsMin = 1_000;

function silentTimes({ log, faults }: Evidence): readonly Interval[] {
  const laid = faults.filter(({ on }) => on.startsWith('zookeeper'));
  return log.steps.flatMap(({ transaction: { at: to } }, i, steps) => {
    const from = steps[i - 1]?.transaction.at ?? to;
    const isSilent = to - from > silentMsMin && laid.some((fault) => fault.from <= to && fault.to >= from);
    return isSilent ? [{ from, to }] : [];
  });
}

/** The same moments, none of them twice. */
function united(intervals: readonly Interval[]): readonly Interval[] {
  const all: Interval[] = [];
  for (const { from, to } of [...intervals].sort((a, b) => a.from - b.from)) {
    const last = all.at(-1);
    if (last === undefined || from > last.to) all.push({ from, to });
    else all.splice(-1, 1, { from: last.from, to: Math.max(last.to, to) });
  }
  return all;
}

/** Of the time between the two, in ms, that in which it was possible to recover. */
function ableMs(from: number, to: number, { outages }: World): number {
  return outages.reduce(
    (ms, out) => ms - Math.max(0, Math.min(to, out.to) - Math.max(from, out.from)),
    to - from,
  );
}

/**
 * How long it took, in ms, to recover from a fault. Time in which other faults kept every scheduler from leading, or the
 * ensemble from a quorum, does not count: how long the ensemble was without one is the recovery of a fault of its own.
 *
 * - A worker that was killed: from the kill until nobody waits for it any more: the last of the tasks that ran on it was
 *   claimed anew where it may run again, or had its outcome recorded, `uncertain` included.
 * - A worker that lived on, and workers that were restarted: from the fault's end until one of the process's own next
 *   completes a task.
 * - A scheduler: where it led and lost its session by it, from the fault's begin until another one leads. Otherwise nothing.
 * - An API: from the fault's end until a submit sent after it is answered as accepted, by whichever API.
 * - A ZooKeeper server: the longest time without a commit of the ensemble that began under the fault, or held on into it.
 * - Redis: from the fault's end until a task that was accepted after it is completed: deliveries reach workers again.
 * - A task's own handler: from its first claim until that attempt's outcome is known.
 *
 * Null: there was nothing to recover, or it is not one of these.
 */
function recoveryMs(fault: FaultLine, world: World): number | null {
  switch (targetOf(fault, world)) {
    case 'worker':
      return fault.kind === 'worker-kill' ? untilKilledIsOver(fault, world) : untilItCompletes(fault, world);
    case 'scheduler':
      return untilAnotherLeads(fault, world);
    case 'api': {
      const accepted = world.evidence.answers.filter((line) => isAccepted(line) && line.at >= fault.to);
      const soon = soonest(accepted.map(({ until }) => until));
      return soon === null ? null : ableMs(fault.to, soon, world);
    }
    case 'zookeeper':
      return longestSilence(fault, world);
    case 'redis':
      return untilANewTaskIsCompleted(fault, world);
    case 'task': {
      const first = world.flights.find(({ task }) => task === fault.on);
      return first === undefined || first.to === Number.POSITIVE_INFINITY
        ? null
        : ableMs(first.from, first.to, world);
    }
    case 'fleet':
      return null;
  }
}

function untilKilledIsOver(fault: FaultLine, world: World): number | null {
  const { cast, flights } = world;
  const hit = new Set(
    cast.hitBy(fault).flatMap(({ id, life }) => (life !== null && life.from <= fault.from ? [id] : [])),
  );
  const held = flights.filter(
    ({ worker, from, to }) => hit.has(worker) && from <= fault.from && to >= fault.from,
  );
  if (held.length === 0) return null;
  return ableMs(fault.from, Math.max(...held.map(({ overAt }) => overAt)), world);
}

function untilItCompletes(fault: FaultLine, world: World): number | null {
  const { cast, story } = world;
  const own = new Set(
    cast.workers.flatMap(({ id, life }) =>
      life !== null && (life.name === fault.on || `${life.role}s` === fault.on) ? [id] : [],
    ),
  );
  const next = story.changes.find(
    ({ at, by, before, after }) => at >= fault.to && own.has(by) && isCompletion(before, after),
  );
  return next === undefined ? null : ableMs(fault.to, next.at, world);
}

function untilAnotherLeads(fault: FaultLine, world: World): number | null {
  const { evidence, cast } = world;
  const path = `${cast.chroot}/leader/term`;
  const terms = evidence.log.steps.filter(({ changes }) =>
    changes.some((change) => change.path === path && change.before !== null),
  );
  const leader = terms.findLast(({ transaction }) => transaction.at <= fault.from)?.transaction.session;
  if (leader === undefined || !isOf(leader, fault.on, evidence)) return null;
  const lastsMs = 2 * evidence.run.sessionTimeoutMs;
  const ended = evidence.log.steps.find(
    ({ transaction: { kind, session, at } }) =>
      (kind === 'expired' || kind === 'closed') &&
      session === leader &&
      at >= fault.from &&
      at <= fault.to + lastsMs,
  );
  const next = terms.find(({ transaction }) => transaction.at > fault.from)?.transaction.at;
  return ended === undefined || next === undefined ? null : ableMs(fault.from, next, world);
}

/** Whether the process of that name had the session, as far as its log says. */
function isOf(session: string, name: string, { run, trust }: Evidence): boolean {
  const pids = new Set(trust.flatMap((line) => (line.session === session ? [line.pid] : [])));
  return pids.size === 0 || run.processes.some((life) => life.name === name && pids.has(life.pid));
}

function longestSilence(fault: FaultLine, { evidence }: World): number | null {
  const gaps = evidence.log.steps.flatMap(({ transaction: { at } }, i, steps) => {
    const last = steps[i - 1]?.transaction.at ?? at;
    return at > fault.from && last <= fault.to ? [at - Math.max(last, fault.from)] : [];
  });
  return gaps.length === 0 ? null : gaps.reduce((a, b) => Math.max(a, b));
}

function untilANewTaskIsCompleted(fault: FaultLine, world: World): number | null {
  const { story } = world;
  const fresh = new Set<TaskId>();
  for (const { at, id, before, after } of story.changes) {
    if (at < fault.to) continue;
    if (before === null) fresh.add(id);
    else if (fresh.has(id) && isCompletion(before, after)) return ableMs(fault.to, at, world);
  }
  return null;
}

function soonest(times: readonly number[]): number | null {
  return times.length === 0 ? null : times.reduce((a, b) => Math.min(a, b));
}

/** By nearest rank; null of nothing. */
export function quantiles(values: readonly number[]): Quantiles | null {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** In the order of the first of each group. */
export function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): ReadonlyMap<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
