// member.ts: one process of the product, over all its lives: started by the product's own command line, with a network of its
// own, killed, frozen, stopped and started again. Owns the record of its lives, and what it says of its trust in its session.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ProcessLife, Role, TrustLine } from './evidence.js';
import type { Legacy } from './legacy.js';
import type { Network } from './network.js';

export type MemberSettings = {
  readonly name: string;
  readonly role: Role;
  /** After the command's name: arguments and flags. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly network: Network;
  readonly logFile: string;
};

type Observers = {
  readonly legacy: Legacy;
  readonly onTrust: (line: TrustLine) => void;
  /** A line of its log at level `error`. */
  readonly onError: (name: string, line: string) => void;
};

type Life = { -readonly [Key in keyof ProcessLife]: ProcessLife[Key] };

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const heapMb = 128;
const startMsMax = 30_000;
/** Between two attempts to start: ZooKeeper may be away. */
const againMs = 500;
/** A stop waits for running tasks, for their abort, and for ZooKeeper; see `drainMsMax` in installation.ts. */
const stopMsMax = 25_000;

export class Member {
  readonly name: string;
  readonly role: Role;
  readonly network: Network;
  readonly lives: Life[] = [];
  readonly #settings: MemberSettings;
  readonly #observers: Observers;
  readonly #log: WriteStream;
  #child: ChildProcess | null = null;
  /** What ends the life that it has now, where that was asked for. */
  #asked: 'killed' | 'stopped' | null = null;
  #closed = false;

  constructor(settings: MemberSettings, observers: Observers) {
    this.name = settings.name;
    this.role = settings.role;
    this.network = settings.network;
    this.#settings = settings;
    this.#observers = observers;
    this.#log = createWriteStream(settings.logFile, { flags: 'a' });
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves once it serves; tries again while it cannot start, as whatever keeps processes running does. */
  async start(): Promise<void> {
    const deadline = performance.now() + startMsMax;
    while (!this.#closed && !(await this.#startOnce())) {
      if (performance.now() > deadline) throw new Error(`${this.name} does not start, see its log`);
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }

  async #startOnce(): Promise<boolean> {
    const { args, env } = this.#settings;
    const child = fork(main, [this.role, ...args], {
      env: { PATH: process.env.PATH, ...env },
      execArgv: [`--max-old-space-size=${heapMb}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#observers.legacy.add(child);
    this.#child = child;
    this.#asked = null;
    const pid = child.pid ?? 0;
    const life: Life = { name: this.name, role: this.role, pid, from: Date.now(), to: null, end: 'running' };
    this.lives.push(life);
    this.#listen(child, pid);
    let served = false;
    const exited = once(child, 'exit').then(() => {
      life.to = Date.now();
      // What could not even start, as while ZooKeeper is away, has ended in order.
      life.end = this.#asked ?? (served ? 'crashed' : 'stopped');
      if (this.#child === child) this.#child = null;
      if (life.end === 'crashed' && !this.#closed) void this.start().catch(() => undefined); // Its log says why.
      return false;
    });
    served = await Promise.race([once(child, 'message').then(() => true), exited]);
    return served;
  }

  async kill(): Promise<void> {
    this.#asked = 'killed';
    await this.#end('SIGKILL');
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  /** For good: `stop` where it runs; it will not start again. */
  close(): Promise<boolean> {
    this.#closed = true;
    return this.stop();
  }

  /** SIGTERM, as a deploy does it. False: it had not ended in time, and was killed. */
  async stop(): Promise<boolean> {
    this.#asked ??= 'stopped';
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      void this.kill();
    }, stopMsMax);
    await this.#end('SIGTERM');
    clearTimeout(timer);
    return !late;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  #listen(child: ChildProcess, pid: number): void {
    if (child.stderr === null) return;
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.#log.write(`${line}\n`);
      if (line.startsWith('{"level":50')) this.#observers.onError(this.name, line);
      if (this.role !== 'worker') return;
      const trust = trustIn(line);
      if (trust !== null) this.#observers.onTrust({ pid, ...trust });
    });
  }
}

/** What a line of a worker's log says of its trust in its session; null: nothing. */
export function trustIn(line: string): Omit<TrustLine, 'pid'> | null {
  const says = (message: string): boolean => line.endsWith(`"msg":"${message}"}`);
  const gained = says('ZooKeeper session connected');
  if (!gained && !says('ZooKeeper session lost') && !says('the lease has ended')) return null;
  const { sessionId, time } = JSON.parse(line) as { sessionId?: string | null; time: number };
  return { session: sessionId ?? null, trusted: gained, at: time };
}
