// commits.ts: group commit. Owns how this process's transactions share multis; what a transaction means is its caller's.
//
// 1. Transactions ready in one turn, or while earlier multis are in flight, leave as one multi, headed by one check of
//    the generation (P11). Beside `limits.partialMultisInFlightMax` of those one leaves only if it is full.
// 2. Claims have a lane of their own: one stale claim fails its whole multi, and must not fail accepts and finishes.
// 3. A multi that was refused applied nothing: the member that failed goes again singly, to its own outcome, the others
//    together, in smaller multis until one succeeds. Each refusal takes one out, so that it ends.
// 4. A lost reply makes every member `unknown`; nothing is sent again here (P3).

import { ClaimkeeperError, limits } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';
import type { Generation } from './generation.js';
import type { Session, SessionId, WriteOp, WriteOutcome } from './port.js';

export type Lane = 'claim' | 'write';

export type CommitOptions = {
  readonly lane: Lane;
  /** Only in this session; otherwise `notSent`. */
  readonly session?: SessionId | null;
  /** Likely to be refused (a redelivered task): not to be put together with others. */
  readonly alone?: boolean;
};

type Member = {
  readonly ops: readonly WriteOp[];
  readonly bytes: number;
  readonly session: SessionId | null;
  readonly alone: boolean;
  readonly resolve: (outcome: WriteOutcome) => void;
};

/** Counters of the life of the process. */
export type CommitStats = { multis: number; operations: number; transactions: number; refusedMultis: number };

export class Commits {
  readonly #lanes: Record<Lane, LaneQueue>;
  readonly #generation: Generation;
  readonly stats: CommitStats = { multis: 0, operations: 0, transactions: 0, refusedMultis: 0 };

  constructor(session: Session, generation: Generation, clock: Clock) {
    this.#generation = generation;
    this.#lanes = {
      claim: new LaneQueue(session, generation, clock, this.stats),
      write: new LaneQueue(session, generation, clock, this.stats),
    };
  }

  /** Nothing is written until an operator has confirmed a restore (P11). */
  get halted(): boolean {
    return this.#generation.halted;
  }

  /** Applies `ops` atomically, or says what became of them; an outcome's `index` and `results` count `ops` alone. */
  commit(ops: readonly WriteOp[], options: CommitOptions): Promise<WriteOutcome> {
    const bytes = ops.reduce((sum, op) => sum + bytesOf(op), 0);
    if (ops.length >= limits.multiOpsMax || bytes > limits.multiBytesMax) {
      throw new ClaimkeeperError(
        'INTERNAL',
        `a transaction of ${ops.length} operations, ${bytes} bytes fits no multi`,
      );
    }
    return new Promise((resolve) => {
      this.#lanes[options.lane].add({
        ops,
        bytes,
        session: options.session ?? null,
        alone: options.alone ?? false,
        resolve,
      });
    });
  }

  /** Calls `gather` as soon as the lane could send what fills no multi, or sends what does: what it commits then leaves with it. */
  whenLeaving(lane: Lane, gather: () => void): void {
    this.#lanes[lane].whenLeaving(gather);
  }
}

class LaneQueue {
  readonly #session: Session;
  readonly #generation: Generation;
  readonly #clock: Clock;
  readonly #stats: CommitStats;
  #waiting: Member[] = [];
  #singles: Member[] = [];
  #gatherers: (() => void)[] = [];
  #inFlight = 0;
  /** Of those, the ones that are not of a single member which goes alone. */
  #sharedInFlight = 0;
  #scheduled = false;
  /** Members per multi; halved by a refusal, doubled by a success. */
  #membersMax: number = limits.multiOpsMax;

  constructor(session: Session, generation: Generation, clock: Clock, stats: CommitStats) {
    this.#session = session;
    this.#generation = generation;
    this.#clock = clock;
    this.#stats = stats;
  }

  add(member: Member): void {
    (member.alone ? this.#singles : this.#waiting).push(member);
    this.#schedule();
  }

  whenLeaving(gather: () => void): void {
    this.#gatherers.push(gather);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= limits.multisInFlightMax) return;
    this.#scheduled = true;
    this.#clock.atEndOfTurn(() => {
      this.#scheduled = false;
      while (this.#inFlight < limits.multisInFlightMax) {
        const batch = this.#next();
        if (batch.length === 0) return;
        void this.#send(batch);
      }
    });
  }

  /** The members of the multi that leaves now; none: there are none, or they wait to be more. */
  #next(): Member[] {
    const single = this.#singles.shift();
    if (single !== undefined) return [single];
    const mayBePartial = this.#sharedInFlight < limits.partialMultisInFlightMax;
    if (this.#gatherers.length > 0 && (mayBePartial || this.#filled().isFull)) {
      for (const gather of this.#gatherers.splice(0)) gather();
    }
    const { count, isFull } = this.#filled();
    return isFull || mayBePartial ? this.#waiting.splice(0, count) : [];
  }

  /** How many of those that wait one multi carries, and whether it could not carry one more. */
  #filled(): { readonly count: number; readonly isFull: boolean } {
    let ops = 1;
    let bytes = 0;
    let count = 0;
    for (const member of this.#waiting) {
      ops += member.ops.length;
      bytes += member.bytes;
      const fits = ops <= limits.multiOpsMax && bytes <= limits.multiBytesMax;
      if (count > 0 && (count >= this.#membersMax || !fits)) return { count, isFull: true };
      count += 1;
    }
    return { count, isFull: ops >= limits.multiOpsMax || count >= this.#membersMax };
  }

  async #send(batch: readonly Member[]): Promise<void> {
    const guard = this.#generation.guard();
    const session = this.#session.sessionId;
    const members: Member[] = [];
    for (const member of batch) {
      if (member.session === null || member.session === session) members.push(member);
      else member.resolve({ kind: 'notSent', why: 'the session it was meant for is over' });
    }
    if (members.length === 0) return;
    if (guard === null || session === null) {
      for (const member of members)
        member.resolve({ kind: 'notSent', why: 'the generation is not proven in this session' });
      return;
    }
    const shared = members.some(({ alone }) => !alone) ? 1 : 0;
    this.#inFlight += 1;
    this.#sharedInFlight += shared;
    const ops = [guard, ...members.flatMap((member) => member.ops)];
    const outcome = await this.#session.write(ops, { session });
    this.#inFlight -= 1;
    this.#sharedInFlight -= shared;
    this.#count(members, ops.length, outcome);
    this.#distribute(members, outcome);
    this.#schedule();
  }

  #count(members: readonly Member[], operations: number, outcome: WriteOutcome): void {
    this.#stats.multis += 1;
    this.#stats.operations += operations;
    this.#stats.transactions += members.length;
    if (outcome.kind === 'refused') this.#stats.refusedMultis += 1;
  }

  #distribute(members: readonly Member[], outcome: WriteOutcome): void {
    switch (outcome.kind) {
      case 'applied': {
        this.#generation.saw(outcome.zxid);
        this.#membersMax = Math.min(limits.multiOpsMax, this.#membersMax * 2);
        let from = 1;
        for (const member of members) {
          const results = outcome.results.slice(from, from + member.ops.length);
          member.resolve({ kind: 'applied', results, zxid: outcome.zxid });
          from += member.ops.length;
        }
        return;
      }
      case 'refused':
        return this.#refused(members, outcome);
      default:
        for (const member of members) member.resolve(outcome);
    }
  }

  #refused(members: readonly Member[], outcome: Extract<WriteOutcome, { kind: 'refused' }>): void {
    const [only] = members;
    if (outcome.index === 0) {
      void this.#generation.prove();
      for (const member of members) member.resolve({ kind: 'notSent', why: 'the generation changed' });
    } else if (members.length === 1 && only !== undefined) {
      only.resolve({ ...outcome, index: outcome.index - 1 });
    } else {
      // Which one failed is known, and not whether it fails on its own: one before it may have been why, and has not applied.
      const failed = memberAt(members, outcome.index - 1);
      this.#membersMax = Math.max(1, Math.floor(members.length / 2));
      if (failed !== undefined) this.#singles.push({ ...failed, alone: true });
      this.#waiting.unshift(...members.filter((member) => member !== failed));
    }
  }
}

/** Whose operation that is, of all of theirs in their order. */
function memberAt(members: readonly Member[], index: number): Member | undefined {
  let end = 0;
  return members.find(({ ops }) => {
    end += ops.length;
    return index < end;
  });
}

/** An upper bound of an operation's size on the wire. */
function bytesOf(op: WriteOp): number {
  return 64 + op.path.length + ('data' in op ? op.data.length : 0);
}
