#!/usr/bin/env node
// main.ts: the benchmark from the command line. Ends with 1 when an entry has no figure: all of its runs failed or were disturbed.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { type Case, casesAt, type Scale } from './cases.js';
import { chartOf } from './chart.js';
import { entrants } from './contestants/index.js';
import { describeMachine } from './machine.js';
import { markdownOf, type Report, reportOf, shown } from './report.js';
import type { CaseResult, Run } from './results.js';
import { measure } from './rounds.js';

/** The program is two folders below the benchmark's own, once it is built. */
const bench = resolve(import.meta.dirname, '..', '..');
const page = join(bench, '..', 'docs', 'performance.md');

type Flags = {
  readonly cases?: readonly string[];
  readonly contestants?: readonly string[];
  readonly rounds?: number;
  readonly tasks?: number;
  readonly out: string;
  readonly quick?: true;
  readonly publish?: true;
};

const full: Scale = { tasks: 20_000, seconds: 10, bursts: 10, backlogs: [10_000, 100_000, 1_000_000] };
/** Whether everything works; the figures mean nothing. */
const quick: Scale = { tasks: 4_000, seconds: 2, bursts: 2, backlogs: [1_000, 2_000] };
const roundsOf = { full: 5, quick: 1 };

const names = Object.keys(casesAt(full));
const contestants = Object.keys(entrants);

await new Command('bench')
  .description('Times Claimkeeper and its peers side by side')
  .option('--cases <names>', `separated by commas, of: ${names.join(', ')}`, someOf(names))
  .option('--contestants <names>', `only these, of: ${contestants.join(', ')}`, someOf(contestants))
  .option('--rounds <n>', `of each case; ${roundsOf.full} unless quick`, wholeNumber)
  .option('--tasks <n>', `of a run; ${full.tasks} unless quick`, wholeNumber)
  .option('--out <folder>', 'where the results go', join(bench, 'results'))
  .option('--quick', 'one small round: whether it works')
  .option('--publish', 'also puts the results into docs/performance.md')
  .action(async (flags: Flags) => {
    const scale = flags.quick ? quick : full;
    const tasks = flags.tasks ?? scale.tasks;
    const rounds = flags.rounds ?? (flags.quick ? roundsOf.quick : roundsOf.full);
    const cases = chosen(casesAt({ ...scale, tasks }), flags);
    const begun = new Date().toISOString();
    const machine = describeMachine();
    const results: Record<string, CaseResult> = {};
    const report = (): Report => reportOf({ machine, versions: versions(), begun, rounds, tasks, results });
    for (const [name, one] of Object.entries(cases)) {
      results[name] = await measure(one, rounds, tasks, (run) => tell(name, one, run));
      leave(report(), flags.out); // After every case: a run takes hours, and may be cut short.
    }
    if (flags.publish) publish(report());
    process.exitCode = Object.values(results).every(isWhole) ? 0 : 1;
  })
  .parseAsync();

function chosen(all: Record<string, Case>, flags: Flags): Record<string, Case> {
  const { cases = names, contestants: among = contestants } = flags;
  const picked = Object.entries(all)
    .filter(([name]) => cases.includes(name))
    .map(([name, one]): [string, Case] => [
      name,
      { ...one, entries: one.entries.filter(({ entrant }) => among.includes(entrant)) },
    ]);
  return Object.fromEntries(picked.filter(([, { entries }]) => entries.length > 0));
}

function tell(name: string, { metric }: Case, { entry, round, disturbance, discarded, measures }: Run): void {
  const value = measures[metric];
  const said = discarded ?? `${value === undefined ? 'nothing' : shown(value)} ${metric}`;
  console.log(`${name} ${round} ${entry}: ${said}; others had ${Math.round(disturbance * 100)} %`);
}

function leave(report: Report, out: string): void {
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'results.json'), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(out, 'results.md'), markdownOf(report));
  const chart = chartOf(report.results);
  if (chart !== null) writeFileSync(join(out, 'results.svg'), chart);
}

/** Between the page's marks; the chart lies beside it. */
function publish(report: Report): void {
  const marks = /(<!-- results -->\n)[\s\S]*(\n<!-- \/results -->)/;
  const chart = chartOf(report.results);
  if (chart !== null) writeFileSync(page.replace(/md$/, 'svg'), chart);
  const picture = chart === null ? '' : '\n![Tasks per second](performance.svg)\n';
  const text = readFileSync(page, 'utf8');
  if (!marks.test(text)) throw new Error(`${page} has no place for the results`);
  writeFileSync(
    page,
    text.replace(marks, (_, from, to) => `${from}${picture}\n${markdownOf(report)}${to}`),
  );
}

function isWhole({ entries, metric }: CaseResult): boolean {
  return entries.every(({ figures }) => figures[metric] !== undefined);
}

function versions(): Record<string, string> {
  const read = (file: string) => JSON.parse(readFileSync(join(bench, file), 'utf8')).dependencies;
  const { bullmq, fastify } = read('../package.json');
  return { bullmq, fastify, ...read('package.json') };
}

function someOf(known: readonly string[]): (text: string) => readonly string[] {
  return (text) => {
    const named = text.split(',');
    const unknown = named.find((name) => !known.includes(name));
    if (unknown === undefined) return named;
    throw new InvalidArgumentError(`There is no ${unknown}.`);
  };
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('It is not a whole number from 1.');
}
