// table.ts: results for people: as a table, or as JSON for programs. Owns the flag `-o` and how either looks.

import Table from 'cli-table3';
import { type Command, Option } from 'commander';
import type { Terminal } from './terminal.js';

export type Format = 'json' | 'table';
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
  const table = tableWith({ head: columns.map(([head]) => head) });
  for (const row of rows) table.push(columns.map(([, cell]) => textOf(cell(row))));
  terminal.print(linesOf(table));
}

/** A line for each of its fields. */
export function printOne(terminal: Terminal, format: Format, value: object): void {
  if (format === 'json') return printJson(terminal, value);
  const table = tableWith({});
  for (const [name, field] of Object.entries(value)) table.push([name, textOf(field)]);
  terminal.print(linesOf(table));
}

/** Without the blanks that fill the last column. */
function linesOf(table: Table.Table): string {
  return table.toString().replaceAll(/ +$/gm, '');
}

function printJson(terminal: Terminal, value: unknown): void {
  terminal.print(JSON.stringify(value, null, 2));
}

function tableWith(options: { head?: string[] }): Table.Table {
  const none = { head: [], border: [], 'padding-left': 0, 'padding-right': 2 };
  return new Table({ ...options, style: none, chars: withoutLines });
}

const withoutLines = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '' },
};

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
