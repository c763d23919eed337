// config-file.ts: settings and secrets that are given as files. Owns their reading, and what is said of a file that is not as
// it must be; what the settings are, and what goes before what, is config.ts.

import { readFileSync } from 'node:fs';
import { ClaimkeeperError, nearest, shown } from '../domain/index.js';

/**
 * The values of a JSON object by its keys, each as the text that a flag would have.
 * @throws ClaimkeeperError `CONFIG_INVALID` naming the file, the key and the value
 */
export function readConfigFile(path: string, known: readonly string[]): ReadonlyMap<string, string> {
  const content = parse(path, readText(path, 'the configuration'));
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw invalid(path, 'is no JSON object: write { "port": 7411, … }');
  }
  const unknown = Object.keys(content).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw invalid(path, `there is no setting ${shown(unknown)}: ${hint(unknown, known)}`);
  return new Map(Object.entries(content).map(([key, value]) => [key, textOf(path, key, value)]));
}

/** Without the newline that editors and `echo` put at its end. @throws ClaimkeeperError `CONFIG_INVALID` */
export function readSecretFile(path: string, name: string): string {
  return readText(path, name).replace(/\r?\n$/, '');
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = `${what}: the file ${shown(path)} cannot be read: ${code ?? message}`;
    throw new ClaimkeeperError('CONFIG_INVALID', why, { field: what, cause: error });
  }
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Newer messages quote the text, which may hold a password.
    const [, where] = /(at position \d+(?: \(line \d+ column \d+\))?)/.exec(String(error)) ?? [];
    throw invalid(path, `is no JSON${where === undefined ? '' : ` ${where}`}`);
  }
}

function textOf(path: string, key: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(',');
  throw invalid(path, `${key}: ${shown(value)} is no text, number or list of texts`);
}

function hint(unknown: string, known: readonly string[]): string {
  const near = nearest(unknown, known);
  return near === null ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
}

function invalid(path: string, why: string): ClaimkeeperError {
  return new ClaimkeeperError('CONFIG_INVALID', `the configuration ${path}: ${why}`, { field: path });
}
