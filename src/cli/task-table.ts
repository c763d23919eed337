// task-table.ts: a task for people: a table of what it is, and one of its attempts.

import Table from 'cli-table3';
import type { Attempt, Task } from '../client/index.js';
import { plain } from './output.js';

/** No colours: the table may be in a file. */
const style = { head: [], border: [] };
/** More of a payload, a result or a message is for `--output json`. */
const cellCharsMax = 80;

export function taskTableOf({ attempts, ...task }: Task): string {
  const about = new Table({ style });
  for (const [name, value] of Object.entries(task)) about.push({ [name]: cell(value) });
  if (attempts.length === 0) return about.toString();
  const head = ['attempt', 'worker', 'started', 'ended', 'outcome', 'error'];
  const ended = new Table({ head, style });
  ended.push(...attempts.map(rowOf));
  return `${about}\n${ended}`;
}

function rowOf({ n, worker, startedAt, endedAt, outcome, error }: Attempt): string[] {
  const why = error === null ? '' : `${error.code}: ${error.message}`;
  return [String(n), worker, startedAt, endedAt, outcome, cell(why)];
}

/** What there is room for. */
function cell(value: unknown): string {
  const text = value === null ? '' : plain(value);
  return text.length > cellCharsMax ? `${text.slice(0, cellCharsMax - 1)}…` : text;
}
