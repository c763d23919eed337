// crew.ts: workers on a world, fed by hand. Owns the feed, which delivers what it is told as Redis would, without Redis, and
// the faults that a transaction may meet whatever the world.

import {
  type CommitOptions,
  Commits,
  ensureTree,
  Generation,
  type Session,
  type WriteOp,
  type WriteOutcome,
} from '../../src/coordination/index.js';
import {
  decodeRecord,
  type Hint,
  type Json,
  parseSubmission,
  type SubmissionInput,
  type TaskId,
  type TaskRecord,
  type WorkerId,
} from '../../src/domain/index.js';
import {
  accept,
  claimsOf,
  type LedgerContext,
  readHeld,
  recordPath,
  treePaths,
} from '../../src/ledger/index.js';
import type { Runtime } from '../../src/runtime/index.js';
import {
  type Delivery,
  type Source,
  type TaskType,
  Worker,
  type WorkerEvents,
} from '../../src/worker/index.js';
import { eventually } from './eventually.js';
import type { Peer, World } from './world.js';

/** What becomes of a transaction: it is sent as it is, its request or its reply is lost, or it is not sent at all. */
export type Fault = 'none' | 'requestLost' | 'replyLost' | 'notSent';

/** Transactions that fail on command; the connection goes on. */
export class FaultyCommits extends Commits {
  fault: (ops: readonly WriteOp[], options: CommitOptions) => Fault = () => 'none';
  /** Called once a transaction has its outcome, before its caller learns of it. */
  onOutcome: (options: CommitOptions, outcome: WriteOutcome) => void = () => undefined;

  override async commit(ops: readonly WriteOp[], options: CommitOptions): Promise<WriteOutcome> {
    const fault = this.fault(ops, options);
    if (fault === 'notSent') return { kind: 'notSent', why: 'a fault' };
    if (fault === 'requestLost') return { kind: 'unknown', why: 'a fault' };
    const outcome = await super.commit(ops, options);
    this.onOutcome(options, outcome);
    return fault === 'replyLost' ? { kind: 'unknown', why: 'a fault' } : outcome;
  }

  /** The next transaction that `which` accepts meets `fault`. */
  failNext(fault: Fault, which: (ops: readonly WriteOp[], options: CommitOptions) => boolean): void {
    this.fault = (ops, options) => {
      if (!which(ops, options)) return 'none';
      this.fault = () => 'none';
      return fault;
    };
  }
}

/** Whether a transaction leaves a record of `state`. */
export function moves(state: TaskRecord['state']): (ops: readonly WriteOp[]) => boolean {
  return (ops) =>
    ops.some(
      (op) =>
        op.kind === 'set' && op.path.startsWith('/tasks/') && decodeRecord(op.data, op.path).state === state,
    );
}

/** Deliveries without Redis: each hint becomes one when it is due, and goes to whoever takes first. */
export class Feed {
  readonly #runtime: Runtime;
  readonly #ready: Omit<Delivery, 'done' | 'giveBack'>[] = [];
  readonly #takers = new Set<() => void>();
  /** All that was ever told. */
  readonly hints: Hint[] = [];
  /** Ids given back, with the delay asked for. */
  readonly givenBack: { readonly ids: readonly TaskId[]; readonly delayMs: number }[] = [];
  /** Deliveries that were taken, and not given back. */
  taken = 0;
  /** While false, hints are noted and not delivered. */
  following = true;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  readonly deliver = (hints: readonly Hint[]): void => {
    this.hints.push(...hints);
    if (!this.following) return;
    const now = this.#runtime.clock.now();
    for (const { id, notBefore } of hints) this.put([id], { afterMs: Math.max(0, (notBefore ?? now) - now) });
  };

  put(ids: readonly TaskId[], options: { afterMs?: number; redelivered?: boolean } = {}): void {
    const { afterMs = 0, redelivered = false } = options;
    this.#runtime.clock.after(afterMs, () => {
      this.#ready.push({ ids, redelivered });
      for (const wake of this.#takers) wake();
    });
  }

  source(): Source {
    const stop = new AbortController();
    return {
      start: async () => undefined,
      stop: async () => stop.abort(),
      take: (signal) => this.#take(AbortSignal.any([stop.signal, ...(signal === undefined ? [] : [signal])])),
    };
  }

  async #take(signal: AbortSignal): Promise<Delivery | null> {
    while (!signal.aborted) {
      const next = this.#ready.shift();
      if (next !== undefined) {
        this.taken += 1;
        return { ...next, done: async () => undefined, giveBack: this.#giveBack };
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#takers.delete(wake);
          resolve();
        };
        this.#takers.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    return null;
  }

  readonly #giveBack = async (ids: readonly TaskId[], delayMs: number): Promise<void> => {
    this.taken -= 1;
    this.givenBack.push({ ids, delayMs });
    this.put(ids, { afterMs: delayMs });
  };
}

/** A process on the world: its session, its proof of the generation, its ledger. */
export type Party = {
  readonly peer: Peer;
  readonly generation: Generation;
  readonly commits: FaultyCommits;
  readonly ctx: LedgerContext;
};

/** `wrap`: stands between the process and its session. */
export async function join(
  world: World,
  deliver: LedgerContext['deliver'],
  wrap: (session: Session) => Session = (session) => session,
  note: LedgerContext['note'] = () => undefined,
): Promise<Party> {
  const peer = await world.open();
  const session = wrap(peer.session);
  await ensureTree(session, treePaths);
  const generation = new Generation(session, world.runtime);
  await generation.prove();
  const commits = new FaultyCommits(session, generation, world.runtime.clock);
  return { peer, generation, commits, ctx: { session, commits, deliver, note, runtime: world.runtime } };
}

/** A session with some of its methods replaced. */
export function withMethods(session: Session, methods: Partial<Session>): Session {
  return new Proxy(session, {
    get(target, key) {
      if (key in methods) return methods[key as keyof Session];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export type Hired = {
  readonly worker: Worker;
  readonly party: Party;
  readonly endings: WorkerEvents['ended'][];
};

export type HireOptions = {
  readonly types: readonly TaskType[];
  readonly concurrency?: number;
  readonly drainMsMax?: number;
  readonly wrap?: (session: Session) => Session;
};

/** A worker in a process of its own, at work. */
export async function hire(world: World, feed: Feed, options: HireOptions): Promise<Hired> {
  const { types, concurrency = 10, drainMsMax = 5_000, wrap } = options;
  const party = await join(world, feed.deliver, wrap);
  const id = `w-${world.runtime.random.nonce()}` as WorkerId;
  const description: Json = { pid: process.pid };
  const worker = new Worker(
    { id, types, sources: [feed.source()], concurrency, drainMsMax, description },
    party.ctx,
    party.generation,
  );
  const endings: WorkerEvents['ended'][] = [];
  worker.on('ended', (event) => endings.push(event));
  await worker.start();
  return { worker, party, endings };
}

let serial = 0;

/** Accepts a task of `type`, which is delivered if the party's feed follows. */
export async function submit(
  { ctx }: Party,
  type: string,
  more: Partial<SubmissionInput> = {},
): Promise<TaskId> {
  serial += 1;
  const task = parseSubmission({ id: `job-${serial}`, type, ...more }, ctx.runtime.clock.now());
  const outcome = await accept(ctx, task, { deadlineMs: 10_000 });
  if (outcome.kind !== 'created') throw new Error(`${task.id} was not accepted: ${outcome.kind}`);
  return task.id;
}

export async function recordOf({ ctx }: Party, id: TaskId): Promise<TaskRecord> {
  const held = await readHeld(ctx, id);
  if (held === null) throw new Error(`no record of ${id}`);
  return held.record;
}

/** Resolves with the record once it is in `state`. */
export function reaches(party: Party, id: TaskId, state: TaskRecord['state']): Promise<TaskRecord> {
  const look = async (): Promise<TaskRecord> => {
    const record = await recordOf(party, id);
    if (record.state !== state) throw new Error(`${id} is ${record.state}`);
    return record;
  };
  return eventually(look, { what: `${id} is ${state}` });
}

/** Resolves once no claim of the worker stands. */
export function claimsNothing({ ctx }: Party, worker: WorkerId): Promise<void> {
  const look = async (): Promise<void> => {
    const claims = (await ctx.session.children(claimsOf(worker))) ?? [];
    if (claims.length > 0) throw new Error(`${claims.length} claims stand`);
  };
  return eventually(look, { what: `${worker} claims nothing` });
}

/** Writes what no version of the product can read over the record of `id`. */
export async function spoil({ ctx }: Party, id: TaskId): Promise<void> {
  const data = Buffer.from('{"v":99}');
  const outcome = await ctx.session.write([{ kind: 'set', path: recordPath(id), data, version: null }]);
  if (outcome.kind !== 'applied') throw new Error(`${id} was not spoiled: ${outcome.kind}`);
}

/** A promise and what settles it. */
export function signalled<T = void>(): {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
} {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
