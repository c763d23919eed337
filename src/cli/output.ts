// output.ts: how a command shows what it was asked for: as a table for people, as JSON for programs.

import Table from 'cli-table3';
import { type Command, Option } from 'commander';
import type { Terminal } from './terminal.js';

export type Format = 'json' | 'table';
export type OutputFlags = { readonly output?: Format };

export type Column<Row> = readonly [head: string, cell: (row: Row) => unknown];

export function addOutput(command: Command): void {
  const flag = new Option('-o, --output <format>', 'json or table (default: table on a terminal, else json)');
  command.addOption(flag.choices(['json', 'table']));
}

export function formatOf(asked: Format | undefined, { isTty }: Terminal): Format {
  return asked ?? (isTty === true ? 'table' : 'json');
}

/** A row each; as JSON all of them, or `whole`, of which they are a part. */
export function printAll<Row>(
  terminal: Terminal,
  asked: Format | undefined,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  whole: unknown = rows,
): void {
  if (formatOf(asked, terminal) === 'json') return printJson(terminal, whole);
  const head = columns.map(([name]) => name);
  const cells = rows.map((row) => columns.map(([, cell]) => cell(row)));
  terminal.print(tableOf(head, cells));
}

/** A line for each of its fields. */
export function printOne(terminal: Terminal, asked: Format | undefined, value: object): void {
  if (formatOf(asked, terminal) === 'json') return printJson(terminal, value);
  terminal.print(tableOf([], Object.entries(value)));
}

export function printJson(terminal: Terminal, value: unknown): void {
  terminal.print(JSON.stringify(value, null, 2));
}

/** On one line, and without what would steer the terminal. */
export function plain(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.replaceAll(/\p{Cc}/gu, ' ');
}

/** Plain columns, without lines between them: easy to read, and to cut. */
function tableOf(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const table = new Table({
    head: [...head],
    chars: {
      ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
      ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
      ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
    },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows)
    table.push(row.map((cell) => (cell === null || cell === undefined ? '-' : plain(cell))));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
