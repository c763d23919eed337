// leadership.ts: one leader at a time for the fleet's shared chores. Owns an election's place: the line of candidates and
// the term.
//
//   standing ──(candidate made)──> waiting ──(nobody before it)──> taking ──(term is ours)──> leading
//      ^  ^                         │   ^ the one before it left     │ the term moved: look again  │
//      │  └──(candidate gone)───────┴───┴────────────────────────────┘                             │
//      └──(candidates withdrawn, `lead` settled)── stepping down <──(suspended, trust over, stop, …)┘
//
// The trust window. A leader leads while its session is connected and trusted (P9); trust ends a margin before the server
// may end the session, and only then can the next candidate be first. With honest clocks two leaders never overlap; with
// others they may, so nothing rests on it: every write of a leader carries its term's guard (P8). Winning moves the term by
// a compare-and-set, in one transaction with a check of the candidate; from then on the guard of every earlier term is
// refused. A term is the version of its znode: it grows with every win, and a lost reply costs at most one.
//
// A candidate's name carries its process's nonce: what a lost reply left behind is found by it, and kept when it is this
// session's or deleted when it is another's (traps 5, 15). A waiter watches only the one before its own, through the list
// of that node's children: a node that has gone meanwhile keeps no watch.

import { type RetryPolicy, retryDelayMs } from '../domain/index.js';
import { delay, type Runtime, type Service, type Timer } from '../runtime/index.js';
import type { Session, SessionId, WriteOp } from './port.js';

export type Leadership = {
  /** Grows with every leader. */
  readonly term: number;
  /** Belongs into every transaction of the leader: refused once a later term has begun. */
  guard(): WriteOp;
  /** Aborts on stepping down, with the reason. */
  readonly signal: AbortSignal;
};

export type ElectionOptions = {
  /** Holds the candidates and `term`; both exist before anyone stands. */
  readonly path: string;
  /** Who stands, for people to read: the data of the candidate and of the term. */
  readonly id: string;
  /** Leads until `signal` aborts; returning or throwing earlier steps down. Never runs twice at a time. */
  readonly lead: (leadership: Leadership) => Promise<void>;
};

type Candidate = { readonly path: string; readonly session: SessionId };

type State =
  | { readonly name: 'standing' }
  | { readonly name: 'waiting' | 'taking'; readonly candidate: Candidate }
  | { readonly name: 'leading'; readonly candidate: Candidate; readonly term: number };

/** Before standing again: up to 100 ms, doubling to 5 s; whoever stood or led undisturbed for a while begins anew. */
const standAgain: RetryPolicy = {
  attempts: Number.POSITIVE_INFINITY,
  delayMsMin: 100,
  delayMsMax: 5_000,
  factor: 2,
};
const withdrawalTriesMax = 5;

export class Election implements Service {
  readonly #session: Session;
  readonly #options: ElectionOptions;
  readonly #runtime: Runtime;
  readonly #termPath: string;
  /** Of this process's candidates; followed by ten digits. */
  readonly #prefix: string;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #failures = 0;
  /** Ends what the current state waits for, so that it sees that it is to stop. */
  #wake: () => void = () => undefined;

  constructor(session: Session, options: ElectionOptions, runtime: Runtime) {
    this.#session = session;
    this.#options = options;
    this.#runtime = runtime;
    this.#termPath = `${options.path}/term`;
    this.#prefix = `candidate-${runtime.random.nonce()}-`;
  }

  /** Resolves at once: who stands may wait for long. */
  async start(): Promise<void> {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    let state: State = { name: 'standing' };
    while (!this.#over()) {
      try {
        state = await this.#step(state);
      } catch (error) {
        if (!this.#over())
          this.#runtime.log.warn({ err: error, id: this.#options.id }, 'the election was disturbed');
        await this.#rest();
        state = { name: 'standing' };
      }
    }
    await this.#withdraw();
  }

  #step(state: State): Promise<State> {
    switch (state.name) {
      case 'standing':
        return this.#stand();
      case 'waiting':
        return this.#wait(state.candidate);
      case 'taking':
        return this.#take(state.candidate);
      case 'leading':
        return this.#lead(state.candidate, state.term);
    }
  }

  async #stand(): Promise<State> {
    await this.#untilConnected();
    const session = this.#session.sessionId;
    if (this.#over() || session === null) return { name: 'standing' };
    const own = await this.#ownCandidates();
    const kept = own.find(({ owner }) => owner === session);
    await this.#delete(own.filter((candidate) => candidate !== kept));
    if (kept !== undefined) return { name: 'waiting', candidate: { path: kept.path, session } };
    const path = `${this.#options.path}/${this.#prefix}`;
    const data = Buffer.from(this.#options.id);
    const outcome = await this.#session.write(
      [{ kind: 'create', path, data, mode: 'ephemeral-sequential' }],
      {
        session,
      },
    );
    const result = outcome.kind === 'applied' ? outcome.results[0] : undefined;
    // Whatever became of it, standing again finds it by its nonce.
    if (result?.kind !== 'created') throw new Error(`no candidate was made: ${JSON.stringify(outcome)}`);
    return { name: 'waiting', candidate: { path: result.path, session } };
  }

  async #wait(candidate: Candidate): Promise<State> {
    const line = (await this.#names()).filter((name) => name.startsWith('candidate-')).sort(bySequence);
    const at = line.indexOf(candidate.path.slice(this.#options.path.length + 1));
    if (at < 0) return { name: 'standing' };
    if (at === 0) return { name: 'taking', candidate };
    const rung = this.#bell();
    const before = await this.#session.children(`${this.#options.path}/${line[at - 1]}`, this.#wake);
    if (before !== null && !this.#over()) {
      await rung;
      this.#failures = 0;
    }
    return { name: 'waiting', candidate };
  }

  async #take(candidate: Candidate): Promise<State> {
    const { session } = candidate;
    await this.#session.sync();
    const [own, term] = await Promise.all([
      this.#session.read(candidate.path),
      this.#session.read(this.#termPath),
    ]);
    if (own?.stat.ephemeralOwner !== session) return { name: 'standing' };
    if (term === null) throw new Error(`${this.#termPath} does not exist`);
    if (!this.#session.trusted()) throw new Error('the session is not trusted');
    const data = Buffer.from(this.#options.id);
    const outcome = await this.#session.write(
      [
        { kind: 'check', path: candidate.path, version: null },
        { kind: 'set', path: this.#termPath, data, version: term.stat.version },
      ],
      { session },
    );
    if (outcome.kind === 'refused') return { name: 'waiting', candidate };
    const result = outcome.kind === 'applied' ? outcome.results[1] : undefined;
    if (result?.kind !== 'set') throw new Error(`the term was not taken: ${JSON.stringify(outcome)}`);
    return { name: 'leading', candidate, term: result.version };
  }

  async #lead(candidate: Candidate, term: number): Promise<State> {
    const { clock, log } = this.#runtime;
    const { id } = this.#options;
    const over = new AbortController();
    const since = clock.monotonic();
    const release = this.#watchTrust(candidate, over);
    log.info({ id, term }, 'leading');
    const led = this.#callLead(over.signal, term);
    const rung = this.#bell();
    over.signal.addEventListener('abort', this.#wake, { once: true });
    void led.then(this.#wake);
    if (!over.signal.aborted && !this.#over()) await rung;
    over.abort(new Error(this.#over() ? 'the election was stopped' : 'the leader returned'));
    release();
    log.info({ id, term, why: String(over.signal.reason) }, 'stepped down');
    // At once, also while `lead` still winds up: the next leader need not wait for it, the guard sees to that.
    await Promise.all([led, this.#withdraw()]);
    if (clock.monotonic() - since > standAgain.delayMsMax) this.#failures = 0;
    await this.#rest();
    return { name: 'standing' };
  }

  async #callLead(signal: AbortSignal, term: number): Promise<void> {
    const guard = (): WriteOp => ({ kind: 'check', path: this.#termPath, version: term });
    try {
      await this.#options.lead({ term, guard, signal });
    } catch (error) {
      if (!signal.aborted) this.#runtime.log.error({ err: error, term }, 'the leader failed');
    }
  }

  /** Aborts `over` as soon as leading is no longer certain; the result ends the watching. */
  #watchTrust(candidate: Candidate, over: AbortController): () => void {
    const session = this.#session;
    const { clock } = this.#runtime;
    let timer: Timer | null = null;
    const doubt = (why: string): void => over.abort(new Error(why));
    const look = (): void => {
      if (session.sessionId !== candidate.session) return doubt('the session is over');
      if (!session.trusted()) return doubt(`the session is not trusted any more (${session.state})`);
      timer = clock.after(Math.max(1, session.trustedUntil() - clock.monotonic()), look, { keepAlive: true });
    };
    const unsubscribe = session.on('state', ({ state }) => doubt(`the session is ${state}`));
    const gone = (): void => doubt('the candidate is gone');
    session.children(candidate.path, gone).then((found) => found ?? gone(), gone);
    look();
    return () => {
      timer?.cancel();
      unsubscribe();
    };
  }

  /** Deletes every candidate of this process, whatever session made it, until that is confirmed. */
  async #withdraw(): Promise<void> {
    for (let tries = 0; !this.#over() || tries < withdrawalTriesMax; tries += 1) {
      await this.#untilConnected();
      // Stopping without a connection: the candidate leaves with its session.
      if (this.#session.state !== 'connected') return;
      try {
        return await this.#delete(await this.#ownCandidates());
      } catch (error) {
        this.#runtime.log.warn({ err: error }, 'a candidate could not be withdrawn; trying again');
        await this.#rest();
      }
    }
  }

  /** The candidates with this process's nonce, of whatever session, as the leader of the ensemble has them. */
  async #ownCandidates(): Promise<{ readonly path: string; readonly owner: SessionId | null }[]> {
    await this.#session.sync();
    const own = (await this.#names()).filter((name) => name.startsWith(this.#prefix)).sort(bySequence);
    const paths = own.map((name) => `${this.#options.path}/${name}`);
    const nodes = await Promise.all(paths.map((path) => this.#session.read(path)));
    return paths.map((path, index) => ({ path, owner: nodes[index]?.stat.ephemeralOwner ?? null }));
  }

  async #delete(candidates: readonly { readonly path: string }[]): Promise<void> {
    for (const { path } of candidates) {
      const outcome = await this.#session.write([{ kind: 'delete', path, version: null }]);
      if (outcome.kind === 'applied' || (outcome.kind === 'refused' && outcome.code === 'NO_NODE')) continue;
      throw new Error(`${path} may still be there: ${JSON.stringify(outcome)}`);
    }
  }

  async #names(): Promise<string[]> {
    return (await this.#session.children(this.#options.path)) ?? [];
  }

  #over(): boolean {
    return this.#stopping.signal.aborted || this.#session.state === 'closed';
  }

  /** A promise that {@link #wake} resolves from now on. */
  #bell(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #untilConnected(): Promise<void> {
    if (this.#session.state === 'connected' || this.#over()) return;
    const rung = this.#bell();
    const unsubscribe = this.#session.on('state', ({ state }) => {
      if (state === 'connected' || state === 'closed') this.#wake();
    });
    await rung;
    unsubscribe();
  }

  async #rest(): Promise<void> {
    this.#failures += 1;
    const delayMs = retryDelayMs(this.#failures, standAgain, this.#runtime.random.roll());
    await delay(this.#runtime.clock, delayMs, this.#stopping.signal);
  }
}

/** Oldest first, by the ten digits at the end. */
function bySequence(a: string, b: string): number {
  return Number(a.slice(-10)) - Number(b.slice(-10));
}
