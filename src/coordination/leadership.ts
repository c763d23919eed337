// leadership.ts: who leads. Owns the election under a path, and the term that guards every write of a leader (P8).
//
//   standing --(first in line, candidate owned by this session)--> winning --(term raised in one transaction with a
//   check of the candidate)--> leading --(suspended, lost, or stopped)--> stepped down --> standing again
//
// Trust: a leader steps down at the first doubt about its session; that it may act a little longer than it leads is met
// by the guard: the next leader has raised the term, and the old one's write is refused.

import { delay, type Runtime, type Service } from '../runtime/index.js';
import type { Session, SessionId, WriteOp } from './port.js';

export type Leadership = {
  /** Grows with every leader. */
  readonly term: number;
  /** Heads every transaction of the leader. */
  guard(): WriteOp;
  /** Aborts on stepping down. */
  readonly signal: AbortSignal;
};

export type ElectionOptions = {
  /** Holds the candidates and `term`; exists, with `term` in it. */
  readonly path: string;
  /** Of this candidate, for people to read. */
  readonly id: string;
  /** Leads until the signal aborts, then returns. */
  readonly lead: (leadership: Leadership) => Promise<void>;
};

type Candidacy = { readonly path: string; readonly name: string; readonly session: SessionId };

const retryMs = 200;

export class Election implements Service {
  readonly #session: Session;
  readonly #options: ElectionOptions;
  readonly #runtime: Runtime;
  readonly #stopping = new AbortController();
  readonly #prefix: string;
  #running: Promise<void> = Promise.resolve();

  constructor(session: Session, options: ElectionOptions, runtime: Runtime) {
    this.#session = session;
    this.#options = options;
    this.#runtime = runtime;
    this.#prefix = `candidate-${runtime.random.nonce()}-`;
  }

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && this.#session.state !== 'closed') {
      try {
        await this.#stand();
      } catch (error) {
        this.#runtime.log.debug({ err: error }, 'the election was interrupted; standing again');
      }
      await delay(this.#runtime.clock, retryMs, signal);
    }
    await this.#withdraw().catch(() => undefined); // The candidate is ephemeral and leaves with the session.
  }

  /** Once through the diagram. */
  async #stand(): Promise<void> {
    const { signal } = this.#stopping;
    const candidacy = await this.#candidate();
    if (candidacy === null || !(await this.#firstInLine(candidacy)) || signal.aborted) return;
    const term = await this.#win(candidacy);
    if (term !== null) await this.#lead(term, candidacy);
  }

  /** This session's candidate; made when there is none. One that an earlier session left is deleted. */
  async #candidate(): Promise<Candidacy | null> {
    const session = this.#session.sessionId;
    if (session === null || this.#session.state !== 'connected') return null;
    await this.#session.sync(); // A create whose reply was lost shows now, by the nonce in its name.
    for (const name of await this.#names()) {
      if (!name.startsWith(this.#prefix)) continue;
      const path = `${this.#options.path}/${name}`;
      if ((await this.#session.read(path))?.stat.ephemeralOwner === session) return { path, name, session };
      await this.#session.write([{ kind: 'delete', path, version: null }]);
    }
    const path = `${this.#options.path}/${this.#prefix}`;
    const data = Buffer.from(this.#options.id);
    const made = await this.#session.write([{ kind: 'create', path, data, mode: 'ephemeral-sequential' }], {
      session,
    });
    const [created] = made.kind === 'applied' ? made.results : [];
    if (created?.kind !== 'created') return null;
    return { path: created.path, name: created.path.slice(this.#options.path.length + 1), session };
  }

  /** True at the head of the line; else waits for the one before to go, and answers false. */
  async #firstInLine({ name }: Candidacy): Promise<boolean> {
    const line = (await this.#names()).filter((each) => each.startsWith('candidate-'));
    line.sort((x, y) => sequenceOf(x) - sequenceOf(y));
    const at = line.indexOf(name);
    const before = line[at - 1];
    if (at === 0) return true;
    if (before === undefined) return false;
    await new Promise<void>((resolve, reject) => {
      this.#stopping.signal.addEventListener('abort', () => resolve(), { once: true });
      this.#session
        .read(`${this.#options.path}/${before}`, resolve)
        .then((node) => node ?? resolve(), reject);
    });
    return false;
  }

  /** Raises the term while the candidate still stands; null when that fails, or its outcome is not known. */
  async #win({ path, session }: Candidacy): Promise<number | null> {
    const term = await this.#session.read(`${this.#options.path}/term`);
    const candidate = await this.#session.read(path);
    if (term === null || candidate?.stat.ephemeralOwner !== session || !this.#session.trusted()) return null;
    const data = Buffer.from(this.#options.id);
    const { version } = term.stat;
    const outcome = await this.#session.write(
      [
        { kind: 'check', path, version: candidate.stat.version },
        { kind: 'set', path: `${this.#options.path}/term`, data, version },
      ],
      { session },
    );
    return outcome.kind === 'applied' ? version + 1 : null;
  }

  async #lead(term: number, { session }: Candidacy): Promise<void> {
    const stepDown = new AbortController();
    const down = (): void => stepDown.abort();
    const unsubscribe = this.#session.on('state', down);
    this.#stopping.signal.addEventListener('abort', down, { once: true });
    if (
      this.#stopping.signal.aborted ||
      this.#session.sessionId !== session ||
      this.#session.state !== 'connected'
    )
      down();
    const guard = (): WriteOp => ({ kind: 'check', path: `${this.#options.path}/term`, version: term });
    try {
      await this.#options.lead({ term, guard, signal: stepDown.signal });
    } finally {
      unsubscribe();
      this.#stopping.signal.removeEventListener('abort', down);
      stepDown.abort();
    }
  }

  async #withdraw(): Promise<void> {
    if (this.#session.state !== 'connected') return;
    for (const name of await this.#names()) {
      if (!name.startsWith(this.#prefix)) continue;
      await this.#session.write([{ kind: 'delete', path: `${this.#options.path}/${name}`, version: null }]);
    }
  }

  async #names(): Promise<string[]> {
    return (await this.#session.children(this.#options.path)) ?? [];
  }
}

function sequenceOf(name: string): number {
  return Number(name.slice(-10));
}
