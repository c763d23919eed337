// simulate.ts: one history of a fleet, decided by its seed alone. Owns the course of it: begin, chaos, everything healed and
// given time, everything stopped. What happens is the product's own code on the memory twins; what was seen is the story.
//
// Deterministic as far as Node is: promises settle and immediates run in the order in which they were made, nothing here
// waits for a file, a socket or a real timer. opossum reads the real clock, for latencies that nobody looks at.

import { ensureTree } from '../../src/coordination/index.js';
import {
  ClaimkeeperError,
  type Name,
  parseSubmission,
  type SubmissionInput,
  type TaskId,
  type TaskRecord,
  type WorkerId,
} from '../../src/domain/index.js';
import { accept, cancel, replay, resolve, treePaths, wantsVerification } from '../../src/ledger/index.js';
import { Scheduler } from '../../src/scheduler/index.js';
import { Worker } from '../../src/worker/index.js';
import type { Story } from '../invariants/story.js';
import { ManualClock } from '../support/manual-clock.js';
import { RedisTwin } from '../support/redis-twin.js';
import { SeededRandom } from '../support/seeded-random.js';
import { Chronicle, ObservedEnsemble } from './chronicle.js';
import { Machine, type Mutation, type Role, type Surroundings } from './machine.js';
import { Work } from './work.js';

const timeoutMs = 2_000;
const graceMs = 500;
const submitMsMax = 6_000;
/** Everything must have come to its end this long after everything was healed. */
const healedMsMax = 900_000;
/** A handler that was given up may still come to an end, and its task be granted another attempt. */
const quietMsMin = 6_000;
/** A worker whose slots are all free stops at once; one that waits for a slot takes longer than this. */
const stopMsMax = 3_000;
/** Immediates that follow from immediates before time goes on: a flush of commits, and one of its members sent singly. */
const turnsPerInstant = 3;

export async function simulate(seed: number, mutation: Mutation = {}): Promise<Story> {
  return new Simulation(seed, mutation).run();
}

class Simulation {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #clock = new ManualClock();
  readonly #chronicle: Chronicle;
  readonly #ensemble: ObservedEnsemble;
  readonly #redis: RedisTwin;
  readonly #work: Work;
  readonly #around: Surroundings;
  readonly #dedupWindowMs: number;
  readonly #machines: Machine[] = [];
  readonly #acknowledged = new Set<TaskId>();
  readonly #unsettled: string[] = [];
  #underWay = 0;
  #born = 0;
  #chaos = false;
  #zxid = 0n;

  constructor(seed: number, mutation: Mutation) {
    this.#seed = seed;
    const random = new SeededRandom(seed);
    const clock = this.#clock;
    const chronicle = new Chronicle(clock);
    const latencyMsMax = random.pick([2, 4, 4, 40, 120]);
    const latencyMs = (): number =>
      random.chance(0.03) ? random.between(5, 120) : random.between(1, latencyMsMax);
    const ensemble = new ObservedEnsemble(clock, latencyMs, chronicle);
    const redis = new RedisTwin(clock, random);
    this.#random = random;
    this.#chronicle = chronicle;
    this.#ensemble = ensemble;
    this.#redis = redis;
    this.#work = new Work(random, chronicle, ensemble);
    this.#around = { clock, random, chronicle, ensemble, redis, timeoutMs, mutation };
    this.#dedupWindowMs = random.pick([60_000, 86_400_000]);
  }

  async run(): Promise<Story> {
    await this.#begin();
    await this.#trouble();
    await this.#heal();
    const claimsLeft = this.#ensemble.claims();
    await this.#stopAll();
    const { changes, starts, effects, faults, defects, transcript } = this.#chronicle;
    return {
      seed: this.#seed,
      graceMs,
      dedupWindowMs: this.#dedupWindowMs,
      acknowledged: this.#acknowledged,
      changes,
      starts,
      effects,
      faults,
      records: this.#records(),
      claimsLeft,
      unsettled: this.#unsettled,
      defects,
      transcript,
    };
  }

  // The course of it.

  async #begin(): Promise<void> {
    const desk = this.#machine('desk', 'desk');
    await this.#settles('the tree', ensureTree(desk.ctx.session, treePaths), 60_000);
    await this.#settles('the proof', desk.generation.prove(), 60_000);
    this.#machine('office', 'desk');
    const workers = this.#random.between(2, 4);
    const schedulers = this.#random.between(1, 2);
    for (let n = 0; n < schedulers; n += 1) this.#hire('scheduler');
    for (let n = 0; n < workers; n += 1) this.#hire('worker');
    await this.#runFor(1_000);
  }

  async #trouble(): Promise<void> {
    const random = this.#random;
    const chaosMs = random.between(12_000, 35_000);
    this.#chaos = true;
    if (random.chance(0.7)) {
      this.#redis.unkindness = {
        lost: random.roll() * 0.3,
        doubled: random.roll() * 0.4,
        delayed: random.roll() * 0.3,
      };
    }
    for (const machine of this.#machines)
      machine.slowness = machine.role !== 'desk' && random.chance(0.4) ? random.roll() * 0.05 : 0;
    const tasks = random.between(5, 40);
    for (let n = 1; n <= tasks; n += 1) {
      const input = this.#work.submission(`t${n}`);
      const times = random.chance(0.2) ? 2 : 1;
      for (let copy = 0; copy < times; copy += 1)
        this.#at(random.roll() ** 2 * chaosMs, () => this.#submit(input));
    }
    const faults = random.chance(0.1) ? random.between(40, 90) : random.between(4, 28);
    for (let n = 0; n < faults; n += 1) this.#at(random.roll() * chaosMs, () => this.#breakSomething());
    const acts = random.between(0, tasks);
    for (let n = 0; n < acts; n += 1) this.#at(random.roll() * chaosMs, () => this.#operate());
    await this.#runFor(chaosMs);
    this.#chaos = false;
  }

  async #heal(): Promise<void> {
    this.#chronicle.say('*', '--- everything is healed ---');
    this.#redis.unkindness = { lost: 0, doubled: 0, delayed: 0 };
    this.#redis.comeBack();
    this.#ensemble.up();
    this.#ensemble.onApplied = () => undefined;
    this.#work.calm = true;
    for (const machine of this.#machines) {
      machine.slowness = 0;
      machine.mend();
    }
    for (const role of ['worker', 'scheduler'] as const) {
      if (!this.#alive(role).length) this.#hire(role);
    }
    const endsAt = this.#chronicle.at + healedMsMax;
    for (let quietMs = 0; quietMs < quietMsMin && this.#chronicle.at < endsAt; quietMs += 500) {
      if (this.#restless().length > 0) quietMs = 0;
      await this.#runFor(500);
    }
    this.#unsettled.push(...this.#restless());
  }

  async #stopAll(): Promise<void> {
    this.#chronicle.say('*', '--- everything is stopped ---');
    const alive = this.#machines.filter(({ dead }) => !dead);
    await this.#settles('stopping', Promise.all(alive.map(({ service }) => service?.stop())), stopMsMax);
    for (const { generation } of alive) generation.close();
    await this.#settles('closing', Promise.all(alive.map(({ client }) => client.close())), stopMsMax);
  }

  /** What is left to be done by the product. */
  #restless(): string[] {
    const tasks = [...this.#records().values()].filter(
      (record) => record.state === 'waiting' || record.state === 'running' || wantsVerification(record),
    );
    return [
      ...tasks.map(({ id, state }) => `${id} is ${state}`),
      ...this.#ensemble.claims().map((path) => `${path} stands`),
      ...(this.#underWay > 0 ? [`${this.#underWay} calls have not returned`] : []),
    ];
  }

  #records(): ReadonlyMap<TaskId, TaskRecord> {
    const records = new Map<TaskId, TaskRecord>();
    for (const { id, after } of this.#chronicle.changes) {
      if (after !== null) records.set(id, after);
    }
    return records;
  }

  // Processes.

  #alive(role: Role): Machine[] {
    return this.#machines.filter((machine) => machine.role === role && !machine.dead && !machine.retiring);
  }

  #machine(name: string, role: Role): Machine {
    const machine = new Machine(name, role, this.#around);
    this.#machines.push(machine);
    return machine;
  }

  #hire(role: 'worker' | 'scheduler'): void {
    this.#born += 1;
    const machine = this.#machine(`${role[0]}${this.#born}`, role);
    const service = role === 'worker' ? this.#worker(machine) : this.#scheduler(machine);
    machine.service = service;
    service.start().catch((error: unknown) => {
      this.#chronicle.say(machine.name, `did not start: ${error}`);
      this.#replace(machine);
    });
  }

  #worker(machine: Machine): Worker {
    const asker = { clock: machine.clock, awake: () => machine.clock.running };
    const id = machine.name as WorkerId;
    return new Worker(
      {
        id,
        types: this.#work.typesFor(id, machine.clock),
        sources: ['north', 'south'].map((queue) => this.#redis.source(queue as Name, asker)),
        concurrency: this.#random.between(1, 5),
        drainMsMax: this.#random.pick([0, 1_000, 30_000]),
        description: null,
      },
      machine.ctx,
      machine.generation,
    );
  }

  #scheduler(machine: Machine): Scheduler {
    const port = this.#redis.port({ clock: machine.clock, awake: () => machine.clock.running });
    const options = {
      graceMs: this.#around.mutation.graceMs ?? graceMs,
      reconcileEveryMs: 8_000,
      dedupWindowMs: this.#dedupWindowMs,
      historyMs: 86_400_000,
    };
    return new Scheduler(options, machine.name, machine.ctx, machine.generation, port);
  }

  /** Killed, and another begins after a while. */
  #replace(machine: Machine): void {
    const { role, retiring } = machine;
    if (role === 'desk' || retiring) return;
    machine.kill();
    this.#clock.after(this.#random.between(100, 4_000), () => this.#hire(role));
  }

  /** Stopped as it should be, and another begins at once. */
  #retire(machine: Machine): void {
    if (machine.retiring) return;
    this.#call(machine.name, 'retire', async () => {
      await machine.retire();
      return 'it has ended';
    });
    if (machine.role !== 'desk') this.#hire(machine.role);
  }

  // Trouble.

  #breakSomething(): void {
    const random = this.#random;
    const victim = random.pick(this.#machines.filter(({ dead }) => !dead));
    const shortMs = random.between(20, 1_500);
    const longMs = random.between(1_600, 7_000);
    const forMs = random.chance(0.5) ? shortMs : longMs;
    switch (
      random.pick([
        'expire',
        'partition',
        'silent',
        'freeze',
        'freeze',
        'reply',
        'reply',
        'reply',
        'flap',
        'down',
        'kill',
        'atWrite',
        'atWrite',
        'leader',
        'flush',
        'away',
        'retire',
      ])
    ) {
      case 'expire':
        return victim.whole ? victim.expire() : undefined;
      case 'partition':
        return victim.whole ? victim.partition(false, forMs) : undefined;
      case 'silent':
        return victim.whole ? victim.partition(true, forMs) : undefined;
      case 'freeze':
        return victim.whole && victim.role !== 'desk' ? victim.freeze(forMs) : undefined;
      case 'reply':
        return victim.loseNextReply(random.chance(0.5));
      case 'flap':
        return this.#flap(victim, random.between(2, 8));
      case 'down':
        return this.#down(random.chance(0.7) ? shortMs : longMs);
      case 'kill':
        return victim.role === 'worker' ? this.#replace(victim) : undefined;
      case 'atWrite':
        return this.#atNextWrite(forMs);
      case 'leader':
        return this.#replace(random.pick(this.#alive('scheduler').concat(victim)));
      case 'flush':
        this.#chronicle.broke('Redis flushed', 'redis')();
        return this.#redis.flush();
      case 'away':
        return this.#redisAway(forMs);
      case 'retire':
        return victim.role === 'desk' ? undefined : this.#retire(victim);
    }
  }

  /** A reply is lost, and the connection comes and goes. */
  #flap(victim: Machine, times: number): void {
    if (victim.dead) return;
    victim.loseNextReply(this.#random.chance(0.7));
    if (times === 0) return;
    if (victim.whole) victim.partition(false, this.#random.between(20, 400));
    this.#clock.after(this.#random.between(50, 900), () => this.#flap(victim, times - 1));
  }

  #down(forMs: number): void {
    const over = this.#chronicle.broke('no quorum', '*');
    this.#ensemble.down();
    this.#clock.after(forMs, () => {
      this.#ensemble.up();
      over();
    });
  }

  #redisAway(forMs: number): void {
    const over = this.#chronicle.broke('Redis away', 'redis');
    this.#redis.leave();
    this.#clock.after(forMs, () => {
      this.#redis.comeBack();
      over();
    });
  }

  /** The next write of some worker is applied, and the worker is killed, frozen or cut off before it learns of that. */
  #atNextWrite(forMs: number): void {
    const how = this.#random.pick(['kill', 'freeze', 'silent'] as const);
    this.#ensemble.onApplied = (client) => {
      const machine = this.#machines.find((each) => each.client === client);
      if (machine?.role !== 'worker' || !machine.whole) return;
      this.#ensemble.onApplied = () => undefined;
      if (how === 'kill') this.#replace(machine);
      else if (how === 'freeze') machine.freeze(forMs);
      else machine.partition(true, forMs);
    };
  }

  // What people do.

  #desk(): Machine {
    return this.#random.pick(this.#alive('desk'));
  }

  #submit(input: SubmissionInput): void {
    const { ctx, name } = this.#desk();
    const task = parseSubmission(input, ctx.runtime.clock.now());
    this.#call(name, `submit ${input.id}`, async () => {
      const outcome = await accept(ctx, task, { deadlineMs: submitMsMax });
      if (outcome.kind === 'created' || outcome.kind === 'same') this.#acknowledged.add(task.id);
      else if (outcome.kind === 'conflict') this.#chronicle.defects.push(`${input.id} conflicts with itself`);
      else if (this.#chaos && this.#random.chance(0.7)) this.#at(500, () => this.#submit(input));
      return outcome.kind;
    });
  }

  #operate(): void {
    const random = this.#random;
    const { ctx, name } = this.#desk();
    const record = this.#taskToOperateOn();
    if (record === null) return;
    const { id, state } = record;
    const open = state === 'uncertain' ? (['replay', 'resolve'] as const) : (['replay', 'cancel'] as const);
    const act = random.chance(0.9)
      ? random.pick(open)
      : random.pick(['replay', 'cancel', 'resolve'] as const);
    const until = { deadlineMs: submitMsMax };
    const as = random.pick(['completed', 'failed'] as const);
    this.#call(name, `${act} ${id}`, async () => {
      const done = { replay, cancel, resolve: () => resolve(ctx, id, as, 'as the operator says', until) };
      return (await done[act](ctx, id, until)).state;
    });
  }

  /** As often as not, one that stands still. */
  #taskToOperateOn(): TaskRecord | null {
    const records = [...this.#records().values()];
    const still = records.filter(({ state }) => state === 'uncertain' || state === 'failed');
    if (still.length > 0 && this.#random.chance(0.5)) return this.#random.pick(still);
    return records.length === 0 ? null : this.#random.pick(records);
  }

  #call(by: string, what: string, call: () => Promise<string>): void {
    this.#underWay += 1;
    const told = (how: string): void => {
      this.#underWay -= 1;
      this.#chronicle.say(by, `${what}: ${how}`);
    };
    call().then(told, (error: unknown) => {
      const expected = ['TASK_NOT_FOUND', 'MOVE_REFUSED', 'ZOOKEEPER_UNAVAILABLE', 'OUTCOME_UNKNOWN'];
      const code = error instanceof ClaimkeeperError ? error.code : String(error);
      if (!expected.includes(code)) this.#chronicle.defects.push(`${what}: ${code}`);
      told(code);
    });
  }

  // Time.

  #at(inMs: number, act: () => void): void {
    this.#clock.after(Math.round(inMs) + 1, act);
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
    const endsAt = this.#chronicle.at + withinMs;
    while (!settled && this.#chronicle.at < endsAt) await this.#runFor(20);
    if (!settled) this.#unsettled.push(`${what} has not ended within ${withinMs} ms`);
  }

  async #runFor(ms: number): Promise<void> {
    const until = this.#chronicle.at + ms;
    for (;;) {
      const nextInMs = this.#clock.nextDueInMs();
      const leftMs = until - this.#chronicle.at;
      if (nextInMs === null || nextInMs > leftMs) return this.#clock.advance(leftMs);
      await this.#clock.advance(nextInMs);
      for (let n = 0; n < turnsPerInstant; n += 1) await this.#clock.advance(0);
      if (this.#ensemble.zxid !== this.#zxid) this.#ensemble.lookAtClaims();
      this.#zxid = this.#ensemble.zxid;
    }
  }
}
