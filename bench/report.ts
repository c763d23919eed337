// report.ts: what a run of the benchmark leaves: everything as JSON, tables as Markdown. The chart is chart.ts.

import type { Figure } from './figures.js';
import type { Machine } from './machine.js';
import type { CaseResult, Results } from './results.js';
import { judged, type Verdict } from './targets.js';

export type Report = {
  readonly machine: Machine;
  /** Of the peers, by package. */
  readonly versions: Readonly<Record<string, string>>;
  readonly begun: string;
  readonly rounds: number;
  readonly tasks: number;
  readonly results: Results;
  readonly verdicts: readonly Verdict[];
};

export function reportOf(measured: Omit<Report, 'verdicts'>): Report {
  return { ...measured, verdicts: judged(measured.results) };
}

export function markdownOf({ machine, versions, begun, rounds, tasks, results, verdicts }: Report): string {
  const all = Object.values(results);
  const runs = all.flatMap((result) => result.runs);
  const disturbed = runs.filter(({ discarded }) => discarded === 'disturbed').length;
  const failed = runs.filter(({ discarded }) => discarded?.startsWith('failed')).length;
  return [
    `Begun ${begun}; ${rounds} rounds, ${tasks} tasks a run unless its case takes fewer. Of ${runs.length} runs, ${disturbed} were`,
    `disturbed by other load and made again, and ${failed} failed. Medians, with the smallest and the largest in brackets.`,
    '',
    ...table(['on', ''], Object.entries({ ...machine, ...versions })),
    '',
    ...table(['target', 'bound', 'found', ''], verdicts.map(verdictRow)),
    ...all.flatMap((result) => ['', `**${result.title}**`, '', ...tableOf(result)]),
    '',
  ].join('\n');
}

function verdictRow({ what, bound, found, met }: Verdict): string[] {
  const said = met === null ? 'not measured' : met ? 'met' : '**missed**';
  return [what, `${bound[0]} ${shown(bound[1])}`, found === null ? '–' : shown(found), said];
}

/** Parts of the CPU and of the memory are in the JSON alone. */
function tableOf({ metric, entries }: CaseResult): string[] {
  const names = [...new Set(entries.flatMap(({ figures }) => Object.keys(figures)))];
  const columns = names.filter((name) => !name.includes(', '));
  columns.sort((a, b) => Number(b === metric) - Number(a === metric));
  const first = entries[0]?.figures[metric]?.median;
  const rows = entries.map(({ name, figures }) => [
    name,
    ...columns.map((column) => figureOf(figures[column])),
    ratioOf(figures[metric]?.median, first),
  ]);
  return table(['', ...columns, `${metric}, × first`], rows);
}

function figureOf(figure: Figure | undefined): string {
  return figure === undefined
    ? 'none'
    : `${shown(figure.median)} (${shown(figure.min)} – ${shown(figure.max)})`;
}

function ratioOf(value: number | undefined, first: number | undefined): string {
  return value === undefined || first === undefined ? '–' : shown(value / first);
}

/** Three digits that count. */
export function shown(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : 3;
  return digits === 0
    ? Math.round(value).toLocaleString('en-US')
    : value.toLocaleString('en-US', { maximumSignificantDigits: digits });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((cells) => cells[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}
