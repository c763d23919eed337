// terminal.ts: what a command has of the process around it: its streams and its environment. Tests give it others.

import type { Readable } from 'node:stream';

export type Terminal = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  /** Whether people read what is printed. */
  readonly isTty?: boolean;
  /** A result, for programs: one line, without its end. */
  print(line: string): void;
  /** For people. */
  say(line: string): void;
};
