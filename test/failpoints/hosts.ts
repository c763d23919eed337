// hosts.ts: the processes in which the product runs (host.mjs). Owns their start in advance, their reuse where no kill is
// involved, and their end.

import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { rolldown } from 'rolldown';
import type { ConnectOptions } from '../../src/index.js';
import { eventually } from '../support/eventually.js';

export type Order = 'work' | 'leave' | 'lead' | 'submit' | 'get' | 'replay' | 'cancel' | 'resolve' | 'close';

/** One connection of the product in a process, by a name of its own. */
export type Party = {
  readonly host: Host;
  /** Resolves with the product's answer. @throws Error whose message is the product's code, or that the process has ended */
  ask(order: Order, argument?: unknown): Promise<unknown>;
};

const ps = promisify(execFile);

/** The host and all it imports in one file: it starts in half the time, and many are started. */
export async function bundleHost(folder: string): Promise<string> {
  const input = fileURLToPath(new URL('./host.mjs', import.meta.url));
  const file = join(folder, 'host.mjs');
  const bundle = await rolldown({ input, platform: 'node' });
  await bundle.write({ file, format: 'esm', codeSplitting: false });
  await bundle.close();
  return file;
}

type Answer = { readonly number: number; readonly value?: unknown; readonly error?: string };
type Waiting = { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void };

export class Host {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  readonly ready: Promise<unknown>;
  #orders = 0;

  constructor(program: string, outsideUrl: string) {
    const { PATH, TEST_LOG = '' } = process.env;
    this.#child = fork(program, { env: { PATH, TEST_LOG, OUTSIDE_URL: outsideUrl }, execArgv: [] });
    this.ready = new Promise((resolve, reject) => this.#waiting.set(0, { resolve, reject }));
    this.#child.on('message', (answer: Answer) => this.#onAnswer(answer));
    this.#exited = once(this.#child, 'exit').then(() => this.#onExit());
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async connect(name: string, options: ConnectOptions): Promise<Party> {
    await this.#order(name, 'connect', options);
    return { host: this, ask: (order, argument) => this.#order(name, order, argument) };
  }

  /** Resolves once every order given so far has begun. */
  async begun(): Promise<void> {
    await this.#order('', 'ping');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Resolves once the process runs no more; the signal alone is only on its way. */
  async freeze(): Promise<void> {
    this.#child.kill('SIGSTOP');
    const look = async (): Promise<void> => {
      const { stdout } = await ps('ps', ['-o', 'stat=', '-p', String(this.pid)]);
      if (!stdout.trim().startsWith('T')) throw new Error(`its state is ${stdout.trim()}`);
    };
    await eventually(look, { what: `process ${this.pid} is frozen` });
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  #order(name: string, order: string, argument?: unknown): Promise<unknown> {
    this.#orders += 1;
    const number = this.#orders;
    const answer = new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#child.send({ number, name, order, argument }, (error) => {
        if (error !== null) reject(new Error('the process has ended'));
      });
    });
    answer.catch(() => undefined); // Of a victim that is killed, often nobody waits for an answer.
    return answer;
  }

  #onAnswer({ number, value, error }: Answer): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }

  #onExit(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error('the process has ended'));
    this.#waiting.clear();
  }
}

/** Hosts, some of them started before they are asked for. */
export class Hosts {
  readonly #program: string;
  readonly #outsideUrl: string;
  readonly #ahead: number;
  readonly #all = new Set<Host>();
  readonly #idle: Host[] = [];

  constructor(program: string, outsideUrl: string, ahead: number) {
    this.#program = program;
    this.#outsideUrl = outsideUrl;
    this.#ahead = ahead;
    this.#fill();
  }

  async take(): Promise<Host> {
    const host = this.#idle.shift() ?? this.#start();
    this.#fill();
    await host.ready;
    return host;
  }

  /** All of its connections are closed. */
  giveBack(host: Host): void {
    this.#idle.unshift(host);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((host) => host.kill()));
  }

  #fill(): void {
    while (this.#idle.length < this.#ahead) this.#idle.push(this.#start());
  }

  #start(): Host {
    const host = new Host(this.#program, this.#outsideUrl);
    host.ready.catch(() => undefined); // Whoever takes it learns of it.
    this.#all.add(host);
    return host;
  }
}
