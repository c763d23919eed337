// machine.ts: one process of the simulation: its clock, session and ledger, and what happens to it. Owns being cut off,
// frozen and killed; what runs on it is given to it.

import {
  type CommitOptions,
  Commits,
  Generation,
  type Session,
  type WriteOp,
  type WriteOutcome,
} from '../../src/coordination/index.js';
import type { LedgerContext } from '../../src/ledger/index.js';
import { delay, type Runtime, type Service } from '../../src/runtime/index.js';
import type { ManualClock } from '../support/manual-clock.js';
import type { RedisTwin } from '../support/redis-twin.js';
import type { SeededRandom } from '../support/seeded-random.js';
import type { Chronicle, ObservedEnsemble } from './chronicle.js';
import { ProcessClock } from './process-clock.js';

export type Role = 'worker' | 'scheduler' | 'desk';

/** A defect put between the product's parts, to show that the simulation finds it. */
export type Mutation = {
  readonly session?: (session: Session, role: Role) => Session;
  readonly commit?: (
    send: (ops: readonly WriteOp[], options: CommitOptions) => Promise<WriteOutcome>,
    role: Role,
  ) => (ops: readonly WriteOp[], options: CommitOptions) => Promise<WriteOutcome>;
  /** The scheduler's, in place of what it should be. */
  readonly graceMs?: number;
};

export type Surroundings = {
  readonly clock: ManualClock;
  readonly random: SeededRandom;
  readonly chronicle: Chronicle;
  readonly ensemble: ObservedEnsemble;
  readonly redis: RedisTwin;
  readonly timeoutMs: number;
  readonly mutation: Mutation;
};

const skewMsMax = 1_500;

/** Commits of a process that may be stopped between a reply and what follows from it. */
class HaltingCommits extends Commits {
  readonly #commit: Commits['commit'];

  constructor(
    session: Session,
    generation: Generation,
    halt: (options: CommitOptions) => Promise<void>,
    mutate: (send: Commits['commit']) => Commits['commit'],
  ) {
    super(session, generation);
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
  readonly clock: ProcessClock;
  readonly ctx: LedgerContext;
  readonly generation: Generation;
  readonly client: ReturnType<ObservedEnsemble['open']>;
  readonly #around: Surroundings;
  /** What runs here, once it has started. */
  service: Service | null = null;
  /** Share of replies upon which the process is frozen at once. */
  slowness = 0;
  dead = false;
  retiring = false;
  /** The fault that is laid on it now: one at a time. */
  #mend: (() => void) | null = null;

  constructor(name: string, role: Role, around: Surroundings) {
    const { clock, random, chronicle, ensemble, redis, timeoutMs, mutation } = around;
    this.name = name;
    this.role = role;
    this.#around = around;
    this.clock = new ProcessClock(clock, random.between(-skewMsMax, skewMsMax));
    const runtime: Runtime = { clock: this.clock, random, log: chronicle.logOf(name) };
    this.client = ensemble.open({ timeoutMs }, runtime);
    ensemble.name(this.client, name);
    const session = mutation.session?.(this.client, role) ?? this.client;
    this.generation = new Generation(session, runtime);
    const halt = async ({ lane }: CommitOptions): Promise<void> => {
      // Between a claim and its handlers is where it matters most.
      if (!this.whole || !random.chance(lane === 'claim' ? 4 * this.slowness : this.slowness)) return;
      this.freeze(random.chance(0.7) ? random.between(20, 1_500) : random.between(1_600, 5_000));
      await delay(this.clock, 1);
    };
    const commits = new HaltingCommits(session, this.generation, halt, (send) =>
      mutation.commit === undefined ? send : mutation.commit(send, role),
    );
    this.ctx = { session, commits, deliver: redis.deliver, runtime };
  }

  get whole(): boolean {
    return this.#mend === null && !this.dead;
  }

  /** Ends whatever fault is laid on it. */
  mend(): void {
    this.#mend?.();
    this.#mend = null;
  }

  partition(silent: boolean, forMs: number): void {
    const { ensemble, chronicle } = this.#around;
    ensemble.partition(this.client, { silent });
    this.#lay(silent ? 'silent partition' : 'partition', forMs, () => {
      ensemble.heal(this.client);
      chronicle.say(this.name, 'healed');
    });
  }

  /** Nothing of it runs and nothing reaches it, until it goes on as if nothing had happened. */
  freeze(forMs: number): void {
    const { ensemble, random, redis, clock } = this.#around;
    const timersFirst = random.chance(0.5);
    this.clock.freeze();
    ensemble.partition(this.client, { silent: true });
    this.#lay('freeze', forMs, () => {
      this.clock.thaw();
      redis.nudge();
      const heal = (): void => {
        if (!this.dead) ensemble.heal(this.client);
      };
      if (timersFirst) clock.after(2, heal);
      else heal();
    });
  }

  /** It is gone, and its connection with it. */
  kill(): void {
    if (this.dead) return;
    const { ensemble, chronicle } = this.#around;
    this.dead = true;
    this.clock.kill();
    this.#mend = null;
    ensemble.partition(this.client, { silent: true });
    chronicle.broke('killed', this.name);
  }

  /** Stops what runs here as a deploy does, and ends. Resolves once it has ended. */
  async retire(): Promise<void> {
    const { chronicle } = this.#around;
    this.retiring = true;
    chronicle.broke('retired', this.name);
    await this.service?.stop();
    this.generation.close();
    await this.client.close();
    chronicle.say(this.name, 'has ended');
    this.clock.kill();
    this.dead = true;
  }

  loseNextReply(applied: boolean): void {
    const { ensemble, chronicle } = this.#around;
    ensemble.loseNextReply(this.client, { applied });
    chronicle.broke(applied ? 'a reply will be lost' : 'a request will be lost', this.name);
  }

  expire(): void {
    const { ensemble, chronicle } = this.#around;
    const id = this.client.sessionId;
    if (id === null) return;
    const over = chronicle.broke('expiry', this.name);
    ensemble.expire(id);
    over();
  }

  #lay(kind: string, forMs: number, undo: () => void): void {
    const over = this.#around.chronicle.broke(kind, this.name);
    let ended = false;
    const mend = (): void => {
      if (ended || this.dead) return;
      ended = true;
      this.#mend = null;
      undo();
      over();
    };
    this.#mend = mend;
    this.#around.clock.after(forMs, mend);
  }
}
