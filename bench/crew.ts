// crew.ts: the processes of one run, from the benchmark's side: each asked over its channel, all ended with the run.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Enlistment, Order, Orders, Reply, Role } from './member.js';

const program = fileURLToPath(new URL('./member.js', import.meta.url));
/** Of the first reply, which says that the process is ready. */
const readySerial = 0;

type Waiting = { resolve(value: never): void; reject(error: Error): void };

export class Member<R extends Role> {
  readonly role: R;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #serial = readySerial;

  private constructor(enlistment: Enlistment & { role: R }) {
    this.role = enlistment.role;
    this.#child = fork(program, [JSON.stringify(enlistment)], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (reply: Reply) => this.#settle(reply));
    this.#child.once('exit', (code, signal) => {
      const error = new Error(`the ${this.role} of ${enlistment.entrant} ended (${signal ?? code})`);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  /** Resolves once it is connected. */
  static async start<R extends Role>(enlistment: Enlistment & { role: R }): Promise<Member<R>> {
    const member = new Member<R>(enlistment);
    await new Promise<never>((resolve, reject) => member.#waiting.set(readySerial, { resolve, reject }));
    return member;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Operations that it has sent to ZooKeeper in transactions. */
  operations(): Promise<number> {
    return this.#request('operations', []) as Promise<number>;
  }

  ask<Name extends keyof Orders[R] & string>(
    name: Name,
    ...args: Orders[R][Name] extends (...args: infer Args) => unknown ? Args : never
  ): Promise<Orders[R][Name] extends (...args: never[]) => infer Value ? Awaited<Value> : never> {
    return this.#request(name, args) as never;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  #request(name: string, args: readonly unknown[]): Promise<unknown> {
    this.#serial += 1;
    const order: Order = { serial: this.#serial, name, args };
    return new Promise((resolve, reject) => {
      this.#waiting.set(order.serial, { resolve, reject });
      this.#child.send(order);
    });
  }

  #settle({ serial, value, error }: Reply): void {
    const waiting = this.#waiting.get(serial);
    this.#waiting.delete(serial);
    if (error === undefined) waiting?.resolve(value as never);
    else waiting?.reject(new Error(error));
  }
}
