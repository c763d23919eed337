// machine.ts: one process of the simulation: its clock, session and ledger, and what happens to it. Owns being cut off,
// frozen and killed, and whether that really happened to it; what runs on it is given to it.

import {
  type CommitOptions,
  Commits,
  Generation,
  type Session,
  type WriteOp,
  type WriteOutcome,
} from '../../src/coordination/index.js';
import type { LedgerContext } from '../../src/ledger/index.js';
import { type Clock, delay, type Random, type Runtime, type Service } from '../../src/runtime/index.js';
import type { ManualClock } from '../support/manual-clock.js';
import type { RedisTwin } from '../support/redis-twin.js';
import { SeededRandom } from '../support/seeded-random.js';
import type { Chronicle } from './chronicle.js';
import type { Client, ObservedEnsemble } from './observed-ensemble.js';
import type { Plan, PlannedProcess } from './plan.js';
import { ProcessClock } from './process-clock.js';
import type { Work } from './work.js';

export type Role = 'worker' | 'scheduler' | 'desk';

type Send = (ops: readonly WriteOp[], options: CommitOptions) => Promise<WriteOutcome>;

/** A defect put between the product's parts, to show that the simulation finds it. */
export type Mutation = {
  readonly session?: (session: Session, role: Role) => Session;
  readonly commit?: (send: Send, role: Role, session: Session, clock: Clock) => Send;
  readonly random?: (random: Random, role: Role) => Random;
  /** As the commits see it. */
  readonly generation?: (generation: Generation) => Generation;
  /** The scheduler's, in place of what it should be. */
  readonly graceMs?: number;
};

export type World = {
  readonly plan: Plan;
  readonly clock: ManualClock;
  readonly chronicle: Chronicle;
  readonly ensemble: ObservedEnsemble;
  readonly redis: RedisTwin;
  readonly work: Work;
  readonly mutation: Mutation;
};

export type Pause = { readonly lane: CommitOptions['lane']; skip: number; readonly forMs: number };

/** Commits of a process that may be stopped between an outcome and what follows from it. */
class HaltingCommits extends Commits {
  readonly #commit: Send;

  constructor(
    session: Session,
    generation: Generation,
    clock: ProcessClock,
    halt: (options: CommitOptions) => Promise<void>,
    mutate: (send: Send) => Send,
  ) {
    super(session, generation, clock);
    this.#commit = mutate(async (ops, options) => {
      const outcome = await super.commit(ops, options);
      await halt(options);
      return outcome;
    });
  }

  override commit(ops: readonly WriteOp[], options: CommitOptions): Promise<WriteOutcome> {
    return this.#commit(ops, options);
  }
}

export class Machine {
  readonly name: string;
  readonly role: Role;
  readonly process: PlannedProcess;
  readonly clock: ProcessClock;
  readonly runtime: Runtime;
  readonly ctx: LedgerContext;
  readonly generation: Generation;
  readonly client: Client;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #pauses: Pause[] = [];
  /** What runs here, once it has started. */
  service: Service | null = null;
  dead = false;
  retiring = false;
  onDeath: () => void = () => undefined;
  /** When it last stood still. */
  #frozenUntil = Number.NEGATIVE_INFINITY;
  /** The fault that is laid on it now: one at a time. */
  #mend: (() => void) | null = null;

  constructor(name: string, role: Role, process: PlannedProcess, world: World) {
    const { clock, chronicle, ensemble, redis, plan, mutation } = world;
    this.name = name;
    this.role = role;
    this.process = process;
    this.#world = world;
    this.#random = new SeededRandom(plan.seed, `faults of ${name}`);
    this.clock = new ProcessClock(clock, process.skewMs);
    const own = new SeededRandom(plan.seed, name);
    const random = mutation.random?.(own, role) ?? own;
    const expected = plan.restore === null ? [] : ['GENERATION_CHANGED'];
    this.runtime = { clock: this.clock, random, log: chronicle.logOf(name, expected) };
    this.client = ensemble.open({ timeoutMs: plan.timeoutMs, stale: process.stale }, this.runtime);
    ensemble.name(this.client, name);
    const session = mutation.session?.(this.client, role) ?? this.client;
    this.generation = new Generation(session, this.runtime);
    this.generation.on('halted', () => chronicle.halted(name));
    this.generation.on('proven', () => chronicle.proven(name));
    const commits = new HaltingCommits(
      session,
      mutation.generation?.(this.generation) ?? this.generation,
      this.clock,
      (options) => this.#halt(options),
      (send) => mutation.commit?.(send, role, this.client, this.clock) ?? send,
    );
    const deliver = redis.outbox(this.runtime);
    this.ctx = { session, commits, deliver, note: () => undefined, runtime: this.runtime };
  }

  get whole(): boolean {
    return this.#mend === null && !this.dead;
  }

  /** Nothing was wrong with it but the network, for as long as a session lives. */
  get wasAwake(): boolean {
    const { chronicle, plan } = this.#world;
    return this.clock.running && !this.dead && chronicle.at - this.#frozenUntil > 2 * plan.timeoutMs;
  }

  /** Ends whatever fault is laid on it, and forgets what waits. */
  mend(): void {
    this.#mend?.();
    this.#mend = null;
    this.#pauses.length = 0;
    if (!this.dead) this.#world.ensemble.relent(this.client);
  }

  partition(silent: boolean, forMs: number): void {
    if (!this.whole) return;
    const { ensemble, chronicle } = this.#world;
    const kind = silent ? 'silent partition' : 'partition';
    const linked = ensemble.isLinked(this.client);
    ensemble.partition(this.client, { silent });
    if (!silent && linked) chronicle.hit(kind, this.name);
    this.#lay(kind, forMs, () => {
      if (silent && linked && ensemble.heldBack(this.client)) chronicle.hit(kind, this.name);
      ensemble.heal(this.client);
    });
  }

  /** Nothing of it runs and nothing reaches it, until it goes on as if nothing had happened. */
  freeze(forMs: number): void {
    if (!this.whole || this.role === 'desk') return;
    const { ensemble, chronicle, redis, clock } = this.#world;
    const timersFirst = this.#random.chance(0.5);
    const linked = ensemble.isLinked(this.client);
    this.clock.freeze();
    ensemble.partition(this.client, { silent: true });
    this.#lay('freeze', forMs, () => {
      if (this.clock.isLate || (linked && ensemble.heldBack(this.client))) chronicle.hit('freeze', this.name);
      this.#frozenUntil = chronicle.at;
      this.clock.thaw();
      redis.nudge();
      const heal = (): void => {
        if (!this.dead) ensemble.heal(this.client);
      };
      if (timersFirst) clock.after(2, heal);
      else heal();
    });
  }

  /** After the next outcome but `skip` of its lane, before anything follows from it. */
  pauseLater(pause: Pause): void {
    this.#pauses.push({ ...pause });
  }

  /** It is gone, and its connection with it. `laid`: somebody did it. */
  kill(laid: boolean): void {
    if (this.dead) return;
    const { ensemble, chronicle } = this.#world;
    this.dead = true;
    this.onDeath();
    this.clock.kill();
    this.#mend = null;
    ensemble.partition(this.client, { silent: true });
    chronicle.broke('killed', this.name);
    if (laid) chronicle.hit('killed', this.name);
  }

  /** Stops what runs here as a deploy does, and ends. Resolves once it has ended. */
  async retire(): Promise<void> {
    const { chronicle } = this.#world;
    this.retiring = true;
    chronicle.broke('retired', this.name);
    await this.service?.stop();
    this.generation.close();
    await this.client.close();
    chronicle.say(this.name, () => 'has ended');
    this.clock.kill();
    this.dead = true;
    this.onDeath();
  }

  expire(): void {
    const { ensemble, chronicle } = this.#world;
    const id = this.client.sessionId;
    if (id === null || !this.whole || !ensemble.expire(id)) return;
    chronicle.broke('expiry', this.name)();
    chronicle.hit('expiry', this.name);
  }

  jump(byMs: number): void {
    if (this.dead) return;
    this.clock.jump(byMs);
    this.#world.chronicle.broke('clock jump', this.name)();
    this.#world.chronicle.hit('clock jump', this.name);
  }

  async #halt({ lane }: CommitOptions): Promise<void> {
    const at = this.#pauses.findIndex((pause) => {
      if (pause.lane !== lane) return false;
      pause.skip -= 1;
      return pause.skip < 0;
    });
    const [pause] = at < 0 ? [] : this.#pauses.splice(at, 1);
    if (pause === undefined || !this.whole) return;
    this.freeze(pause.forMs);
    await delay(this.clock, 1);
  }

  #lay(kind: string, forMs: number, undo: () => void): void {
    const over = this.#world.chronicle.broke(kind, this.name);
    let ended = false;
    const mend = (): void => {
      if (ended || this.dead) return;
      ended = true;
      this.#mend = null;
      undo();
      over();
    };
    this.#mend = mend;
    this.#world.clock.after(forMs, mend);
  }
}
