// fleet.ts: the processes of a simulation: who is there in which place, who takes the place of one that is gone. Owns their
// hiring and their names; what happens to each is machine.ts.

import type { Name, WorkerId } from '../../src/domain/index.js';
import { Scheduler } from '../../src/scheduler/index.js';
import { Worker } from '../../src/worker/index.js';
import { Machine, type Role, type World } from './machine.js';
import type { PlannedProcess } from './plan.js';
import type { Place } from './trouble.js';

const queues = ['north', 'south'] as Name[];

export class Fleet {
  readonly #world: World;
  readonly machines: Machine[] = [];
  /** On their way: to be hired, or not at work yet. */
  starting = 0;
  /** How many have been in a place. */
  readonly #born = new Map<string, number>();
  /** Of what has no place to be told: a process that stops. */
  readonly #onRetire: (machine: Machine) => void;

  constructor(world: World, onRetire: (machine: Machine) => void) {
    this.#world = world;
    this.#onRetire = onRetire;
    const { plan } = world;
    for (const process of plan.desks) this.hire('desk', process);
    for (const process of plan.schedulers) this.hire('scheduler', process);
    for (const process of plan.workers) this.hire('worker', process);
  }

  /** Neither dead nor about to end. */
  alive(role?: Role): Machine[] {
    return this.machines.filter(
      (machine) => !machine.dead && !machine.retiring && (role === undefined || machine.role === role),
    );
  }

  /** Who is there now; null: nobody. */
  at(place: Place): Machine | null {
    if (place === 'leader') {
      const id = this.#world.ensemble.peek('/leader/term')?.data.toString();
      return this.alive('scheduler').find(({ name }) => name === id) ?? null;
    }
    const { plan } = this.#world;
    const crew = { worker: plan.workers, scheduler: plan.schedulers, desk: plan.desks }[place.role];
    const process = crew[place.at];
    return this.alive(place.role).find((machine) => machine.process === process) ?? null;
  }

  hire(role: Role, process: PlannedProcess): void {
    const before = this.#born.get(process.name) ?? 0;
    this.#born.set(process.name, before + 1);
    const machine = new Machine(
      before === 0 ? process.name : `${process.name}.${before + 1}`,
      role,
      process,
      this.#world,
    );
    this.machines.push(machine);
    if (role === 'desk') return;
    const service = role === 'worker' ? this.#worker(machine) : this.#scheduler(machine);
    machine.service = service;
    this.starting += 1;
    let isStarting = true;
    const started = (): void => {
      if (isStarting) this.starting -= 1;
      isStarting = false;
    };
    machine.onDeath = started;
    service.start().then(started, (error: unknown) => {
      started();
      if (machine.retiring || machine.dead) return;
      this.#world.chronicle.say(machine.name, () => `did not start: ${error}`);
      this.#fill(machine, false, 300);
    });
  }

  /** Killed, and another begins after a while. */
  replace(machine: Machine, backInMs: number): void {
    const { role, retiring, dead } = machine;
    if (role !== 'desk' && !retiring && !dead) this.#fill(machine, true, backInMs);
  }

  /** Stopped as it should be, and another begins at once. */
  retire(machine: Machine): void {
    const { role, retiring, dead, process } = machine;
    if (role === 'desk' || retiring || dead) return;
    this.#onRetire(machine);
    this.hire(role, process);
  }

  #fill(machine: Machine, laid: boolean, backInMs: number): void {
    const { role, process } = machine;
    machine.kill(laid);
    this.starting += 1;
    this.#world.clock.after(backInMs, () => {
      this.starting -= 1;
      this.hire(role, process);
    });
  }

  #worker(machine: Machine): Worker {
    const asker = { ...machine.runtime, awake: () => machine.clock.running };
    const id = machine.name as WorkerId;
    const { concurrency, drainMsMax } = machine.process;
    const worker = new Worker(
      {
        id,
        types: this.#world.work.typesFor(id, machine.clock),
        sources: queues.map((queue) => this.#world.redis.source(queue, asker)),
        concurrency,
        drainMsMax,
        description: null,
      },
      machine.ctx,
      machine.generation,
    );
    worker.on('ended', ({ id: task, ending }) => this.#world.work.ended(id, task, ending));
    return worker;
  }

  #scheduler(machine: Machine): Scheduler {
    const { plan, redis, mutation } = this.#world;
    const { graceMs, reconcileEveryMs, dedupWindowMs } = plan;
    return new Scheduler(
      { graceMs: mutation.graceMs ?? graceMs, reconcileEveryMs, dedupWindowMs, historyMs: 86_400_000 },
      machine.name,
      machine.ctx,
      machine.generation,
      redis.port({ ...machine.runtime, awake: () => machine.clock.running }),
    );
  }
}
