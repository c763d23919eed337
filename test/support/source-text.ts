// source-text.ts: TypeScript as text, for the tests that hold the sources to the house rules. Owns what is code and what is
// comment or string, and which modules a file imports.

import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';

/** Paths from the repository's root, with slashes, and what is in the files. */
export type Sources = ReadonlyMap<string, string>;

/** All files below `folders` whose name ends with one of `endings`. */
export function readSources(root: string, folders: readonly string[], endings: readonly string[]): Sources {
  const sources = new Map<string, string>();
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || !endings.some((ending) => path.endsWith(ending))) continue;
      sources.set(relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8'));
    }
  }
  return sources;
}

/** The modules a file imports or re-exports from, types included, as written there. */
export function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const froms = /(?:\b(?:import|export)\b[^'"`;()]*?\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g;
  return [...code.matchAll(froms)].map((match) => match[2] as string);
}

/** The file of `sources` that a relative import means; null for packages and for files elsewhere. */
export function resolveImport(from: string, module: string, sources: Sources): string | null {
  if (!module.startsWith('.')) return null;
  const path = posix.join(posix.dirname(from), module).replace(/\.js$/, '.ts');
  return sources.has(path) ? path : null;
}

/** The text with its comments blanked out; line numbers stay. */
export function withoutComments(text: string): string {
  return blanked(text, (kind) => kind === 'comment');
}

/** The text with comments, strings and regular expressions blanked out; what is in a template's `${}` stays. */
export function codeOnly(text: string): string {
  return blanked(text, () => true);
}

type Token = 'comment' | 'string' | 'regex';

// In order of trial. A slash begins a regular expression only where no operand can have ended.
const tokens: readonly (readonly [Token, RegExp])[] = [
  ['comment', /\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\//y],
  ['string', /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/y],
  [
    'regex',
    /(?<=(?:^|[=(,:;!&|?{}[\n>]|\breturn)[ \t]*)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y,
  ],
];
// From a template's backtick, or from the brace that ends a substitution, to the next backtick or substitution.
const templatePart = /[`}](?:[^`\\$]|\\.|\$(?!\{))*(?:`|\$\{)/sy;

function blanked(text: string, drop: (kind: Token) => boolean): string {
  let out = '';
  let at = 0;
  // Open braces: true for a template's substitution, false for any other.
  const braces: boolean[] = [];
  const take = (length: number, blank: boolean): void => {
    const part = text.slice(at, at + length);
    out += blank ? part.replace(/[^\n]/g, ' ') : part;
    at += length;
  };
  while (at < text.length) {
    const token = tokens
      .map(([kind, pattern]) => [kind, lengthAt(pattern, text, at)] as const)
      .find(([, n]) => n > 0);
    if (token !== undefined) {
      take(token[1], drop(token[0]));
      continue;
    }
    const char = text[at];
    const template = char === '`' || (char === '}' && braces.at(-1) === true);
    if (char === '}') braces.pop();
    if (char === '{') braces.push(false);
    if (!template) {
      take(1, false);
      continue;
    }
    const length = Math.max(1, lengthAt(templatePart, text, at));
    if (text[at + length - 1] === '{') braces.push(true);
    take(length, drop('string'));
  }
  return out;
}

function lengthAt(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}
