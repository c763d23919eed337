// built-program.ts: the built program as people run it: a process, and what it says.

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.js';

export const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

export type Running = {
  readonly process: ChildProcess;
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | string>;
  /** Both its outputs, until now. */
  said(): string;
  /** Resolves with the match once the output has it. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves with the URL of its API once that listens. */
  url(): Promise<string>;
};

export function startProgram(args: readonly string[], env: Readonly<Record<string, string>>): Running {
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const says: Running['says'] = (pattern) =>
    eventually(
      () => {
        const match = pattern.exec(output);
        if (match === null) throw new Error(output);
        return match;
      },
      { deadlineMs: 20_000, what: `${args[0]} says ${pattern}` },
    );
  return {
    process: child,
    exited: new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code ?? 'unknown'));
    }),
    said: () => output,
    says,
    url: async () => (await says(/listening on (\S+)/))[1] ?? '',
  };
}

/** As {@link startProgram}; killed when the test is over. */
export function claimkeeper(args: readonly string[], env: Readonly<Record<string, string>>): Running {
  const running = startProgram(args, env);
  onTestFinished(() => void running.process.kill('SIGKILL'));
  return running;
}
