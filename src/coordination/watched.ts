// watched.ts: a znode as a value that follows its changes. Owns the loop around ZooKeeper's one-shot watches: read and
// watch, call back, wait, read again. Changes in quick succession may show as one. The last is never missed: the watch is
// set by the same read that precedes the callback, it fires with the loss of its session, and every connect looks again.

import { type RetryPolicy, retryDelayMs } from '../domain/index.js';
import { delay, type Runtime, type Unsubscribe } from '../runtime/index.js';
import type { Session, Znode } from './port.js';

export type Watch = {
  /** Idempotent; resolves once no callback runs and none will. Not to be awaited within the callback. */
  stop(): Promise<void>;
};

/** Before the next look after a failure: up to 100 ms, doubling to 5 s. */
const lookAgain: RetryPolicy = {
  attempts: Number.POSITIVE_INFINITY,
  delayMsMin: 100,
  delayMsMax: 5_000,
  factor: 2,
};

/**
 * Calls `onValue` with the decoded value of `path`, null when there is no such node: at once, after every change, and once
 * in every new session. Never concurrently. When `decode` or `onValue` throws, that is logged and tried again after a while.
 */
export function watchNode<T>(
  session: Session,
  path: string,
  decode: (data: Buffer, version: number) => T,
  onValue: (value: T | null) => void | Promise<void>,
  runtime: Runtime,
): Watch {
  const onNode = (node: Znode | null): void | Promise<void> =>
    onValue(node === null ? null : decode(node.data, node.stat.version));
  return watchZnode(session, path, onNode, runtime);
}

/** As {@link watchNode}, with the znode as it was read. */
export function watchZnode(
  session: Session,
  path: string,
  onNode: (node: Znode | null) => void | Promise<void>,
  runtime: Runtime,
): Watch {
  return new Watcher(session, path, onNode, runtime);
}

class Watcher implements Watch {
  readonly #session: Session;
  readonly #path: string;
  readonly #onNode: (node: Znode | null) => void | Promise<void>;
  readonly #runtime: Runtime;
  readonly #stopping = new AbortController();
  readonly #unsubscribe: Unsubscribe;
  readonly #running: Promise<void>;
  /** Of the node that was last called back with, and the session it was read in. */
  #stamp = '';
  /** Whether a watch of ours waits in the session: another is not set on top of it. */
  #armed = false;
  /** Something may have changed since the last look began. */
  #stirred = false;
  #wake: () => void = () => undefined;

  constructor(
    session: Session,
    path: string,
    onNode: (node: Znode | null) => void | Promise<void>,
    runtime: Runtime,
  ) {
    this.#session = session;
    this.#path = path;
    this.#onNode = onNode;
    this.#runtime = runtime;
    this.#unsubscribe = session.on('state', ({ state }) => {
      if (state === 'connected' || state === 'closed') this.#stir();
    });
    this.#running = this.#run();
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    this.#unsubscribe();
    this.#stir();
    return this.#running;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#over()) {
      this.#stirred = false;
      if (await this.#look()) {
        failures = 0;
        await this.#untilStirred();
      } else {
        failures += 1;
        const delayMs = retryDelayMs(failures, lookAgain, this.#runtime.random.roll());
        await delay(this.#runtime.clock, delayMs, this.#stopping.signal);
      }
    }
  }

  /** Reads, and calls back when the node is another than last time; false when either failed. */
  async #look(): Promise<boolean> {
    try {
      const node = await this.#read();
      const version = node === null ? 'missing' : `${node.stat.czxid} ${node.stat.mzxid}`;
      const stamp = `${this.#session.sessionId} ${version}`;
      if (this.#over() || stamp === this.#stamp) return true;
      await this.#onNode(node);
      this.#stamp = stamp;
      return true;
    } catch (error) {
      const path = this.#path;
      if (!this.#over())
        this.#runtime.log.warn({ err: error, path }, 'a znode could not be followed; trying again');
      return false;
    }
  }

  async #read(): Promise<Znode | null> {
    if (this.#armed) return this.#session.read(this.#path);
    let fired = false;
    const node = await this.#session.read(this.#path, () => {
      fired = true;
      this.#armed = false;
      this.#stir();
    });
    this.#armed = !fired;
    return node;
  }

  #over(): boolean {
    return this.#stopping.signal.aborted || this.#session.state === 'closed';
  }

  #stir(): void {
    this.#stirred = true;
    this.#wake();
  }

  async #untilStirred(): Promise<void> {
    if (this.#stirred) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
