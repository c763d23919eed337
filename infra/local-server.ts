// local-server.ts: one server process of ours on loopback: its guard, its port, its folder, its end. Owns how a server is
// started, killed, frozen and started again; which programs there are and how they are asked is servers.ts.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { resolve as absolute, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type LocalServer = {
  readonly url: string;
  readonly port: number;
  /** Of the server itself, not of its guard; another one after a restart. */
  readonly pid: number;
  /** SIGKILL; resolves once the process is gone. */
  kill(): Promise<void>;
  /** After `kill` or `stop`: the same port and folder (`stop` has emptied a temporary one); resolves once it answers. */
  restart(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** SIGTERM; resolves once the process and a temporary folder are gone. Idempotent. */
  stop(): Promise<void>;
};

export type Program = {
  readonly name: string;
  /** Null: a temporary folder, removed with the server. */
  readonly dataDir: string | null;
  url(port: number): string;
  /** Prepares the folder; returns the command line. */
  prepare(port: number, folder: string): Promise<{ command: string; args: readonly string[] }>;
  /** What to send, and whether the answer comes from this very process, ready to serve. */
  readonly question: string;
  ready(answer: string, server: { pid: number; folder: string }): boolean;
};

const readyMsMax = 30_000;
const stopMsMax = 10_000;
/** Of a server that does not start: why is said above the traces of those that asked meanwhile, ten lines each. */
const logLinesShown = 80;
const probeMs = 25;
// Below the ports that Linux, macOS and Windows hand to outgoing connections: a client that dials a dead server's port
// over and over must not be given that port for itself (it would be connected to itself).
const portMin = 20_000;
const portMax = 30_000;

export async function startLocal(program: Program): Promise<LocalServer> {
  const folder = absolute(program.dataDir ?? (await mkdtemp(join(tmpdir(), `claimkeeper-${program.name}-`))));
  for (;;) {
    const server = new GuardedServer(program, folder, await freePort());
    try {
      await server.restart();
      return server;
    } catch (error) {
      await server.stop();
      // Only where another process took the port since it was tried is there a point in trying the next one.
      if (await canListen(server.port)) throw error;
    }
  }
}

class GuardedServer implements LocalServer {
  readonly url: string;
  readonly port: number;
  readonly #program: Program;
  readonly #folder: string;
  #guard: Guard | null = null;

  constructor(program: Program, folder: string, port: number) {
    this.#program = program;
    this.#folder = folder;
    this.port = port;
    this.url = program.url(port);
  }

  get pid(): number {
    if (this.#guard?.pid == null) throw new Error(`${this.#program.name} is not running`);
    return this.#guard.pid;
  }

  async restart(): Promise<void> {
    if (this.#guard?.pid != null) throw new Error(`${this.#program.name} is already running`);
    await mkdir(this.#folder, { recursive: true });
    if (this.#guard === null) {
      const { command, args } = await this.#program.prepare(this.port, this.#folder);
      const removeFolder = this.#program.dataDir === null ? this.#folder : null;
      this.#guard = new Guard({ command, args, logFile: this.#logFile, removeFolder });
    }
    const pid = await this.#guard.start();
    await this.#answers(this.#guard, pid);
  }

  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL');
    await this.#guard?.serverGone();
  }

  freeze(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async stop(): Promise<void> {
    const guard = this.#guard;
    this.#guard = null;
    await guard?.end();
    // The guard removes it too, for a starter that cannot; here it makes sure of a start that failed before the guard.
    if (this.#program.dataDir === null) await rm(this.#folder, { recursive: true, force: true });
  }

  get #logFile(): string {
    return join(this.#folder, 'server.log');
  }

  async #answers(guard: Guard, pid: number): Promise<void> {
    const deadline = performance.now() + readyMsMax;
    const { name, question, ready } = this.#program;
    while (!ready(await ask(this.port, question), { pid, folder: this.#folder })) {
      const exited = guard.pid === null;
      if (exited || performance.now() > deadline) {
        const what = exited ? `ended at once (${guard.lastExit})` : `does not answer after ${readyMsMax} ms`;
        throw new Error(`${name} on port ${this.port} ${what}:\n${await this.#logTail()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, probeMs));
    }
  }

  async #logTail(): Promise<string> {
    const log = await readFile(this.#logFile, 'utf8').catch(() => '');
    return log.trim().split('\n').slice(-logLinesShown).join('\n') || '(its log is empty)';
  }
}

type GuardOrder = {
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly removeFolder: string | null;
};

/** This process's end of guard.mjs. It keeps no process alive: whoever starts servers decides how long it stays. */
class Guard {
  pid: number | null = null;
  lastExit = '';
  /** Of the last start, also when that one has ended already. */
  #startedPid: number | null = null;
  readonly #child: ChildProcess;
  readonly #command: string;
  readonly #ended: Promise<void>;
  #onLine: () => void = () => undefined;

  constructor(order: GuardOrder) {
    this.#command = order.command;
    const program = fileURLToPath(new URL('./guard.mjs', import.meta.url));
    this.#child = spawn(process.execPath, [program, JSON.stringify(order)], {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, NODE_OPTIONS: '' }, // a debugger's or a test runner's options are not for the guard
    });
    const { stdin, stdout } = this.#child;
    if (stdin === null || stdout === null) throw new Error('the guard has no pipes');
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
    this.#child.once('error', (error) => this.#read(`exit ${error.message}`));
    this.#child.once('exit', () => this.#read('exit its guard ended'));
    stdin.on('error', () => undefined); // The guard is gone: its exit says so.
    createInterface({ input: stdout }).on('line', (line) => this.#read(line));
    this.#child.unref();
    for (const pipe of [stdin, stdout]) if ('unref' in pipe) (pipe as unknown as { unref(): void }).unref();
  }

  async start(): Promise<number> {
    this.lastExit = '';
    this.#startedPid = null;
    this.#child.stdin?.write('start\n');
    await this.#until(() => this.#startedPid !== null || this.lastExit !== '');
    if (this.#startedPid === null) throw new Error(`${this.#command} cannot be started: ${this.lastExit}`);
    return this.#startedPid;
  }

  serverGone(): Promise<void> {
    return this.#until(() => this.pid === null);
  }

  async end(): Promise<void> {
    this.#child.stdin?.end();
    await withinDeadline(this.#ended, `the guard of ${this.#command} does not end`);
  }

  #read(line: string): void {
    const [kind, ...rest] = line.split(' ');
    if (kind === 'pid') {
      this.pid = Number(rest[0]);
      this.#startedPid = this.pid;
    }
    if (kind === 'exit') {
      this.pid = null;
      this.lastExit = rest.join(' ');
    }
    this.#onLine();
  }

  #until(holds: () => boolean): Promise<void> {
    const held = new Promise<void>((resolve) => {
      this.#onLine = () => holds() && resolve();
      this.#onLine();
    });
    return withinDeadline(held, `the guard of ${this.#command} says nothing`);
  }
}

/** Its timer also keeps the event loop alive, which the guard's own handles do not. */
async function withinDeadline<T>(result: Promise<T>, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${otherwise} within ${stopMsMax} ms`)), stopMsMax);
  });
  try {
    return await Promise.race([result, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a server on loopback answers to one line; empty when nothing answers. */
export function ask(port: number, question: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect({ port, host: '127.0.0.1', timeout: 1_000 });
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(question));
    socket.on('data', (text) => {
      answer += text;
      // Redis keeps the connection; ZooKeeper closes it.
      if (question.endsWith('\r\n')) socket.destroy();
    });
    socket.on('timeout', () => socket.destroy());
    socket.on('error', () => undefined); // Nothing listens there yet: the answer stays empty.
    socket.on('close', () => resolve(answer));
  });
}

/** A port that nothing listens on, and that no outgoing connection is given (see above). */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(portMin, portMax);
    if (await canListen(port)) return port;
  }
  throw new Error(`no free port between ${portMin} and ${portMax}`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
