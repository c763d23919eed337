// markdown.ts: documents as text, for the test that holds them to the code. Owns what is a table, a link, a command or a file
// in them, and the checks that need no more than text; what they must agree with is unit/docs.test.ts's.

import { posix } from 'node:path';
import type { Sources } from './source-text.js';

/** The rows of the first table after `heading`, without its head; a cell as it is written, without its padding. */
export function tableUnder(text: string, heading: string): string[][] {
  const lines = text.split('\n');
  const from = lines.findIndex((line) => line.replace(/^#+ /, '') === heading && line.startsWith('#'));
  const first = lines.findIndex((line, i) => from >= 0 && i > from && line.startsWith('|'));
  if (first < 0) throw new Error(`there is no table under "${heading}"`);
  const end = lines.findIndex((line, i) => i > first && !line.startsWith('|'));
  return lines.slice(first + 2, end < 0 ? undefined : end).map(cellsOf);
}

function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
}

/** `` `a`, `b` `` as `['a', 'b']`. */
export function codes(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
}

/** The code block after the comment that names `path`. */
export function exampleOf(text: string, path: string): string | null {
  const [, after] = text.split(`<!-- ${path} -->`);
  return after === undefined ? null : (/^\s*```ts\n(.*?)```/s.exec(after)?.[1] ?? null);
}

/** Relative links whose file is not there, or has no such heading. `exists` knows the files that are no documents. */
export function brokenLinks(documents: Sources, exists: (path: string) => boolean): string[] {
  return [...documents].flatMap(([from, text]) =>
    linksOf(text).flatMap((link) => {
      const [file = '', anchor] = link.split('#');
      const path = file === '' ? from : posix.join(posix.dirname(from), file);
      const target = documents.get(path);
      const found = target !== undefined || exists(path);
      const fits = anchor === undefined || (target !== undefined && anchorsOf(target).includes(anchor));
      return found && fits ? [] : [`${from}: ${link}`];
    }),
  );
}

function linksOf(text: string): string[] {
  const links = [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] as string);
  return links.filter((link) => !/^[a-z]+:/.test(link));
}

function anchorsOf(text: string): string[] {
  return [...prose(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Without its code blocks. */
function prose(text: string): string {
  return text.replace(/^```.*?^```/gms, '');
}

/** Command lines of `program`, in code blocks and in the text, from the program's name on. */
export function commandsOf(text: string, program: string): string[] {
  const blocks = [...text.matchAll(/^```(?:sh|console)\n(.*?)^```/gms)].flatMap(([, block = '']) =>
    block.split('\n').map((line) => line.replace(/^\$ /, '')),
  );
  return [...blocks, ...codes(prose(text))].filter((line) => line.startsWith(`${program} `));
}

/** Files and folders of the repository that the text names; what the build makes stands for its source. */
export function pathsIn(text: string): string[] {
  const words = [...text.matchAll(/(?<![\w./-])(?:src|infra|test|examples|docs|dist|\.ci)\/[\w./-]*\w/g)];
  return words.map(([path]) => path.replace(/^dist\/(.*)\.js$/, '$1.ts'));
}
