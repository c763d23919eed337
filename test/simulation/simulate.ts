// simulate.ts: one history of a fleet, decided by its plan alone. Owns the course of it: begin, trouble, everything healed and
// given time, everything stopped. What happens is the product's own code on the memory twins; what was seen is the story.
//
// Deterministic as far as Node is: promises settle in the order in which they were made, nothing here waits for a file, a
// socket or a real timer. opossum reads the real clock, for latencies that nobody looks at.

import { dirname } from 'node:path/posix';
import { ensureTree, MemoryEnsemble } from '../../src/coordination/index.js';
import type { TaskId } from '../../src/domain/index.js';
import { recordPath, treePaths, wantsVerification } from '../../src/ledger/index.js';
import { recordsPath } from '../../src/ledger/paths.js';
import { silentLogger } from '../../src/runtime/index.js';
import type { Story } from '../invariants/story.js';
import { ManualClock } from '../support/manual-clock.js';
import { RedisTwin } from '../support/redis-twin.js';
import { SeededRandom } from '../support/seeded-random.js';
import { Chronicle, type Halt } from './chronicle.js';
import { Faults } from './faults.js';
import { Fleet } from './fleet.js';
import type { Machine, Mutation, World } from './machine.js';
import { ObservedEnsemble } from './observed-ensemble.js';
import { People } from './people.js';
import { type Plan, planOf, smallTasksMax } from './plan.js';
import { Restore } from './restore.js';
import { handlerMsMax, Work } from './work.js';

/** Everybody has found the others. */
const beginMs = 250;
const lookEveryMs = 200;
/** What is over stays over: nothing of what goes on is unknown. */
const quietMs = 600;
/** A handler that was given up has returned, and its word is still to be recorded, if it is wanted: a new session, too, may come first. */
const evidenceMs = 4_000;
/** A worker whose slots are all free stops at once; one that waits for a slot takes longer than this. */
const stopMsMax = 3_000;
/** What is left of timers has run by then, unless it goes on for ever. */
const lastTimersMs = 120_000;
/** Far more than any history takes: time does not go on. */
const stepsMax = 3_000_000;

export type History = {
  readonly plan: Plan;
  readonly story: Story;
  /** Faults that really happened to somebody, by kind. */
  readonly counts: ReadonlyMap<string, number>;
  readonly simulatedMs: number;
  /** Null: the ensemble's data was not set back. */
  readonly restore: Restore | null;
  readonly halts: readonly Halt[];
  /** The place of a handler's call, by the place of its effect. */
  readonly startOf: ReadonlyMap<number, number>;
};

export type Options = {
  readonly mutation?: Mutation;
  /** It is told, for somebody to read. */
  readonly transcript?: boolean;
};

export async function simulate(of: number | Plan, options: Options = {}): Promise<History> {
  const plan = typeof of === 'number' ? planOf(of) : of;
  const history = await new Simulation(plan, options, await preparedTree(plan)).run();
  // A turn of the event loop: what was rejected and not caught shows now, and as this history's.
  await new Promise((resolve) => setImmediate(resolve));
  return history;
}

type Tree = ReturnType<MemoryEnsemble['snapshot']>;
const preparedTrees = new Map<boolean, Promise<Tree>>();

/** The persistent znodes, made once: every history begins with a copy. */
function preparedTree({ size, tasks }: Plan): Promise<Tree> {
  const whole = size === 'large' || size === 'scheduled' || tasks.length > smallTasksMax;
  const tree = preparedTrees.get(whole) ?? prepareTree(whole ? treePaths : smallTreePaths());
  preparedTrees.set(whole, tree);
  return tree;
}

/** A pass over the ledger looks at every bucket: small histories have those that their tasks fall into. */
function smallTreePaths(): string[] {
  const ids = Array.from({ length: smallTasksMax }, (_, i) => `t${i + 1}` as TaskId);
  const buckets = new Set(ids.map((id) => dirname(recordPath(id))));
  return treePaths.filter((path) => dirname(path) !== recordsPath || buckets.has(path));
}

async function prepareTree(paths: readonly string[]): Promise<Tree> {
  const clock = new ManualClock();
  const ensemble = new MemoryEnsemble(clock);
  const random = new SeededRandom(0);
  const session = ensemble.open({ timeoutMs: 1_000 }, { clock, random, log: silentLogger });
  const made = ensureTree(session, paths);
  await clock.advance(100);
  await made;
  return { ...ensemble.snapshot(), sessions: [] };
}

class Simulation {
  readonly #plan: Plan;
  readonly #clock = new ManualClock();
  readonly #chronicle: Chronicle;
  readonly #ensemble: ObservedEnsemble;
  readonly #redis: RedisTwin;
  readonly #work: Work;
  readonly #fleet: Fleet;
  readonly #people: People;
  readonly #faults: Faults;
  readonly #restore: Restore | null;
  readonly #unsettled: string[] = [];
  #steps = 0;

  constructor(plan: Plan, { mutation = {}, transcript = false }: Options, tree: Tree) {
    const { seed, latencyMsMax, lagMsMax } = plan;
    const clock = this.#clock;
    const network = new SeededRandom(seed, 'network');
    const latencyMs = (): number =>
      network.chance(0.03) ? network.between(5, 120) : network.between(1, latencyMsMax);
    const lag = new SeededRandom(seed, 'lag');
    const lagMs = lagMsMax === null ? null : () => lag.between(0, lagMsMax);
    const chronicle = new Chronicle(clock, transcript);
    const ensemble = new ObservedEnsemble(clock, latencyMs, lagMs, chronicle);
    ensemble.restore(tree);
    const redis = new RedisTwin(clock);
    const work = new Work(plan, chronicle, ensemble);
    const world: World = { plan, clock, chronicle, ensemble, redis, work, mutation };
    this.#plan = plan;
    this.#chronicle = chronicle;
    this.#ensemble = ensemble;
    this.#redis = redis;
    this.#work = work;
    this.#fleet = new Fleet(world, (machine) => this.#retire(machine));
    this.#people = new People(world, this.#fleet);
    this.#faults = new Faults(world, this.#fleet);
    this.#restore =
      plan.restore === null ? null : new Restore(plan.restore, world, this.#fleet, this.#people);
    ensemble.onExpired = (id) => this.#noteLease(id);
  }

  async run(): Promise<History> {
    await this.#runFor(beginMs);
    await this.#trouble();
    const settling = await this.#heal();
    const claimsLeft = this.#ensemble.claims();
    const ledger = this.#ensemble.ledger();
    await this.#stopAll();
    this.#bury();
    const { changes, starts, effects, faults, submits, leases, defects, records, transcript } =
      this.#chronicle;
    const { seed, graceMs, dedupWindowMs } = this.#plan;
    const story: Story = {
      seed,
      graceMs,
      dedupWindowMs,
      acknowledged: this.#people.acknowledged,
      changes,
      starts,
      effects,
      faults,
      submits,
      leases,
      settling,
      schedules: this.#people.schedules,
      records,
      ledger,
      claimsLeft,
      unsettled: this.#unsettled,
      defects,
      transcript: transcript ?? [],
    };
    return {
      plan: this.#plan,
      story,
      counts: this.#chronicle.counts,
      simulatedMs: this.#chronicle.at,
      restore: this.#restore,
      halts: this.#chronicle.halts,
      startOf: this.#chronicle.startOf,
    };
  }

  // The course of it.

  async #trouble(): Promise<void> {
    const { chaosMs, submits, acts, faults, schedule } = this.#plan;
    if (schedule !== null) this.#people.schedule(schedule);
    for (const submit of submits) this.#at(submit.atMs, () => this.#people.submit(submit));
    for (const act of acts) this.#at(act.atMs, () => this.#people.operate(act));
    for (const fault of faults) this.#at(fault.atMs, () => this.#faults.lay(fault));
    this.#restore?.begin();
    await this.#runFor(chaosMs);
  }

  /** Until all is over and stays so for a while; says how long it took. */
  async #heal(): Promise<NonNullable<Story['settling']>> {
    this.#chronicle.say('*', () => '--- everything is healed ---');
    this.#work.calm = true;
    this.#people.patient = false;
    this.#faults.mend();
    if (this.#plan.schedule !== null) this.#people.unschedule(this.#plan.schedule);
    const healedAt = this.#chronicle.at;
    const withinMs = this.#settlesWithinMs();
    let overAt = healedAt;
    while (
      this.#chronicle.at - overAt < this.#quietMs() &&
      this.#chronicle.at - healedAt < withinMs + evidenceMs
    ) {
      await this.#runFor(lookEveryMs);
      for (const _ of this.#restless()) {
        overAt = this.#chronicle.at;
        break;
      }
    }
    const left = [...this.#restless()];
    this.#unsettled.push(...left);
    return { withinMs, tookMs: left.length > 0 ? null : overAt - healedAt };
  }

  /** Late evidence may come for as long as the process lives that knows how its handler ended, or that it never began. */
  #quietMs(): number {
    const { records, starts } = this.#chronicle;
    const alive = new Set(this.#fleet.machines.flatMap(({ name, dead }) => (dead ? [] : [name])));
    for (const { id, state, attempt, attempts } of records.values()) {
      const worker = attempts?.at(-1)?.worker ?? '';
      if (state !== 'uncertain' || !alive.has(worker)) continue;
      const began = starts.some((start) => start.task === id && start.attempt === attempt);
      if (!began || this.#work.openOf(worker).has(id)) return evidenceMs;
    }
    return quietMs;
  }

  /**
   * How long all may take to end once everything is mended: what is known to be due later; the loss of what was lost (a
   * session's life, its expiry's tick, the grace, the leader's look); the back-off of those who failed until now (an
   * election's or an announcement's, 5 s each); then, at most twice, for one attempt may be in its middle and fail: a
   * delivery that was lost is found (5 s during which it may be on its way, and a pass), or one whose taker died comes again
   * (3 s), a handler runs its course, is given 2 s to settle, and its task waits for its next attempt.
   */
  #settlesWithinMs(): number {
    const { size, timeoutMs, graceMs, reconcileEveryMs, dedupWindowMs } = this.#plan;
    const lossMs = timeoutMs + 100 + graceMs + 500;
    const roundMs = 5_000 + reconcileEveryMs + 3_000 + handlerMsMax(size) + 2_000 + 5_000;
    const retirementMs = dedupWindowMs < lastTimersMs ? dedupWindowMs + 6_000 + reconcileEveryMs : 0;
    const confirmationMs = this.#plan.restore === null ? 0 : this.#plan.restore.confirmedAfterMs + 10_000;
    return Math.round(this.#dueInMs() + confirmationMs + lossMs + 10_000 + 2 * roundMs + retirementMs);
  }

  /** Until the last of what is known to be put off, by the slowest wall clock. */
  #dueInMs(): number {
    const slowMs = 3_000;
    const now = this.#clock.now();
    const records = [...this.#chronicle.records.values()].map(
      ({ notBefore }) => (notBefore ?? 0) - now + slowMs,
    );
    const jobs = this.#redis.jobs.map(({ dueAt }) => dueAt - this.#chronicle.at);
    return Math.max(0, ...records, ...jobs);
  }

  async #stopAll(): Promise<void> {
    this.#chronicle.say('*', () => '--- everything is stopped ---');
    const alive = this.#fleet.machines.filter(({ dead }) => !dead);
    for (const machine of alive) machine.retiring = true;
    await this.#settles('stopping', Promise.all(alive.map(({ service }) => service?.stop())), stopMsMax);
    for (const { generation } of alive) generation.close();
    await this.#settles('closing', Promise.all(alive.map(({ client }) => client.close())), stopMsMax);
    if (alive.some(({ clock }) => clock.waiting > 0)) await this.#runFor(lastTimersMs);
    for (const { name, clock } of alive) {
      if (clock.waiting > 0) this.#unsettled.push(`${name} has left ${clock.waiting} timers`);
    }
  }

  /** What was killed goes on to wait, in this process, for what never comes: Node keeps the signals that somebody listens to. */
  #bury(): void {
    for (const { dead, service } of this.#fleet.machines) {
      if (dead) service?.stop().catch(() => undefined);
    }
  }

  /** What is left to be done by the product, one thing at a time. */
  *#restless(): Iterable<string> {
    const { records, standing } = this.#chronicle;
    for (const record of records.values()) {
      const { id, state } = record;
      const open = state === 'waiting' || state === 'running' || wantsVerification(record);
      if (open && standing.has(id)) yield `${id} is ${state}`;
    }
    for (const path of this.#ensemble.claims()) yield `${path} stands`;
    for (const { ids } of this.#redis.jobs) yield `a delivery of ${ids} is left`;
    if (this.#fleet.starting > 0) yield `${this.#fleet.starting} processes have not started`;
    for (const { dead, name } of this.#fleet.machines) {
      if (dead) continue;
      if (this.#work.isBusy(name)) yield `a handler of ${name} goes on`;
      for (const [id, how] of this.#work.openOf(name)) {
        if (how === 'running') yield `${name} has not said how ${id} ended`;
      }
    }
    if (this.#restore?.confirmed === false) yield 'the restore is not confirmed';
    if (this.#people.underWay > 0) yield `${this.#people.underWay} calls have not returned`;
    if (this.#plan.dedupWindowMs > lastTimersMs) return;
    for (const id of standing) {
      if (records.get(id)?.finishedAt !== undefined) yield `${id} has not left the ledger`;
    }
  }

  #retire(machine: Machine): void {
    this.#people.call(machine.name, 'retire', async () => {
      await machine.retire();
      return 'it has ended';
    });
  }

  #noteLease(id: string): void {
    const machine = this.#fleet.machines.find(({ client }) => client.sessionId === id);
    if (machine === undefined || machine.dead) return;
    const { at } = this.#chronicle;
    this.#chronicle.leases.push({
      worker: machine.name,
      session: id,
      expiredAt: at,
      distrustedAt: machine.client.trusted() ? null : at,
      purePartition: machine.wasAwake,
    });
  }

  // Time.

  #at(inMs: number, act: () => void): void {
    this.#clock.after(Math.round(inMs), act);
  }

  async #settles(what: string, promise: Promise<unknown>, withinMs: number): Promise<void> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, (error: unknown) => {
      this.#unsettled.push(`${what}: ${error}`);
      settle();
    });
    await this.#runFor(withinMs, () => settled);
    if (!settled) this.#unsettled.push(`${what} has not ended within ${withinMs} ms`);
  }

  #runFor(ms: number, until: () => boolean = () => false): Promise<void> {
    return this.#clock.advance(ms, () => {
      this.#steps += 1;
      if (this.#steps > stepsMax) throw new Error(`time stands still after ${this.#chronicle.at} ms`);
      return until();
    });
  }
}
