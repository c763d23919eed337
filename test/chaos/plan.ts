// plan.ts: which faults a run meets, drawn up front from its seed: what, on whom, when, for how long. Pure. Owns the kinds and
// how often each comes; how one is laid is faults.ts.

import { SeededRandom } from '../support/seeded-random.js';

export const members = {
  worker: ['worker-1', 'worker-2', 'worker-3', 'worker-4'],
  scheduler: ['scheduler-1', 'scheduler-2'],
  api: ['api-1', 'api-2'],
} as const;

/** Of the workers, those whose wall clock can be set; see `clock-jump`. */
export const clockSettable: readonly string[] = ['worker-3', 'worker-4'];
/** The server whose disk can be filled. */
export const fillable = 'zookeeper-3';

const anyone = [...members.worker, ...members.worker, ...members.scheduler, ...members.api];

export type KindSpec = {
  /** Names, or a server's part at that moment. */
  readonly on: readonly string[];
  readonly forMs: readonly [min: number, max: number];
  /** In every two minutes. */
  readonly times: number;
  /** Faults of one exclusive group never overlap, and leave this many ms between them. Null: on one's own. */
  readonly apart?: { readonly group: string; readonly ms: number };
};

const quorum = { group: 'zookeeper', ms: 4_000 };
const onePrimary = { group: 'redis', ms: 3_000 };
const atOnce = [0, 0] as const;

/** Those of a process overlap with those of others, but not with one another on the same process. */
export const kinds = {
  'worker-kill': { on: members.worker, forMs: [200, 3_000], times: 3 },
  'worker-freeze': { on: members.worker, forMs: [500, 9_000], times: 4 },
  'scheduler-kill': { on: members.scheduler, forMs: [200, 3_000], times: 2 },
  'scheduler-freeze': { on: members.scheduler, forMs: [500, 9_000], times: 2 },
  'api-kill': { on: members.api, forMs: [200, 2_000], times: 2 },
  'api-freeze': { on: members.api, forMs: [500, 7_000], times: 1 },
  'rolling-restart': { on: ['workers', 'schedulers', 'apis'], forMs: atOnce, times: 1 },
  'black-hole': { on: anyone, forMs: [2_000, 9_000], times: 4 },
  'half-open': { on: anyone, forMs: [2_000, 6_000], times: 2 },
  'cut-inbound': { on: anyone, forMs: [1_000, 7_000], times: 2 },
  'cut-outbound': { on: anyone, forMs: [1_000, 7_000], times: 2 },
  latency: { on: anyone, forMs: [3_000, 9_000], times: 2 },
  'lost-replies': { on: anyone, forMs: [200, 1_000], times: 4 },
  'lost-answers': { on: members.api, forMs: [200, 1_000], times: 2 },
  'no-zookeeper': { on: anyone, forMs: [2_000, 9_000], times: 4 },
  'no-redis': { on: anyone, forMs: [1_000, 8_000], times: 2 },
  'clock-jump': { on: clockSettable, forMs: [3_000, 9_000], times: 2 },
  'leader-kill': { on: ['leader'], forMs: [500, 3_000], times: 2, apart: quorum },
  'leader-freeze': { on: ['leader'], forMs: [1_000, 6_000], times: 2, apart: quorum },
  'follower-kill': { on: ['follower'], forMs: [500, 3_000], times: 1, apart: quorum },
  'follower-freeze': { on: ['follower'], forMs: [1_000, 6_000], times: 1, apart: quorum },
  'disk-full': { on: [fillable], forMs: [1_000, 3_000], times: 1, apart: quorum },
  flushall: { on: ['redis'], forMs: atOnce, times: 2, apart: onePrimary },
  'redis-restart': { on: ['redis'], forMs: [200, 1_500], times: 2, apart: onePrimary },
  'redis-failover': { on: ['redis'], forMs: [500, 3_000], times: 2, apart: onePrimary },
  'event-loop-blocked': { on: ['tasks'], forMs: atOnce, times: 2 },
  'handler-hangs': { on: ['tasks'], forMs: atOnce, times: 2 },
  'handler-ignores-abort': { on: ['tasks'], forMs: atOnce, times: 2 },
  'handler-throws-oddly': { on: ['tasks'], forMs: atOnce, times: 2 },
  'submit-storm': { on: ['tasks'], forMs: atOnce, times: 2 },
} as const satisfies Record<string, KindSpec>;

export type FaultKind = keyof typeof kinds;

export type PlannedFault = {
  readonly kind: FaultKind;
  readonly on: string;
  /** From the beginning of the load. */
  readonly atMs: number;
  /** A fault ends when it is mended, which may take longer: a killed process has to start again. */
  readonly forMs: number;
};

/** No fault while processes have just started; none so late that it could not end within the time. */
const leadMs = 6_000;
const roundMs = 120_000;
/** What a process needs after a fault, before the next. */
const memberApartMs = 2_500;

/** `without`: kinds that cannot be laid here. In the order of their time. */
export function drawPlan(
  seed: number,
  minutes: number,
  without: ReadonlySet<FaultKind> = new Set(),
): readonly PlannedFault[] {
  const random = new SeededRandom(seed);
  const lastsMs = minutes * 60_000;
  const plan: PlannedFault[] = [];
  const rounds = Math.max(1, Math.round(lastsMs / roundMs));
  const eachMs = (lastsMs - leadMs) / rounds;
  for (let round = 0; round < rounds; round += 1) {
    const due = (Object.keys(kinds) as FaultKind[]).filter((kind) => !without.has(kind)).flatMap(repeated);
    const from = leadMs + round * eachMs;
    for (const group of [quorum, onePrimary]) plan.push(...inSlots(due, group, from, eachMs, random));
    for (const kind of due) {
      if (!('apart' in kinds[kind])) plan.push(placed(kind, plan, from, eachMs, random));
    }
  }
  return plan.sort((a, b) => a.atMs - b.atMs);
}

function repeated(kind: FaultKind): FaultKind[] {
  return Array.from({ length: kinds[kind].times }, () => kind);
}

/** Those of a group in any order, one in each equal part of the time. */
function inSlots(
  due: readonly FaultKind[],
  { group, ms }: { readonly group: string; readonly ms: number },
  from: number,
  lastsMs: number,
  random: SeededRandom,
): PlannedFault[] {
  const ofGroup = shuffled(
    due.filter((kind) => {
      const spec: KindSpec = kinds[kind];
      return spec.apart?.group === group;
    }),
    random,
  );
  const slotMs = lastsMs / ofGroup.length;
  return ofGroup.map((kind, i) => {
    const { on, forMs } = drawn(kind, random);
    const lateMs = Math.max(0, Math.floor(slotMs - forMs - ms));
    return { kind, on, forMs, atMs: Math.floor(from + i * slotMs + random.between(0, lateMs)) };
  });
}

const triesMax = 1_000;
/** Share of the time in which odd tasks are submitted: they may wait long for their turn, and all are calm in the end. */
const tasksBefore = 0.7;

/** Anywhere in the time where nothing else is laid on the same process. */
function placed(
  kind: FaultKind,
  plan: readonly PlannedFault[],
  from: number,
  lastsMs: number,
  random: SeededRandom,
): PlannedFault {
  const isFirst = !plan.some((other) => other.kind === kind && other.atMs >= from);
  for (let tries = 0; tries < triesMax; tries += 1) {
    const { on, forMs } = drawn(kind, random, isFirst);
    const latestMs = on === 'tasks' ? lastsMs * tasksBefore : lastsMs - forMs - memberApartMs;
    const atMs = Math.floor(from + random.between(0, Math.max(0, Math.floor(latestMs))));
    const isFree = plan.every(
      (other) =>
        on === 'tasks' ||
        other.on !== on ||
        other.atMs > atMs + forMs + memberApartMs ||
        atMs > other.atMs + other.forMs + memberApartMs,
    );
    if (isFree) return { kind, on, forMs, atMs };
  }
  throw new Error(`no room for ${kind} within ${lastsMs} ms: let the run last longer`);
}

/** Where anyone may have it, a worker has it first: that is where tasks are. */
function drawn(kind: FaultKind, random: SeededRandom, isFirst = false): { on: string; forMs: number } {
  const { on, forMs }: KindSpec = kinds[kind];
  return {
    on: random.pick(on === anyone && isFirst ? members.worker : on),
    forMs: random.between(...forMs),
  };
}

function shuffled<T>(items: readonly T[], random: SeededRandom): T[] {
  return items
    .map((item) => ({ item, place: random.roll() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
