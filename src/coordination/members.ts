// members.ts: an ephemeral node that says "I am here", made anew in every session. Owns its upkeep; what it says is its
// maker's. After an expiry the old node may stand for a while, owned by a session that is over and vanishing with it: it is
// deleted and made anew (trap 15).

import { delay, type Runtime, type Service, type Unsubscribe } from '../runtime/index.js';
import type { Session } from './port.js';

const retryMs = 200;

/** Announces `data` at `path`, whose parent exists, until stopped. `start()` resolves once the node stands. */
export function announce(session: Session, path: string, data: Buffer, runtime: Runtime): Service {
  return new Announcement(session, path, data, runtime);
}

class Announcement implements Service {
  readonly #session: Session;
  readonly #path: string;
  readonly #data: Buffer;
  readonly #runtime: Runtime;
  readonly #stopping = new AbortController();
  #unsubscribe: Unsubscribe = () => undefined;
  #upkeep: Promise<void> = Promise.resolve();

  constructor(session: Session, path: string, data: Buffer, runtime: Runtime) {
    this.#session = session;
    this.#path = path;
    this.#data = data;
    this.#runtime = runtime;
  }

  async start(): Promise<void> {
    this.#unsubscribe = this.#session.on('state', ({ state }) => {
      if (state === 'connected') this.#keepUp();
    });
    this.#keepUp();
    await this.#upkeep;
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#stopping.abort();
    await this.#upkeep;
    // Left alone when ZooKeeper is away: the node is ephemeral and leaves with the session.
    await this.#session.write([{ kind: 'delete', path: this.#path, version: null }]);
  }

  /** One upkeep after the other; each ends once the node is this session's, or the session is not connected. */
  #keepUp(): void {
    this.#upkeep = this.#upkeep.then(async () => {
      while (!this.#stopping.signal.aborted && this.#session.state === 'connected') {
        if (await this.#stands().catch(() => false)) return;
        await delay(this.#runtime.clock, retryMs, this.#stopping.signal);
      }
    });
  }

  /** Whether the node is ours now; makes it, or clears the way, when it is not. */
  async #stands(): Promise<boolean> {
    const session = this.#session.sessionId;
    if (session === null) return false;
    const node = await this.#session.read(this.#path);
    if (node?.stat.ephemeralOwner === session) return true;
    const create = { kind: 'create', path: this.#path, data: this.#data, mode: 'ephemeral' } as const;
    const ghost = { kind: 'delete', path: this.#path, version: null } as const;
    const outcome = await this.#session.write(node === null ? [create] : [ghost, create], { session });
    return outcome.kind === 'applied';
  }
}
