// watched.ts: a znode, or the list of its children, as a value that follows its changes. Owns the loop around ZooKeeper's
// one-shot watches: read and watch, call back, wait, read again. Changes in quick succession may show as one. The last is
// never missed: the watch is set by the same read that precedes the callback, it fires with the loss of its session, and
// every connect looks again.

import { ClaimkeeperError, type RetryPolicy, retryDelayMs } from '../domain/index.js';
import { delay, type Runtime, type Unsubscribe } from '../runtime/index.js';
import type { Session, WatchListener, Znode } from './port.js';

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
  const stampOf = (node: Znode | null): string =>
    node === null ? 'missing' : `${node.stat.czxid} ${node.stat.mzxid}`;
  const read = (watcher?: WatchListener): Promise<Znode | null> => session.read(path, watcher);
  return new Watcher(session, { path, read, stampOf, onValue: onNode }, runtime);
}

/** As {@link watchNode}, with the names of the children of `path`, sorted; the node itself must stand. */
export function watchChildren(
  session: Session,
  path: string,
  onNames: (names: readonly string[]) => void | Promise<void>,
  runtime: Runtime,
): Watch {
  const read = async (watcher?: WatchListener): Promise<readonly string[]> => {
    const names = await session.children(path, watcher);
    // No watch was set: the loop must not wait for one.
    if (names === null) throw new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', `there is no znode ${path}`);
    return names.sort();
  };
  const stampOf = (names: readonly string[]): string => names.join('/');
  return new Watcher(session, { path, read, stampOf, onValue: onNames }, runtime);
}

/** What is watched: `read` sets the watch it is given, `stampOf` tells one value from the next. */
type Watched<T> = {
  readonly path: string;
  read(watcher?: WatchListener): Promise<T>;
  stampOf(value: T): string;
  onValue(value: T): void | Promise<void>;
};

class Watcher<T> implements Watch {
  readonly #session: Session;
  readonly #watched: Watched<T>;
  readonly #runtime: Runtime;
  readonly #stopping = new AbortController();
  readonly #unsubscribe: Unsubscribe;
  readonly #running: Promise<void>;
  /** Of the value that was last called back with, and the session it was read in. */
  #stamp = '';
  /** Whether a watch of ours waits in the session: another is not set on top of it. */
  #armed = false;
  /** Something may have changed since the last look began. */
  #stirred = false;
  #wake: () => void = () => undefined;

  constructor(session: Session, watched: Watched<T>, runtime: Runtime) {
    this.#session = session;
    this.#watched = watched;
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

  /** Reads, and calls back when the value is another than last time; false when either failed. */
  async #look(): Promise<boolean> {
    const { path, stampOf, onValue } = this.#watched;
    try {
      const value = await this.#read();
      const stamp = `${this.#session.sessionId} ${stampOf(value)}`;
      if (this.#over() || stamp === this.#stamp) return true;
      await onValue(value);
      this.#stamp = stamp;
      return true;
    } catch (error) {
      if (!this.#over())
        this.#runtime.log.warn({ err: error, path }, 'a znode could not be followed; trying again');
      return false;
    }
  }

  async #read(): Promise<T> {
    if (this.#armed) return this.#watched.read();
    let fired = false;
    const value = await this.#watched.read(() => {
      fired = true;
      this.#armed = false;
      this.#stir();
    });
    this.#armed = !fired;
    return value;
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
