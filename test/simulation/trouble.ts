// trouble.ts: what may be laid on a fleet, as data: the faults and what operators do. Owns their kinds, the chances of each
// and how they are told; laying them is faults.ts.

import type { SeededRandom } from '../support/seeded-random.js';

/** A process by its place in the fleet: who is there when the fault comes; `leader`: whichever scheduler leads. */
type Seat = { readonly role: 'worker' | 'scheduler' | 'desk'; readonly at: number };
export type Place = Seat | 'leader';

/** Requests, as the protocol makes them; each role has its own. */
const requests = {
  worker: ['claim', 'claim', 'outcome', 'outcome', 'drop', 'record', 'sync', 'write', 'any'],
  scheduler: ['listing', 'listing', 'outcome', 'record', 'sync', 'write', 'any'],
  desk: ['accept', 'accept', 'outcome', 'record', 'write', 'any'],
} as const;
export type RequestKind = (typeof requests)[keyof typeof requests][number];

type What =
  | { readonly kind: 'expiry' | 'retire'; readonly on: Place }
  | { readonly kind: 'partition' | 'silence' | 'freeze'; readonly on: Place; readonly forMs: number }
  | { readonly kind: 'kill'; readonly on: Place; readonly backInMs: number }
  /** Of the requests of a kind, the one after the first `skip` meets it. */
  | {
      readonly kind: 'request';
      readonly on: Place;
      readonly of: RequestKind;
      readonly skip: number;
      readonly how: 'requestLost' | 'replyLost' | { readonly slowMs: number };
    }
  /** Its next write of a kind is applied, and it is killed, frozen or cut off before it learns of that. */
  | {
      readonly kind: 'atWrite';
      readonly on: Place;
      readonly of: RequestKind;
      readonly thereupon: 'kill' | 'freeze' | 'silence';
      readonly forMs: number;
    }
  /** It is frozen between a transaction's outcome and what follows from it. */
  | {
      readonly kind: 'pause';
      readonly on: Place;
      readonly lane: 'claim' | 'write';
      readonly skip: number;
      readonly forMs: number;
    }
  | { readonly kind: 'jump'; readonly on: Place; readonly byMs: number }
  | { readonly kind: 'down' | 'redisAway'; readonly forMs: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'failOver'; readonly lagMs: number }
  | {
      readonly kind: 'delivery';
      readonly how: 'lost' | 'doubled' | 'late' | 'first' | 'endLost';
      readonly lateMs: number;
    };

export type Fault = What & { readonly n: number; readonly atMs: number };

export type Act = {
  readonly n: number;
  readonly atMs: number;
  readonly by: number;
  /** `likely`: what the state of the task that is found calls for. */
  readonly act: 'likely' | 'replay' | 'cancel' | 'resolve';
  readonly as: 'completed' | 'failed';
  /** In [0, 1): which task. */
  readonly which: number;
};

type Stage = {
  readonly size: 'small' | 'large' | 'restored' | 'scheduled';
  readonly chaosMs: number;
  readonly timeoutMs: number;
  readonly workers: number;
  readonly schedulers: number;
  readonly desks: number;
};

export function planActs(
  random: SeededRandom,
  count: number,
  { chaosMs, desks }: { readonly chaosMs: number; readonly desks: number },
): Act[] {
  return Array.from({ length: count }, (_, i) => ({
    n: i + 1,
    // Rather late: there is more that stands still.
    atMs: (1 - random.roll() ** 2) * chaosMs,
    by: random.between(0, desks - 1),
    act: random.pick(['likely', 'likely', 'likely', 'replay', 'cancel', 'resolve'] as const),
    as: random.pick(['completed', 'failed'] as const),
    which: random.roll(),
  }));
}

export function planFaults(random: SeededRandom, stage: Stage): Fault[] {
  const count = random.between(28, 60);
  const plan: Omit<Fault, 'n'>[] = [];
  while (plan.length < count) {
    const atMs = random.roll() * stage.chaosMs;
    if (random.chance(0.06)) plan.push(...flapping(random, stage, atMs));
    else plan.push({ ...draw(random, stage), atMs } as Omit<Fault, 'n'>);
  }
  // Else what was lost on its way is found by a slow pass alone.
  if (random.chance(0.75)) plan.push({ kind: 'flush', atMs: stage.chaosMs } as Omit<Fault, 'n'>);
  return plan.map((fault, i) => ({ ...fault, n: i + 1 }) as Fault);
}

/** What is drawn for each fault, as often as its kind is listed. */
const kinds = [
  ...Array<'request'>(16).fill('request'),
  ...Array<'delivery'>(7).fill('delivery'),
  ...Array<'freeze'>(2).fill('freeze'),
  ...Array<'pause'>(3).fill('pause'),
  ...Array<'atWrite'>(2).fill('atWrite'),
  ...Array<'partition'>(3).fill('partition'),
  'expiry',
  'silence',
  'kill',
  'jump',
  'leader',
  'rare',
] as const;

function draw(random: SeededRandom, stage: Stage): What {
  const on = placeIn(random, stage);
  const forMs = lasting(random, stage);
  switch (random.pick(kinds)) {
    case 'request':
      return request(random, on);
    case 'delivery':
      return {
        kind: 'delivery',
        how: random.pick(['lost', 'doubled', 'doubled', 'late', 'first', 'endLost']),
        lateMs: random.between(0, stage.size === 'large' ? 4_000 : 900),
      };
    case 'freeze':
      return { kind: 'freeze', on, forMs };
    case 'pause':
      // Between a claim and its handlers is where it matters most.
      return {
        kind: 'pause',
        on,
        lane: random.pick(['claim', 'claim', 'write']),
        skip: random.between(0, 2),
        // As often as not for longer than the session lives.
        forMs: random.chance(0.5) ? forMs : forMs + stage.timeoutMs,
      };
    case 'atWrite':
      return {
        kind: 'atWrite',
        on: { role: 'worker', at: random.between(0, stage.workers - 1) },
        of: random.pick(['claim', 'outcome', 'write']),
        thereupon: random.pick(['kill', 'freeze', 'silence']),
        forMs,
      };
    case 'partition':
      return { kind: 'partition', on, forMs };
    case 'expiry':
      return { kind: 'expiry', on };
    case 'silence':
      return { kind: 'silence', on, forMs };
    case 'kill':
      return { kind: 'kill', on, backInMs: backIn(random, stage) };
    case 'jump':
      return { kind: 'jump', on, byMs: random.between(-2_000, 2_000) };
    case 'leader':
      return atLeader(random, forMs, backIn(random, stage));
    case 'rare':
      return rare(random, on, forMs);
  }
}

function rare(random: SeededRandom, on: Place, forMs: number): What {
  const kind = random.pick(['down', 'redisAway', 'flush', 'failOver', 'retire'] as const);
  if (kind === 'retire') return { kind, on };
  if (kind === 'flush') return { kind };
  if (kind === 'failOver') return { kind, lagMs: random.between(20, 1_500) };
  return { kind, forMs };
}

function atLeader(random: SeededRandom, forMs: number, backInMs: number): What {
  const kind = random.pick(['kill', 'partition', 'freeze', 'expiry'] as const);
  if (kind === 'kill') return { kind, on: 'leader', backInMs };
  return kind === 'expiry' ? { kind, on: 'leader' } : { kind, on: 'leader', forMs };
}

function request(random: SeededRandom, on: Seat): What {
  const slow = { slowMs: random.between(20, 600) };
  return {
    kind: 'request',
    on,
    of: random.pick<RequestKind>(requests[on.role]),
    skip: random.pick([0, 0, 0, 0, 1, 3]),
    how: random.pick(['requestLost', 'replyLost', 'replyLost', slow] as const),
  };
}

/** Replies are lost, and the connection comes and goes. */
function flapping(random: SeededRandom, stage: Stage, fromMs: number): Omit<Fault, 'n'>[] {
  const on = placeIn(random, stage);
  const faults: Omit<Fault, 'n'>[] = [];
  let atMs = fromMs;
  for (let times = random.between(2, 5); times > 0; times -= 1) {
    faults.push({ ...request(random, on), atMs } as Omit<Fault, 'n'>);
    faults.push({ kind: 'partition', on, forMs: random.between(10, 250), atMs } as Omit<Fault, 'n'>);
    atMs = Math.min(stage.chaosMs, atMs + random.between(50, 600));
  }
  return faults;
}

function placeIn(random: SeededRandom, { workers, schedulers, desks }: Stage): Seat {
  const role = random.pick(['worker', 'worker', 'worker', 'worker', 'scheduler', 'desk'] as const);
  const count = { worker: workers, scheduler: schedulers, desk: desks }[role];
  return { role, at: random.between(0, count - 1) };
}

/** As often as not longer than a session lives. */
function lasting(random: SeededRandom, { size }: Stage): number {
  if (size === 'large') return random.chance(0.5) ? random.between(20, 1_500) : random.between(1_600, 7_000);
  return random.chance(0.7) ? random.between(10, 500) : random.between(600, 2_000);
}

function backIn(random: SeededRandom, { size }: Stage): number {
  return random.between(50, size === 'large' ? 4_000 : 700);
}

/** A fault in a line. */
export function told({ n, atMs, ...what }: Fault): string {
  const { kind, ...rest } = what;
  const details = Object.entries(rest).map(([key, value]) => `${key} ${said(value)}`);
  return `fault ${n} at ${Math.round(atMs)} ms: ${[kind, ...details].join(', ')}`;
}

function said(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const { role, at } = value as { role?: string; at?: number };
  return role === undefined ? JSON.stringify(value) : `${role} ${(at ?? 0) + 1}`;
}
