// legacy.ts: what the driver would leave behind if it ended now. Owns its line to the undertaker, who then puts it away.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class Legacy {
  readonly #undertaker: ChildProcess;

  constructor() {
    const program = fileURLToPath(new URL('./undertaker.js', import.meta.url));
    this.#undertaker = spawn(process.execPath, [program], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { PATH: process.env.PATH },
    });
    this.#undertaker.stdin?.on('error', () => undefined); // It is gone, and cannot be told.
    this.#undertaker.unref();
  }

  /** Killed in the end unless it has ended before. */
  add(child: ChildProcess): void {
    this.#tell(`pid ${child.pid}`);
    child.once('exit', () => this.#tell(`gone ${child.pid}`));
  }

  /** A disk of its own for `path`, in memory. @throws where mounting is not allowed */
  async mount(path: string, sizeMb: number): Promise<void> {
    this.#tell(`mount ${path}`); // Before: there is no moment in which it is there and nobody knows.
    await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMb}m`, 'claimkeeper-chaos', path]);
  }

  async unmount(path: string): Promise<void> {
    await run('umount', [path]);
    this.#tell(`unmounted ${path}`);
  }

  /** Whatever is left is put away. */
  async close(): Promise<void> {
    const ended = once(this.#undertaker, 'exit');
    this.#undertaker.ref();
    this.#undertaker.stdin?.end();
    await ended;
  }

  #tell(line: string): void {
    this.#undertaker.stdin?.write(`${line}\n`);
  }
}
