// options.ts: options that a program gives, against a schema. Owns what is said of those that are not valid, and which known
// word an unknown one may have been meant to be.

import { z } from 'zod';
import { ClaimkeeperError } from './errors.js';

/** @throws ClaimkeeperError `CONFIG_INVALID` naming `what` and the option */
export function parseOptions<S extends z.ZodType>(schema: S, options: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.code === 'unrecognized_keys' ? issue.keys.join(', ') : issue?.path.join('.');
  const why = issue === undefined ? 'not valid' : `${issue.message}${hintOn(schema, issue)}`;
  throw new ClaimkeeperError('CONFIG_INVALID', `${what}: ${at || 'options'}: ${why}`);
}

/** Of an issue with an unknown key: what may have been meant, or what is known there. Else nothing. */
export function hintOn(schema: z.ZodType, issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return '';
  const known = keysAt(schema, issue.path);
  const near = nearest(issue.keys[0] ?? '', known);
  if (near !== null) return `; did you mean ${near}?`;
  return known.length === 0 ? '' : `; known are ${known.join(', ')}`;
}

/** The known word with the fewest edits to `word`, if they are few. */
export function nearest(word: string, known: readonly string[]): string | null {
  const [best] = known
    .map((candidate) => ({ candidate, edits: editsBetween(word.slice(0, 100), candidate) }))
    .sort((a, b) => a.edits - b.edits);
  return best !== undefined && best.edits <= 4 && best.edits < best.candidate.length ? best.candidate : null;
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (const key of path) {
    const object = unwrapped(at);
    at = object instanceof z.ZodObject ? object.shape[key as string] : undefined;
  }
  const object = unwrapped(at);
  return object instanceof z.ZodObject ? Object.keys(object.shape) : [];
}

function unwrapped(schema: unknown): unknown {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? unwrapped(schema.unwrap())
    : schema;
}

/** Levenshtein distance, a row at a time. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
