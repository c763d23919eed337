// breaker.ts: the circuit breaker of one task type. opossum decides, from this worker's attempts, when the downstream is
// broken; /breakers/<type> shares it, so that one worker's discovery spares the fleet and one attempt of the fleet probes.
//
//   closed --(too many failures here, or another worker says so)--> open --(openMs)--> half open: who wins the
//   compare-and-set probes --> closed, or open again. Nobody else claims tasks of the type until the probe is over.

import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';
import type { Session, WriteOp } from '../coordination/index.js';
import { type Watch, watchNode } from '../coordination/index.js';
import type { EpochMs, WorkerId } from '../domain/index.js';
import { breakerPath } from '../ledger/index.js';
import type { Runtime, Timer } from '../runtime/index.js';
import { type AttemptOutcome, countsAgainstDownstream } from './outcome.js';
import type { TaskType } from './task-type.js';

/** The breaker as the fleet shares it. `until`: when `open` may be probed, or a probe counts as dead. */
type Shared = {
  readonly state: 'closed' | 'open' | 'probing';
  readonly by: WorkerId;
  readonly until: EpochMs;
};
type Seen = { readonly shared: Shared; readonly version: number } | null;

/** opossum's own number of them. */
const windowBuckets = 10;

/** Carries an outcome that counts against the downstream through opossum, which counts rejections. */
class Counted extends Error {
  readonly outcome: AttemptOutcome;
  constructor(outcome: AttemptOutcome) {
    super('counted');
    this.outcome = outcome;
  }
}

export class Breaker {
  readonly #type: TaskType;
  readonly #worker: WorkerId;
  readonly #session: Session;
  readonly #runtime: Runtime;
  readonly #path: string;
  readonly #circuit: CircuitBreaker<[() => Promise<AttemptOutcome>], AttemptOutcome>;
  readonly #watch: Watch;
  /** Moves opossum's window on, by the injected clock. */
  readonly #rotation = new EventEmitter();
  #rotating: Timer | null = null;
  #seen: Seen = null;
  #openUntil = 0 as EpochMs;
  #probing = false;

  constructor(type: TaskType, worker: WorkerId, session: Session, runtime: Runtime) {
    this.#type = type;
    this.#worker = worker;
    this.#session = session;
    this.#runtime = runtime;
    this.#path = breakerPath(type.name);
    this.#circuit = new CircuitBreaker(countingAction, {
      name: type.name,
      timeout: false, // Deadlines are the attempt's own.
      errorThresholdPercentage: type.breaker.errorPercentMax,
      volumeThreshold: type.breaker.attemptsMin,
      rollingCountTimeout: type.breaker.windowMs,
      resetTimeout: type.breaker.openMs,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: this.#rotation,
    });
    this.#rotateLater();
    this.#circuit.on('open', () => this.#opened());
    this.#circuit.on('halfOpen', () => void this.#electProbe());
    this.#circuit.on('close', () => this.#closed());
    this.#watch = watchNode(session, this.#path, decodeShared, (seen) => this.#observe(seen), runtime);
  }

  /** How many attempts may begin now: 0 while open, one while this worker probes. */
  admits(): number {
    if (this.#circuit.closed) return Number.POSITIVE_INFINITY;
    return this.#circuit.halfOpen && this.#probing && this.#circuit.pendingClose ? 1 : 0;
  }

  /** When to ask again after a refusal, in ms: about when the next probe is over. */
  retryInMs(): number {
    const openMs = this.#type.breaker.openMs;
    const left = Math.max(0, this.#openUntil - this.#runtime.clock.now());
    return Math.round(left + openMs * (0.1 + 0.4 * this.#runtime.random.roll()));
  }

  /** Runs an attempt, and counts its outcome; `notStarted` when the breaker opened in the meantime. */
  run(attempt: () => Promise<AttemptOutcome>): Promise<AttemptOutcome> {
    return this.#circuit.fire(attempt).catch(outcomeIn);
  }

  stop(): void {
    this.#watch.stop();
    this.#rotating?.cancel();
    this.#circuit.shutdown();
  }

  #rotateLater(): void {
    this.#rotating = this.#runtime.clock.after(this.#type.breaker.windowMs / windowBuckets, () => {
      this.#rotation.emit('rotate');
      this.#rotateLater();
    });
  }

  #opened(): void {
    const now = this.#runtime.clock.now();
    const shared = this.#seen?.shared;
    const known = !this.#probing && shared !== undefined && shared.state !== 'closed' && shared.until > now;
    this.#probing = false;
    this.#openUntil = (now + this.#type.breaker.openMs) as EpochMs;
    if (!known) void this.#publish('open');
  }

  #closed(): void {
    if (this.#probing) void this.#publish('closed');
    this.#probing = false;
  }

  /** The circuit is half open here: probe if the fleet lets us, else stay open for another while. */
  async #electProbe(): Promise<void> {
    const shared = this.#seen?.shared;
    const other = shared?.state === 'probing' && shared.until > this.#runtime.clock.now();
    if (!other && (await this.#publish('probing'))) this.#probing = true;
    else if (this.#circuit.halfOpen) this.#circuit.open();
  }

  /** By compare-and-set on what was seen: of several that write at once, one wins. */
  async #publish(state: Shared['state']): Promise<boolean> {
    const until = (this.#runtime.clock.now() + this.#type.breaker.openMs) as EpochMs;
    const shared: Shared = { state, by: this.#worker, until };
    const data = Buffer.from(JSON.stringify(shared));
    const op: WriteOp =
      this.#seen === null
        ? { kind: 'create', path: this.#path, data, mode: 'persistent' }
        : { kind: 'set', path: this.#path, data, version: this.#seen.version };
    const outcome = await this.#session.write([op]);
    if (outcome.kind !== 'applied') return false;
    const version = this.#seen === null ? 0 : this.#seen.version + 1;
    this.#seen = { shared, version };
    this.#runtime.log.info(
      { type: this.#type.name, breaker: state },
      'circuit breaker changed for the fleet',
    );
    return true;
  }

  #observe(seen: Seen): void {
    if (seen !== null && this.#seen !== null && seen.version < this.#seen.version) return;
    this.#seen = seen;
    if (seen === null || seen.shared.by === this.#worker) return;
    if (seen.shared.state === 'open' && !this.#circuit.opened) this.#circuit.open();
    if (seen.shared.state === 'closed' && !this.#circuit.closed) this.#circuit.close();
  }
}

function countingAction(attempt: () => Promise<AttemptOutcome>): Promise<AttemptOutcome> {
  return attempt().then(counted);
}

function counted(outcome: AttemptOutcome): AttemptOutcome {
  if (countsAgainstDownstream(outcome)) throw new Counted(outcome);
  return outcome;
}

function outcomeIn(error: unknown): AttemptOutcome {
  if (error instanceof Counted) return error.outcome;
  if ((error as { code?: string }).code === 'EOPENBREAKER') return { kind: 'notStarted', why: 'breaker' };
  throw error;
}

function decodeShared(data: Buffer, version: number): NonNullable<Seen> {
  return { shared: JSON.parse(data.toString()) as Shared, version };
}
