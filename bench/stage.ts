// stage.ts: where one run takes place: the servers and processes of one contestant, from their start to their end, and what can be
// seen of them meanwhile.

import { setTimeout as pause } from 'node:timers/promises';
import { now } from './clock.js';
import { type EntrantName, entrants } from './contestants/index.js';
import { Member } from './crew.js';
import type { Measures } from './figures.js';
import type { Role, WorkerSettings } from './member.js';
import { type MachineTime, machineTime, Processes } from './processes.js';
import { type Servers, startServers } from './servers.js';
import { type Counts, merged } from './tally.js';
import { liveHeapOf, transactionsOf } from './zookeeper.js';

/** What was used up to a moment. */
export type Look = {
  readonly at: number;
  /** Ms of CPU, by what used it. */
  readonly cpuMs: ReadonlyMap<string, number>;
  /** Of the benchmark with all that it has started. */
  readonly oursMs: number;
  readonly machine: MachineTime;
  readonly transactions: number;
  readonly operations: number;
  /** Tasks. */
  readonly completed: number;
};

/** What follows a task's completion (notes for lists, acknowledgements) is its cost as well. */
const settleMs = 250;
const pollMs = 20;
/** Beyond what the slowest needs to give up a worker that is gone. */
const silenceMsMax = 120_000;

/** What all processes have, whatever they are for. */
type AnyMember = Pick<Member<Role>, 'role' | 'pid' | 'operations' | 'kill'>;

const idle: WorkerSettings = { slots: 0, handlerMs: 0, tasks: 0 };

export class Stage {
  readonly #entrant: EntrantName;
  readonly #servers: Servers;
  readonly #members: AnyMember[] = [];
  #submitter: Member<'submitter'> | null = null;
  #workers: Member<'worker'>[] = [];
  #disturbance = 0;

  private constructor(entrant: EntrantName, servers: Servers) {
    this.#entrant = entrant;
    this.#servers = servers;
  }

  static async open(entrant: EntrantName): Promise<Stage> {
    const stage = new Stage(entrant, await startServers(entrants[entrant].servers));
    try {
      const contestant = await entrants[entrant].load();
      await contestant.prepare(stage.#servers.place);
      stage.#submitter = await stage.#enlist('submitter', idle);
      if (contestant.helper !== undefined) await stage.#enlist('helper', idle);
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.kill()));
    await this.#servers.stop();
  }

  get submitter(): Member<'submitter'> {
    if (this.#submitter === null) throw new Error('the stage is not open');
    return this.#submitter;
  }

  /** The largest share of the machine that others have had in any of the windows. */
  get disturbance(): number {
    return this.#disturbance;
  }

  /** They are connected, and wait to be started. */
  async addWorkers(count: number, settings: WorkerSettings): Promise<void> {
    const added = await Promise.all(Array.from({ length: count }, () => this.#enlist('worker', settings)));
    this.#workers.push(...added);
  }

  async startWorkers(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.ask('start')));
  }

  async killWorkers(count: number): Promise<void> {
    const killed = this.#workers.splice(0, count);
    await Promise.all(killed.map((worker) => worker.kill()));
    for (const worker of killed) this.#members.splice(this.#members.indexOf(worker), 1);
  }

  async openFront(): Promise<string> {
    return (await this.#enlist('front', idle)).ask('url');
  }

  /** Resolves once at least so many tasks were completed. */
  untilCompleted(tasks: number): Promise<void> {
    return untilIs(
      'completed',
      () => this.#completed(),
      (found) => found >= tasks,
    );
  }

  /** Of so many that were submitted: as the store says, which may lag behind what its workers know. */
  untilLeft(submitted: number, left: number): Promise<void> {
    return untilIs(
      `left of ${submitted}`,
      () => this.submitter.ask('left', submitted),
      (found) => found === left,
    );
  }

  async counts(tasks: number): Promise<Counts> {
    return merged(await Promise.all(this.#workers.map((worker) => worker.ask('counts'))), tasks);
  }

  /** Once what follows upon the last completion is over. */
  async settled(): Promise<Look> {
    await pause(settleMs);
    return this.look();
  }

  async look(): Promise<Look> {
    const [zookeeper] = this.#servers.zookeepers;
    const transactions = zookeeper === undefined ? 0 : await transactionsOf(zookeeper);
    const operations = await Promise.all(this.#members.map((member) => member.operations()));
    const completed = await this.#completed();
    const at = now();
    const processes = new Processes();
    const cpuMs = new Map<string, number>();
    for (const [name, pids] of this.#pids()) {
      cpuMs.set(
        name,
        pids.reduce((sum, pid) => sum + processes.cpuMs(pid), 0),
      );
    }
    return {
      at,
      cpuMs,
      oursMs: processes.cpuMs(process.pid),
      machine: machineTime(),
      transactions,
      operations: operations.reduce((sum, count) => sum + count, 0),
      completed,
    };
  }

  /** How much of the machine others have had meanwhile. */
  noteOthers(from: Look, to: Look): void {
    this.#disturbance = Math.max(this.#disturbance, othersBetween(from, to));
  }

  /** What so many tasks cost that were done meanwhile. */
  cost(from: Look, to: Look, tasks: number): Measures {
    this.noteOthers(from, to);
    const measures: Record<string, number> = {};
    let allMs = 0;
    for (const [name, ms] of to.cpuMs) {
      const usedMs = ms - (from.cpuMs.get(name) ?? 0);
      allMs += usedMs;
      measures[`CPU µs/task, ${name}`] = (usedMs * 1_000) / tasks;
    }
    measures['CPU µs/task'] = (allMs * 1_000) / tasks;
    if (this.#servers.zookeepers.length > 0) {
      measures['ZooKeeper transactions/task'] = (to.transactions - from.transactions) / tasks;
      measures['ZooKeeper operations/task'] = (to.operations - from.operations) / tasks;
    }
    return { ...measures, ...this.#memory() };
  }

  /** Null where it cannot be known. */
  async zookeeperHeap(): Promise<number | null> {
    const [zookeeper] = this.#servers.zookeepers;
    return zookeeper === undefined ? null : liveHeapOf(zookeeper);
  }

  async #completed(): Promise<number> {
    const totals = await Promise.all(this.#workers.map((worker) => worker.ask('total')));
    return totals.reduce((sum, total) => sum + total, 0);
  }

  #memory(): Measures {
    const processes = new Processes();
    return Object.fromEntries(
      [...this.#pids()].map(([name, pids]) => [
        `memory MiB, ${name}`,
        pids.reduce((sum, pid) => sum + processes.memoryMib(pid), 0),
      ]),
    );
  }

  #pids(): Map<string, readonly number[]> {
    const pids = new Map(this.#servers.pids);
    for (const { role, pid } of this.#members) pids.set(role, [...(pids.get(role) ?? []), pid]);
    return pids;
  }

  async #enlist<R extends Role>(role: R, settings: WorkerSettings): Promise<Member<R>> {
    const { place } = this.#servers;
    const member = await Member.start({ entrant: this.#entrant, role, place, settings });
    this.#members.push(member);
    return member;
  }
}

/** The share of the machine that neither we nor nobody had. */
function othersBetween(from: Look, to: Look): number {
  const totalMs = to.machine.totalMs - from.machine.totalMs;
  const othersMs = to.machine.busyMs - from.machine.busyMs - (to.oursMs - from.oursMs);
  const stolenMs = to.machine.stolenMs - from.machine.stolenMs;
  return totalMs > 0 ? Math.max(0, othersMs + stolenMs) / totalMs : 0;
}

/** @throws Error when what is found has not changed for long */
async function untilIs(
  what: string,
  find: () => Promise<number>,
  enough: (found: number) => boolean,
): Promise<void> {
  let [last, lastAt] = [Number.NaN, now()];
  for (;;) {
    const found = await find();
    if (enough(found)) return;
    if (found !== last) [last, lastAt] = [found, now()];
    if (now() - lastAt > silenceMsMax) throw new Error(`${what}: ${found}, for ${silenceMsMax} ms`);
    await pause(pollMs);
  }
}
