// output.ts: how a command shows what it was asked for: as a table for people, as JSON for programs.

import Table from 'cli-table3';
import { type Command, Option } from 'commander';
import type { Terminal } from './terminal.js';

export type Format = 'json' | 'table';
export type OutputFlags = { readonly output?: Format };

export function addOutput(command: Command): void {
  const flag = new Option('-o, --output <format>', 'json or table (default: table on a terminal, else json)');
  command.addOption(flag.choices(['json', 'table']));
}

export function formatOf(asked: Format | undefined, { isTty }: Terminal): Format {
  return asked ?? (isTty === true ? 'table' : 'json');
}

/** Plain columns, without lines between them: easy to read, and to cut. */
export function tableOf(
  head: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): string {
  const table = new Table({
    head: [...head],
    chars: {
      ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
      ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
      ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
    },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push(row.map((cell) => cell ?? '-'));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
