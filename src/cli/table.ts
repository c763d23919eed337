// table.ts: things of which each command prints one or many, in the format of `-o`; how a table looks is output.ts.

import { type Command, Option } from 'commander';
import { type Format, tableOf } from './output.js';
import type { Terminal } from './terminal.js';

export type Column<Row> = readonly [head: string, cell: (row: Row) => unknown];

export function addOutput(command: Command, format: Format): void {
  command.addOption(
    new Option('-o, --output <format>', 'how to print').choices(['json', 'table']).default(format),
  );
}

/** A row each. */
export function printAll<Row>(
  terminal: Terminal,
  format: Format,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): void {
  if (format === 'json') return printJson(terminal, rows);
  const head = columns.map(([name]) => name);
  const cells = rows.map((row) => columns.map(([, cell]) => textOf(cell(row))));
  terminal.print(tableOf(head, cells));
}

/** A line for each of its fields. */
export function printOne(terminal: Terminal, format: Format, value: object): void {
  if (format === 'json') return printJson(terminal, value);
  const cells = Object.entries(value).map(([name, field]) => [name, textOf(field)]);
  terminal.print(tableOf([], cells));
}

function printJson(terminal: Terminal, value: unknown): void {
  terminal.print(JSON.stringify(value, null, 2));
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
