// plan.ts: a history before it happens: who there is, what is submitted, what operators do, what breaks and when; made from
// the seed alone, as data, so that parts of it can be left out. What becomes of it is simulate.ts.
//
// Chance that is drawn while a history runs (latencies, jitter, what a handler does) comes from sequences of their own, by
// process and by attempt: leaving a fault out changes what it touched, and as little else as may be.

import type { ScheduleInput, SubmissionInput } from '../../src/domain/index.js';
import { SeededRandom } from '../support/seeded-random.js';
import { type Act, type Fault, planActs, planFaults } from './trouble.js';
import { submissionFor } from './work.js';

/**
 * `small` ones are short and dense; a few are as large as a fleet in trouble may be; in some ZooKeeper's data goes back, in
 * some a schedule fires.
 */
export type Size = 'small' | 'large' | 'restored' | 'scheduled';

export type PlannedProcess = {
  readonly name: string;
  /** Of its wall clock (P12). */
  readonly skewMs: number;
  /** It reads from a follower that lags. */
  readonly stale: boolean;
  readonly concurrency: number;
  readonly drainMsMax: number;
};

export type PlannedTask = { readonly n: number; readonly input: SubmissionInput };

/** `atMs` counts from the beginning of the trouble, here and below. */
export type PlannedSubmit = {
  readonly atMs: number;
  readonly by: number;
  /** The tasks, by their number; several: together. */
  readonly tasks: readonly number[];
  /** The same ids with another content. */
  readonly altered: boolean;
};

/** ZooKeeper is set back to what it held `agoMs` before; null: to nothing. An operator confirms that after a while. */
export type PlannedRestore = {
  readonly atMs: number;
  readonly agoMs: number | null;
  readonly confirmedAfterMs: number;
};

/** Made when the trouble begins, removed once everything is mended. */
export type PlannedSchedule = { readonly by: number; readonly input: ScheduleInput };

export type Plan = {
  readonly seed: number;
  readonly size: Size;
  readonly timeoutMs: number;
  readonly graceMs: number;
  readonly dedupWindowMs: number;
  readonly reconcileEveryMs: number;
  readonly chaosMs: number;
  readonly latencyMsMax: number;
  /** Upper bound of a follower's lag; null: there is none. */
  readonly lagMsMax: number | null;
  readonly desks: readonly PlannedProcess[];
  readonly schedulers: readonly PlannedProcess[];
  readonly workers: readonly PlannedProcess[];
  readonly tasks: readonly PlannedTask[];
  readonly submits: readonly PlannedSubmit[];
  readonly acts: readonly Act[];
  readonly faults: readonly Fault[];
  readonly restore: PlannedRestore | null;
  readonly schedule: PlannedSchedule | null;
};

const skewMsMax = 1_500;
/** Tasks of a small history. */
export const smallTasksMax = 7;
const largeShare = 0.005;
const restoredShare = 0.025;
const scheduledShare = 0.01;

/** A size's own measures; everything else is drawn alike. */
const measures = {
  small: { timeoutMs: 900, graceMs: 250, reconcileEveryMs: 4_000, chaosMs: [2_200, 4_000] },
  large: { timeoutMs: 2_000, graceMs: 500, reconcileEveryMs: 8_000, chaosMs: [12_000, 35_000] },
  scheduled: { timeoutMs: 900, graceMs: 250, reconcileEveryMs: 4_000, chaosMs: [5_000, 9_000] },
  restored: { timeoutMs: 900, graceMs: 250, reconcileEveryMs: 4_000, chaosMs: [2_500, 4_500] },
} as const;

export function planOf(seed: number): Plan {
  const random = new SeededRandom(seed, 'plan');
  const size = sizeOf(random);
  const { chaosMs: bounds, ...fixed } = measures[size];
  const chaosMs = random.between(bounds[0], bounds[1]);
  const workers = size === 'large' ? random.between(2, 4) : random.pick([1, 2, 2, 2, 2, 3]);
  const schedulers = random.pick([1, 1, 1, 2]);
  const desks = size === 'large' || random.chance(0.25) ? 2 : 1;
  const tasks = planTasks(random, size);
  const lags = random.chance(0.35);
  const crew = (role: string, count: number): PlannedProcess[] =>
    Array.from({ length: count }, (_, n) => planProcess(random, `${role}${n + 1}`, lags));
  return {
    seed,
    size,
    ...fixed,
    chaosMs,
    // Now and then finished records leave the ledger before the history ends: not before the trouble does, by any clock.
    dedupWindowMs: random.chance(0.04) ? chaosMs + 12_000 : 86_400_000,
    latencyMsMax: random.pick(size === 'large' ? [2, 4, 4, 40, 120] : [2, 4, 4, 12, 40]),
    lagMsMax: lags ? random.pick([20, 150, 600]) : null,
    desks: crew('desk', desks).map((desk, n) => ({ ...desk, name: n === 0 ? 'desk' : 'office' })),
    schedulers: crew('s', schedulers),
    workers: crew('w', workers),
    tasks,
    submits: planSubmits(random, tasks, { chaosMs, desks }),
    acts: planActs(random, random.between(0, tasks.length + 2), { chaosMs, desks }),
    faults: planFaults(random, { size, chaosMs, timeoutMs: fixed.timeoutMs, workers, schedulers, desks }),
    restore: size === 'restored' ? planRestore(random, chaosMs) : null,
    schedule: size === 'scheduled' ? planSchedule(random, tasks, desks) : null,
  };
}

/** What of a plan is kept; what is not named is kept whole. */
export type Keep = {
  readonly faults?: readonly number[];
  readonly tasks?: readonly number[];
  readonly acts?: readonly number[];
  readonly workers?: readonly number[];
  readonly schedulers?: readonly number[];
};

/** The plan with what `keep` leaves of it. Processes are numbered from 1, as in their names. */
export function kept(plan: Plan, keep: Keep): Plan {
  const numbered = <T extends { readonly n: number }>(
    items: readonly T[],
    numbers?: readonly number[],
  ): readonly T[] => (numbers === undefined ? items : items.filter(({ n }) => numbers.includes(n)));
  const placed = (
    items: readonly PlannedProcess[],
    numbers?: readonly number[],
  ): readonly PlannedProcess[] =>
    numbers === undefined ? items : items.filter(({ name }) => numbers.includes(Number(name.slice(1))));
  const tasks = numbered(plan.tasks, keep.tasks);
  const has = (n: number): boolean => tasks.some((task) => task.n === n);
  return {
    ...plan,
    tasks,
    submits: plan.submits
      .map((submit) => ({ ...submit, tasks: submit.tasks.filter(has) }))
      .filter((submit) => submit.tasks.length > 0),
    faults: numbered(plan.faults, keep.faults),
    acts: numbered(plan.acts, keep.acts),
    workers: placed(plan.workers, keep.workers),
    schedulers: placed(plan.schedulers, keep.schedulers),
  };
}

function sizeOf(random: SeededRandom): Size {
  const roll = random.roll();
  if (roll < largeShare) return 'large';
  if (roll < largeShare + restoredShare) return 'restored';
  return roll < largeShare + restoredShare + scheduledShare ? 'scheduled' : 'small';
}

function planProcess(random: SeededRandom, name: string, lags: boolean): PlannedProcess {
  return {
    name,
    skewMs: random.between(-skewMsMax, skewMsMax),
    stale: lags && random.chance(0.5),
    concurrency: random.between(1, 5),
    drainMsMax: random.pick([0, 300, 30_000]),
  };
}

function planTasks(random: SeededRandom, size: Size): PlannedTask[] {
  const count = size === 'large' ? random.between(8, 40) : random.between(2, smallTasksMax);
  return Array.from({ length: count }, (_, i) => ({
    n: i + 1,
    input: submissionFor(random, `t${i + 1}`, size),
  }));
}

/** Some come alone, some together; some are repeated, some with another content. */
function planSubmits(
  random: SeededRandom,
  tasks: readonly PlannedTask[],
  { chaosMs, desks }: { readonly chaosMs: number; readonly desks: number },
): PlannedSubmit[] {
  const at = (): number => random.roll() ** 2 * chaosMs * 0.9;
  const by = (): number => random.between(0, desks - 1);
  const submits: PlannedSubmit[] = [];
  for (let from = 0; from < tasks.length; ) {
    const together = random.chance(0.3) ? random.between(2, 6) : 1;
    const numbers = tasks.slice(from, from + together).map(({ n }) => n);
    from += together;
    submits.push({ atMs: at(), by: by(), tasks: numbers, altered: false });
    if (random.chance(0.2))
      submits.push({ atMs: at(), by: by(), tasks: numbers, altered: random.chance(0.4) });
  }
  return submits;
}

function planRestore(random: SeededRandom, chaosMs: number): PlannedRestore {
  return {
    atMs: random.between(chaosMs * 0.4, chaosMs * 0.8),
    agoMs: random.chance(0.3) ? null : random.between(50, chaosMs * 0.35),
    confirmedAfterMs: random.between(200, 4_000),
  };
}

/** Its ticks are of the first task's kind. */
function planSchedule(
  random: SeededRandom,
  tasks: readonly PlannedTask[],
  desks: number,
): PlannedSchedule | null {
  const [like] = tasks;
  if (like === undefined) return null;
  const { id: _id, delayMs: _later, ...task } = like.input;
  return {
    by: random.between(0, desks - 1),
    input: {
      id: 'every',
      cron: `*/${random.pick([2, 3])} * * * * *`,
      task,
      misfire: { policy: random.pick(['all', 'all', 'once', 'skip']) },
      overlap: random.pick(['allow', 'allow', 'skip']),
    },
  };
}
