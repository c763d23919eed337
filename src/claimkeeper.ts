// claimkeeper.ts: what a program connects to. Owns the wiring of session, ledger and delivery, and their order at start and
// end; what each does is in its own folder.

import { hostname } from 'node:os';
import {
  type CommitStats,
  Commits,
  confirmRestore,
  ensureTree,
  Generation,
  openSession,
  type Session,
} from './coordination/index.js';
import { Deliveries, type FeedItem, Intake } from './delivery/index.js';
import {
  ClaimkeeperError,
  decodeRecord,
  type EpochMs,
  type FleetMember,
  type FollowInput,
  type Held,
  type Json,
  type ListInput,
  type Name,
  parseName,
  parseOptions,
  parseResolution,
  parseSubmission,
  parseTaskId,
  type Resolution,
  type State,
  type Submission,
  type SubmissionInput,
  type TaskId,
  type TaskRecord,
  type WorkerId,
} from './domain/index.js';
import { readFleet, type WorkerDescription } from './fleet.js';
import { KeyRing } from './key-ring.js';
import { Keys } from './keys.js';
import {
  type AcceptOutcome,
  accept,
  acceptAll,
  cancel,
  Endings,
  type LedgerContext,
  type QueueSetting,
  readHeld,
  recordPath,
  refuseHalted,
  replay,
  resolve,
  treePaths,
  unavailable,
} from './ledger/index.js';
import {
  type ConnectOptions,
  optionsSchema,
  type Resolved,
  type WorkerSettings,
  workerSchema,
} from './options.js';
import { Overview, type QueueList, type TaskList } from './overview.js';
import {
  createLogger,
  type Runtime,
  type Service,
  systemClock,
  systemRandom,
  within,
} from './runtime/index.js';
import { Scheduler } from './scheduler/index.js';
import { Schedules } from './schedules.js';
import { PausableSource, type TaskType, Worker } from './worker/index.js';

/** By so much a submit may be overdue whose outcome is about to be known. */
const lateMsMax = 100;

export type Submitted = {
  readonly id: TaskId;
  /** False: the same task was already there. */
  readonly created: boolean;
  readonly state: State;
  /** Until then at least, a submit of the same id finds this task. */
  readonly dedupUntil: EpochMs;
};

type Accepted = { readonly kind: 'created' | 'same' } & Submitted;

export type SubmitManyOutcome = Accepted | { readonly kind: 'refused'; readonly error: ClaimkeeperError };

export type Stats = {
  /** Group commit: transactions go to ZooKeeper in multis. */
  readonly commits: Readonly<CommitStats>;
  /** Deliveries that were given up; the reconciler repeats them. */
  readonly deliveriesDropped: number;
  /** Words for the read model that were given up; the reconciler repairs it. */
  readonly viewWordsDropped: number;
};

export type Readiness = {
  readonly ready: boolean;
  readonly zookeeper: Session['state'] | 'unproven' | 'halted';
  readonly redis: 'ready' | 'away';
};

/**
 * Connects to ZooKeeper and Redis, and makes the znode tree when it is missing. Redis may be away.
 * @throws ClaimkeeperError `CONFIG_INVALID`, `ZOOKEEPER_UNAVAILABLE`
 */
export async function connect(options: ConnectOptions): Promise<Claimkeeper> {
  const resolved = parseOptions(optionsSchema, options, 'connect');
  if (resolved.dedupWindowMs < resolved.sessionTimeoutMs) {
    throw new ClaimkeeperError(
      'CONFIG_INVALID',
      `connect: dedupWindowMs: ${resolved.dedupWindowMs} is less than sessionTimeoutMs, ${resolved.sessionTimeoutMs}: a worker that comes back could take a new task for its own`,
    );
  }
  const runtime: Runtime = {
    clock: systemClock,
    random: systemRandom,
    log: resolved.log ?? createLogger('warn'),
  };
  const { zookeeper: servers, chroot, sessionTimeoutMs: timeoutMs, requestMsMax } = resolved;
  const session = openSession({ servers, chroot, timeoutMs }, runtime);
  const deliveries = new Deliveries({ redisUrl: resolved.redis, prefix: resolved.prefix }, runtime);
  const generation = new Generation(session, runtime);
  try {
    await session.connected(requestMsMax);
    await ensureTree(session, treePaths);
    await generation.prove();
    await deliveries.start();
  } catch (error) {
    generation.close();
    await Promise.all([session.close(), deliveries.stop()]);
    throw error;
  }
  return new Claimkeeper(resolved, session, generation, deliveries, runtime);
}

/** One connection to a Claimkeeper installation: submits and steers tasks, and makes workers and schedulers. */
export class Claimkeeper {
  /** What fires tasks by the calendar. */
  readonly schedules: Schedules<Submitted>;
  /** Who may ask the API for what. */
  readonly keys: Keys;
  readonly #options: Resolved;
  readonly #session: Session;
  readonly #generation: Generation;
  readonly #deliveries: Deliveries;
  readonly #runtime: Runtime;
  readonly #ctx: LedgerContext;
  readonly #overview: Overview;
  readonly #endings: Endings;
  readonly #services = new Set<Service>();
  /** The last list held tasks that were there already: it is being submitted again, and the next one likely too. */
  #repeated = false;
  #closed: Promise<void> | null = null;

  constructor(
    options: Resolved,
    session: Session,
    generation: Generation,
    deliveries: Deliveries,
    runtime: Runtime,
  ) {
    this.#options = options;
    this.#session = session;
    this.#generation = generation;
    this.#deliveries = deliveries;
    this.#runtime = runtime;
    const deliver = deliveries.deliver.bind(deliveries);
    const note = deliveries.view.note.bind(deliveries.view);
    this.#ctx = { session, commits: new Commits(session, generation, runtime.clock), deliver, note, runtime };
    this.#overview = new Overview(this.#ctx, generation, deliveries, this.#until());
    this.#endings = new Endings(this.#ctx);
    this.schedules = new Schedules(this.#ctx, this.#until(), (task) => this.#accepted(task));
    this.keys = new Keys(this.#ctx, this.#until());
  }

  /**
   * Accepts a task: once this resolves, it is in the ledger.
   * @throws ClaimkeeperError `TASK_ID_INVALID`, `NAME_INVALID`, `SUBMISSION_INVALID`, `PAYLOAD_TOO_LARGE`, `TASK_CONFLICT`,
   * `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED`, `CLOSED`
   */
  async submit(input: SubmissionInput): Promise<Submitted> {
    return this.#accepted(this.#admit(input, this.#runtime.clock.now()));
  }

  /** As {@link submit}, for many; one outcome each, in order. */
  async submitMany(inputs: readonly unknown[]): Promise<readonly SubmitManyOutcome[]> {
    const now = this.#runtime.clock.now();
    const outcomes = new Array<SubmitManyOutcome | undefined>(inputs.length).fill(undefined);
    const places: number[] = [];
    const tasks: Submission[] = [];
    inputs.forEach((input, place) => {
      try {
        const task = this.#admit(input, now);
        refuseHalted(this.#ctx, `task ${task.id}`, 'accepted');
        tasks.push(task);
        places.push(place);
      } catch (error) {
        outcomes[place] = refusedBy(error);
      }
    });
    const tell = (n: number, outcome: AcceptOutcome | ClaimkeeperError): void => {
      outcomes[places[n] as number] = this.#outcomeOf((tasks[n] as Submission).id, outcome);
    };
    const isList = inputs.length > 1;
    const options = { deadlineMs: this.#options.requestMsMax, likelyThere: isList && this.#repeated };
    await this.#inTime(acceptAll(this.#ctx, tasks, options, tell));
    if (isList) this.#repeated = outcomes.some((outcome) => outcome?.kind === 'same');
    // Of a list that is late, what has ended, and of the others that they may be accepted yet; what is not valid has ended.
    return outcomes.map(
      (outcome, i) => outcome ?? { kind: 'refused', error: this.#late((inputs[i] as SubmissionInput).id) },
    );
  }

  /**
   * The task's record; from Redis's history once it has left the ledger. Null: neither knows it.
   * @throws ClaimkeeperError `TASK_ID_INVALID`, `ZOOKEEPER_UNAVAILABLE`
   */
  async get(id: string): Promise<TaskRecord | null> {
    const taskId = parseTaskId(id);
    const held = (await readHeld(this.#ctx, taskId)) ?? (await this.#readSynced(taskId));
    if (held !== null) return held.record;
    const past = this.#deliveries.available ? await this.#deliveries.getHistory(taskId) : null;
    return past === null ? null : decodeRecord(Buffer.from(past), recordPath(taskId));
  }

  /** The server that was asked may lag behind the one that another process submitted to. */
  async #readSynced(id: TaskId): Promise<Held | null> {
    await this.#session.sync();
    return readHeld(this.#ctx, id);
  }

  /**
   * Resolves once the task has ended (completed, failed, cancelled, uncertain), or is not in the ledger, or `signal` aborts:
   * {@link get} tells which.
   * @throws ClaimkeeperError `TASK_ID_INVALID`, `WAITS_EXHAUSTED`, `ZOOKEEPER_UNAVAILABLE`, `CLOSED`
   */
  async untilEnded(id: string, signal: AbortSignal): Promise<void> {
    await this.#endings.until(parseTaskId(id), signal);
  }

  /** What that attempt of a task (as {@link get} has it) last said of how far it is; null: nothing, or Redis is away. */
  async progress({ id, attempt }: Pick<TaskRecord, 'id' | 'attempt'>): Promise<Json | null> {
    const json = await this.#deliveries.readProgress(parseTaskId(id), attempt).catch(() => null);
    return json === null ? null : (JSON.parse(json) as Json);
  }

  /** @throws ClaimkeeperError `TASK_NOT_FOUND`, `MOVE_REFUSED`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED` */
  replay(id: string): Promise<TaskRecord> {
    return replay(this.#ctx, parseTaskId(id), this.#until());
  }

  /** @throws ClaimkeeperError as {@link replay} */
  cancel(id: string): Promise<TaskRecord> {
    return cancel(this.#ctx, parseTaskId(id), this.#until());
  }

  /**
   * Says what happened to an uncertain task; `note`, 1–500 characters, says how that is known.
   * @throws ClaimkeeperError `REQUEST_INVALID`, and as {@link replay}
   */
  async resolve(id: string, as: Resolution['as'], note: string): Promise<TaskRecord> {
    const said = parseResolution({ as, note });
    return resolve(this.#ctx, parseTaskId(id), said.as, said.note, this.#until());
  }

  /**
   * The newest tasks that fit, page by page. Comes from Redis and may lag behind the ledger: what decides is {@link get}.
   * @throws ClaimkeeperError `REQUEST_INVALID`, `NAME_INVALID`, `REDIS_UNAVAILABLE`
   */
  list(input: ListInput = {}): Promise<TaskList> {
    return this.#overview.list(input);
  }

  /**
   * Every queue that has tasks or is paused, with its counts, as {@link list} has them.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`, `ZOOKEEPER_UNAVAILABLE`
   */
  queues(): Promise<QueueList> {
    return this.#overview.queues();
  }

  /**
   * No worker takes tasks of a paused queue; what runs goes on, and nothing is lost. As it is already, nothing changes.
   * @throws ClaimkeeperError `NAME_INVALID`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED`
   */
  pauseQueue(queue: string): Promise<QueueSetting> {
    return this.#overview.setPaused(queue, true);
  }

  /** @throws ClaimkeeperError as {@link pauseQueue} */
  resumeQueue(queue: string): Promise<QueueSetting> {
    return this.#overview.setPaused(queue, false);
  }

  /**
   * Changes of state as they are seen, until `signal` aborts; none is promised to be seen. `after`: the id of the last one.
   * @throws ClaimkeeperError `REQUEST_INVALID`, `NAME_INVALID`, `REDIS_UNAVAILABLE`
   */
  events(input: FollowInput, signal: AbortSignal): Promise<AsyncGenerator<FeedItem, void, void>> {
    return this.#overview.events(input, signal);
  }

  /**
   * The workers whose ZooKeeper session is alive, with what they run. A frozen worker is listed until its session expires.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`
   */
  fleet(): Promise<readonly FleetMember[]> {
    return readFleet(this.#ctx);
  }

  /**
   * A member of the fleet; `start()` it. Closed with this object.
   * @throws ClaimkeeperError `CONFIG_INVALID`, `NAME_INVALID`
   */
  worker(settings: WorkerSettings): Worker {
    const { types, queues, concurrency, drainMsMax } = parseOptions(workerSchema, settings, 'worker');
    const names = [...new Set(queues)].map((queue) => parseName(queue, 'queue'));
    const id = this.#memberId();
    const { redis: redisUrl, prefix } = this.#options;
    const sources = names.map((queue) => {
      const intake = new Intake({ redisUrl, prefix, queue }, this.#runtime);
      return new PausableSource(intake, queue, this.#session, this.#runtime);
    });
    const description = this.#describe(names, types, concurrency);
    const options = { id, types, sources, concurrency, drainMsMax, description };
    const worker = new Worker(options, this.#ctx, this.#generation);
    worker.on('progress', (word) => this.#deliveries.noteProgress(word));
    return this.#own(worker);
  }

  /** A candidate for leading the installation; `start()` it. Closed with this object. */
  scheduler(): Service {
    const { graceMs, reconcileEveryMs, dedupWindowMs, historyMs } = this.#options;
    const options = { graceMs, reconcileEveryMs, dedupWindowMs, historyMs };
    return this.#own(new Scheduler(options, this.#memberId(), this.#ctx, this.#generation, this.#deliveries));
  }

  /** The API keys, for a process that checks them; `start()` it. Closed with this object. */
  keyRing(): KeyRing {
    return this.#own(new KeyRing(this.#ctx, this.#options.requestMsMax));
  }

  /**
   * An operator's word that ZooKeeper's data, wiped or restored from a backup, is to be gone on with as it is now: lets the
   * processes go on that stopped with `GENERATION_CHANGED`. `held`: the generations they named in their logs.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`
   */
  confirmRestore(held: readonly string[]): Promise<string> {
    return confirmRestore(this.#session, held, this.#runtime);
  }

  /** Counters of the life of this connection. */
  stats(): Stats {
    return {
      commits: { ...this.#ctx.commits.stats },
      deliveriesDropped: this.#deliveries.dropped,
      viewWordsDropped: this.#deliveries.view.news.dropped,
    };
  }

  ready(): Readiness {
    const { state } = this.#session;
    const zookeeper = this.#generation.halted
      ? 'halted'
      : state === 'connected' && !(this.#session.trusted() && this.#generation.guard() !== null)
        ? 'unproven'
        : state;
    return {
      ready: zookeeper === 'connected',
      zookeeper,
      redis: this.#deliveries.available ? 'ready' : 'away',
    };
  }

  /** Stops what was made here, in reverse order, and ends the session, so that claims vanish at once. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const service of [...this.#services].reverse()) {
      await service
        .stop()
        .catch((error) => this.#runtime.log.error({ err: error }, 'a service could not be stopped'));
    }
    this.#endings.close();
    this.#generation.close();
    await this.#deliveries.stop();
    await this.#session.close();
  }

  #admit(input: unknown, now: EpochMs): Submission {
    if (this.#closed !== null)
      throw new ClaimkeeperError('CLOSED', 'this connection was closed: connect again');
    return parseSubmission(input, now);
  }

  async #accepted(task: Submission): Promise<Submitted> {
    refuseHalted(this.#ctx, `task ${task.id}`, 'accepted');
    const inTime = await this.#inTime(accept(this.#ctx, task, this.#until()));
    if (inTime === null) throw this.#late(task.id);
    return submittedOf(this.#outcomeOf(task.id, inTime.value));
  }

  /** What is on its way to a server that does not answer is not waited for: it may be accepted yet. */
  #inTime<T>(work: Promise<T>): Promise<{ value: T } | null> {
    return within(this.#runtime.clock, this.#options.requestMsMax + lateMsMax, work);
  }

  #late(id: string): ClaimkeeperError {
    return unavailable(`task ${id}`, 'accepted', { halted: this.#generation.halted, sent: true });
  }

  #outcomeOf(id: TaskId, outcome: AcceptOutcome | ClaimkeeperError): SubmitManyOutcome {
    if (outcome instanceof ClaimkeeperError) return { kind: 'refused', error: outcome };
    switch (outcome.kind) {
      case 'created':
      case 'same': {
        const { state, finishedAt } = outcome.record;
        const from = finishedAt ?? this.#runtime.clock.now();
        const dedupUntil = (from + this.#options.dedupWindowMs) as EpochMs;
        return { kind: outcome.kind, id, created: outcome.kind === 'created', state, dedupUntil };
      }
      case 'conflict': {
        const message = `task ${id} exists with other content: use another id, or submit what it was first submitted with`;
        return { kind: 'refused', error: new ClaimkeeperError('TASK_CONFLICT', message, { field: 'id' }) };
      }
      case 'unavailable': {
        const { halted } = this.#generation;
        const error = unavailable(`task ${id}`, 'accepted', { halted, sent: outcome.sent });
        return { kind: 'refused', error };
      }
    }
  }

  #until(): { readonly deadlineMs: number } {
    return { deadlineMs: this.#options.requestMsMax };
  }

  #memberId(): WorkerId {
    return `${process.pid}-${this.#runtime.random.nonce()}` as WorkerId;
  }

  #describe(queues: readonly Name[], types: readonly TaskType[], concurrency: number): WorkerDescription {
    return {
      pid: process.pid,
      host: hostname(),
      queues,
      types: types.map(({ name }) => name),
      concurrency,
      startedAt: this.#runtime.clock.now(),
    };
  }

  #own<S extends Service>(service: S): S {
    this.#services.add(service);
    return service;
  }
}

function submittedOf(outcome: SubmitManyOutcome): Submitted {
  if (outcome.kind === 'refused') throw outcome.error;
  const { id, created, state, dedupUntil } = outcome;
  return { id, created, state, dedupUntil };
}

function refusedBy(error: unknown): SubmitManyOutcome {
  if (error instanceof ClaimkeeperError) return { kind: 'refused', error };
  throw error;
}
