// sheet.ts: words for the read model's script, as the text that it reads. Owns that text: the stream of events keeps it as it
// is, with the state before of each of its lines that was a change.
//
//   +<line>                        a task was so for a moment: its line (line.ts)
//   <how><bucket><id> <line>       what it is now, after the lines above; how: t, f, g or i
//
// A task is on a sheet, and in a call of the script, once.

import { bucketOf, type State, type TaskId } from '../domain/index.js';
import { type Stamp, stampOf } from './line.js';

/** What the script is to do with a line: told and found, show it where it is newer; instead, where another is shown. */
export type Word = {
  readonly how: 'told' | 'found' | 'gone' | 'instead';
  readonly id: TaskId;
  /** With `gone`, its stamp is enough. */
  readonly line: string;
};

/** A line of a sheet that was a change. */
export type Change = { readonly id: TaskId; readonly line: string; readonly from: State | null };

const linesMax = 50;
const letters = { told: 't', found: 'f', gone: 'g', instead: 'i' } as const;
const idAt = 3;

/** Of several words of one task the newest is shown; of the others that were told, only that they were. */
export function sheetsOf(words: readonly Word[]): string[] {
  const sheets: string[] = [];
  let sheet = '';
  let lines = 0;
  for (const about of byTask(words)) {
    const newest = about.length - 1;
    for (let i = 0; i < newest; i += 1) {
      const { how, line } = about[i] as Word;
      if (how !== 'told') continue;
      sheet += `+${line}\n`;
      lines += 1;
    }
    const { how, id, line } = about[newest] as Word;
    sheet += `${letters[how]}${bucketOf(id)}${id} ${line}\n`;
    lines += 1;
    if (lines < linesMax) continue;
    sheets.push(sheet);
    sheet = '';
    lines = 0;
  }
  if (lines > 0) sheets.push(sheet);
  return sheets;
}

/** The oldest first. */
function byTask(words: readonly Word[]): Iterable<readonly Word[]> {
  const tasks = new Map<TaskId, Word[]>();
  for (const word of words) {
    const about = tasks.get(word.id);
    if (about === undefined) tasks.set(word.id, [word]);
    else {
      about.push(word);
      about.sort((a, b) => ascending(stampOf(a.line), stampOf(b.line)));
    }
  }
  return tasks.values();
}

/** `froms`: for each line the state before, `-` where that is not known, `.` where the line was no change. */
export function changesOn(sheet: string, froms: string): Change[] {
  const changes: Change[] = [];
  const states = froms.split(' ');
  const lines = sheet.split('\n');
  let first = 0;
  for (const [at, text] of lines.entries()) {
    if (text === '' || text.startsWith('+')) continue;
    const space = text.indexOf(' ');
    const id = text.slice(idAt, space) as TaskId;
    for (let i = first; i <= at; i += 1) {
      const from = states[i];
      const line = i < at ? (lines[i] ?? '').slice(1) : text.slice(space + 1);
      if (from !== '.') changes.push({ id, line, from: from === '-' ? null : (from as State) });
    }
    first = at + 1;
  }
  return changes;
}

function ascending(a: Stamp, b: Stamp): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
