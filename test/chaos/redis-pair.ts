// redis-pair.ts: two Redis servers, of which one is the primary and the other follows it, as an operator runs them: by hand.

import { ask } from '../../infra/local-server.js';
import { type LocalServer, startRedis } from '../../infra/servers.js';
import { eventually } from '../support/eventually.js';

export class RedisPair {
  #primary: LocalServer;
  #replica: LocalServer;
  /** Called with the port of another primary. */
  onPrimary: (port: number) => void = () => undefined;

  constructor(primary: LocalServer, replica: LocalServer) {
    this.#primary = primary;
    this.#replica = replica;
  }

  static async start(): Promise<RedisPair> {
    const [primary, replica] = await Promise.all([startRedis(), startRedis()]);
    const pair = new RedisPair(primary, replica);
    for (const { port } of [primary, replica]) await configure(port);
    await pair.#follow();
    return pair;
  }

  get port(): number {
    return this.#primary.port;
  }

  async flush(): Promise<void> {
    await command(this.#primary.port, 'FLUSHALL', '+OK');
  }

  /** Comes back empty, after `awayMs`; the replica then empties itself, too. */
  async restartEmpty(awayMs: number): Promise<void> {
    await this.#primary.kill();
    await new Promise((resolve) => setTimeout(resolve, awayMs));
    await this.#primary.restart();
    await configure(this.#primary.port);
    await this.#follow();
  }

  /** The replica hears nothing for `lagMs`, and is made the primary as it then is; the old one follows it. */
  async failOver(lagMs: number): Promise<void> {
    await command(this.#replica.port, 'REPLICAOF NO ONE', '+OK');
    await new Promise((resolve) => setTimeout(resolve, lagMs));
    [this.#primary, this.#replica] = [this.#replica, this.#primary];
    this.onPrimary(this.#primary.port);
    await this.#follow();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#primary.stop(), this.#replica.stop()]);
  }

  async #follow(): Promise<void> {
    await command(this.#replica.port, `REPLICAOF 127.0.0.1 ${this.#primary.port}`, '+OK');
    await eventually(() => command(this.#replica.port, 'INFO replication', 'master_link_status:up'), {
      what: 'the replica follows the primary',
      deadlineMs: 15_000,
    });
  }
}

/** A replica follows at once, and keeps no file of what it was sent: it would be loaded by the next start. */
async function configure(port: number): Promise<void> {
  await command(port, 'CONFIG SET repl-diskless-sync-delay 0', '+OK');
  await command(port, 'CONFIG SET rdb-del-sync-files yes', '+OK');
}

async function command(port: number, line: string, expected: string): Promise<void> {
  const answer = await ask(port, `${line}\r\n`);
  if (!answer.includes(expected)) throw new Error(`Redis answered ${line} with ${answer || 'nothing'}`);
}
