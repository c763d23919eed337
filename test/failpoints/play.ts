// play.ts: one cell, from its first znode to its last: the victim is brought to its step, the fault strikes there, the rest
// of the fleet goes on, and what is left in the end is compared with what the design demands.

import { isDeepStrictEqual } from 'node:util';
import type { OnInterrupted, TaskRecord } from '../../src/domain/index.js';
import { eventually } from '../support/eventually.js';
import { type Grounds, Stage, type Theatre } from './stage.js';
import { type Step, type StepName, type Struck, steps } from './steps.js';
import type { Side } from './tap.js';

/** What happens to the victim, and on which side of its step. */
export type Fault =
  | 'killed before'
  | 'killed after'
  | 'frozen before'
  | 'frozen after'
  | 'lost, not applied'
  | 'lost, applied';

/** How a cell must end. */
export type Outcome = {
  /** `retired`: the record has left the ledger; the history has it. */
  readonly state: TaskRecord['state'] | 'missing' | 'retired';
  readonly attempt: number;
  /** How each attempt ended, by the record. */
  readonly attempts: readonly string[];
  /** The attempts whose effects the world outside has seen. */
  readonly effects: readonly number[];
  readonly replays: number;
  /** What the victim, or whoever asked again in its place, may be answered; `none`: nobody is. */
  readonly answer: readonly string[];
};

export type Cell = {
  readonly step: StepName;
  readonly fault: Fault;
  readonly policy: OnInterrupted;
  readonly expected: Outcome;
};

export type Observation = Omit<Outcome, 'answer'> & {
  readonly answer: string;
  /** Claims, deliveries and members of the fleet that nobody will take away. */
  readonly left: readonly string[];
  /** Effects whose fence is not above those of earlier attempts. */
  readonly unfenced: readonly number[];
};

/** Lets a few cells at a time be busy; those that only wait for the end of a lock or a session cost nothing. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async take<T>(act: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await act();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

const reachMsMax = 60_000;
/** A delivery whose taker died comes again within about 20 s. */
const endMsMax = 60_000;
/** Of victims: none loses its session but where a fault takes it, however slow the machine. */
const sessionTimeoutMs = 4_000;
/** Long beyond the matrix: no record leaves the ledger but where that is the step. */
export const sharedDedupWindowMs = 3_600_000;

/** What differs between `observed` and what the design demands of the cell; nothing when all is well. */
export function differences(expected: Outcome, observed: Observation): string[] {
  const demanded = { ...expected, left: [], unfenced: [] };
  return (Object.keys(demanded) as (keyof Observation)[])
    .filter((key) =>
      key === 'answer'
        ? !expected.answer.includes(observed.answer)
        : !isDeepStrictEqual(demanded[key], observed[key]),
    )
    .map((key) => `${key}: ${JSON.stringify(observed[key])}, not ${JSON.stringify(demanded[key])}`);
}

export type Played = { readonly observed: Observation | Error; readonly ms: number };

/** `ms`: since its turn came. Never rejects. */
export async function play(cell: Cell, theatre: Theatre, shared: Grounds, turns: Turns): Promise<Played> {
  const on: { since: number; stage?: Stage } = { since: performance.now() };
  const observed = await perform(cell, theatre, shared, turns, on).catch((error: Error) => error);
  const ms = Math.round(performance.now() - on.since);
  const isSound = !(observed instanceof Error) && differences(cell.expected, observed).length === 0;
  const closed = await on.stage?.close(isSound).catch((error: Error) => error);
  return { observed: closed ?? observed, ms };
}

async function perform(
  cell: Cell,
  theatre: Theatre,
  shared: Grounds,
  turns: Turns,
  on: { since: number; stage?: Stage },
): Promise<Observation> {
  const step: Step = steps[cell.step];
  const { stage, struck } = await turns.take(async () => {
    on.since = performance.now();
    const options = {
      policy: cell.policy,
      side: sideOf(cell.fault),
      sessionTimeoutMs: step.sessionTimeoutMs ?? sessionTimeoutMs,
      dedupWindowMs: step.dedupWindowMs ?? sharedDedupWindowMs,
    };
    const stage = await Stage.open(theatre, options, step.isAlone === true ? null : shared);
    on.stage = stage;
    const struck = await within(step.reach(stage), reachMsMax, `${cell.step} is reached`);
    await strike(cell, stage, struck);
    return { stage, struck };
  });
  await goOn(cell, stage, struck);
  return end(cell, stage, step);
}

function sideOf(fault: Fault): Side {
  return ['killed before', 'frozen before', 'lost, not applied'].includes(fault) ? 'before' : 'after';
}

async function strike({ fault }: Cell, stage: Stage, { hold, on }: Struck): Promise<void> {
  if (fault.startsWith('lost')) return hold.lose();
  if (fault.startsWith('killed')) {
    await stage.killVictim();
    return hold.lose();
  }
  await stage.freezeVictim();
  // A reply waits in the frozen process's socket. A request it was about to send goes with the connection: ZooKeeper ends
  // that itself when the session expires.
  if (stage.options.side === 'after' || on === 'outside') hold.release();
  else if (on === 'redis') hold.lose();
}

/** The rest of the fleet takes over; a frozen victim comes back when its session is over and others have done their part. */
async function goOn(cell: Cell, stage: Stage, { afterwards }: Struck): Promise<void> {
  await stage.restLeads();
  if ((steps[cell.step] as Step).restWorks === undefined) await stage.restWorks();
  if (cell.fault.startsWith('frozen')) {
    await stage.zookeeper.closedByServer();
    await movedOn(cell, stage);
    stage.thawVictim();
  }
  await afterwards?.();
}

/** What others do about a task while its worker is frozen has been done. */
async function movedOn({ policy, step }: Cell, stage: Stage): Promise<void> {
  if (step === 'cancelRequested') return; // Its worker is not the one that is frozen.
  const look = async (): Promise<void> => {
    const state = (await stage.record())?.state;
    if (state === 'running' || (policy !== 'park' && state !== 'completed'))
      throw new Error(`it is ${state}`);
  };
  await eventually(look, { deadlineMs: 40_000, pollMs: 50, what: 'others have moved the task on' });
}

/** Waits for the demanded end, ends every party, and looks again: what was still under way must not change it. */
async function end(cell: Cell, stage: Stage, step: Step): Promise<Observation> {
  const answer = await answered(cell, stage);
  if (step.restWorks !== undefined) await stage.restWorks();
  const look = async (): Promise<void> => {
    const state = (await stage.record())?.state ?? 'retired';
    if (state !== cell.expected.state) throw new Error(`it is ${state}`); // The rest need not be looked at yet.
    const [first] = differences(cell.expected, { ...(await observe(stage)), answer });
    if (first !== undefined) throw new Error(first);
  };
  try {
    await eventually(look, { deadlineMs: endMsMax, pollMs: 200, what: 'the end' });
  } catch {
    return { ...(await observe(stage)), answer };
  }
  // Its last hints go to the rest of the fleet, which drops them.
  await stage.closeVictim();
  await nothing(() => stage.deliveriesLeft());
  await stage.closeRest();
  await nothing(() => stage.membersLeft());
  const { left, ...observed } = await observe(stage);
  return { ...observed, answer, left: [...left, ...(await stage.membersLeft())] };
}

/** Resolves once nothing is left, or when that should have been long ago: the observation tells. */
async function nothing(look: () => Promise<readonly string[]>): Promise<void> {
  const isEmpty = async (): Promise<void> => {
    const left = await look();
    if (left.length > 0) throw new Error(left.join());
  };
  const options = { deadlineMs: 30_000, pollMs: 50, what: 'nothing is left' };
  await eventually(isEmpty, options).catch(() => undefined);
}

async function answered({ step, fault }: Cell, stage: Stage): Promise<string> {
  if (stage.answer === null) return 'none';
  const answer = await stage.answer.catch((error: Error) => error.message);
  if (!fault.startsWith('killed')) return String(answer ?? 'done');
  // The victim's client learns nothing, and submits the same again.
  return step === 'accepted' ? String(await stage.submit()) : 'none';
}

async function observe(stage: Stage): Promise<Omit<Observation, 'answer'>> {
  const record = await stage.record();
  const past = record === null ? await stage.past() : null;
  const known = record ?? past;
  const effects = [...stage.outside.of(stage.id)].sort((a, b) => a.attempt - b.attempt);
  const overlapping = effects.filter(({ fence }, i) => fence <= (effects[i - 1]?.fence ?? -1));
  return {
    state: record?.state ?? (past?.state === 'completed' ? 'retired' : 'missing'),
    attempt: known?.attempt ?? 0,
    attempts: (known?.attempts ?? []).map(({ n, outcome }) => `${n} ${outcome}`),
    effects: effects.map(({ attempt }) => attempt),
    replays: known?.replays ?? 0,
    left: [...(await stage.claimsLeft()), ...(await stage.deliveriesLeft())],
    unfenced: overlapping.map(({ attempt }) => attempt),
  };
}

async function within<T>(act: Promise<T>, deadlineMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([act, late]);
  } finally {
    clearTimeout(timer);
  }
}
