// command-line.ts: a command line as a test runs it, within its own process: what comes in, and all that comes out.

import { PassThrough, Readable } from 'node:stream';
import { run } from '../../src/cli/program.js';

export type Ran = {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What was drawn on the terminal. */
  readonly drawn: string;
};

type Around = {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Both outputs are a terminal's. */
  readonly watched?: boolean;
};

export async function cli(args: readonly string[], around: Around = {}): Promise<Ran> {
  const { env = {}, stdin = '', watched = false } = around;
  const out: string[] = [];
  const err: string[] = [];
  const screen = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
  let drawn = '';
  screen.on('data', (data: Buffer) => {
    drawn += data.toString();
  });
  const code = await run(args, '1.2.3', {
    env,
    stdin: Readable.from([stdin]),
    ...(watched ? { isTty: true, screen } : {}),
    print: (line) => out.push(line),
    say: (line) => err.push(line),
  });
  return { code, out: out.join('\n'), err: err.join('\n'), drawn };
}
