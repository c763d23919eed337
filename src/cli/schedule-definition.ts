// schedule-definition.ts: a schedule's definition on the command line: by flags, or as JSON in a file. What a valid one is,
// the API says.

import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { type Command, Option } from 'commander';
import type { Schedule } from '../client/index.js';
import { ClaimkeeperError, limits } from '../domain/index.js';
import { wholeNumber } from './flags.js';
import { parsePayload } from './submit.js';
import type { Terminal } from './terminal.js';

export type DefinitionFlags = {
  readonly file?: string;
  readonly id?: string;
  readonly cron?: string;
  readonly timeZone?: string;
  readonly type?: string;
  readonly queue?: string;
  readonly payload?: unknown;
  readonly priority?: number;
  readonly misfire?: string;
  readonly jitterMs?: number;
  readonly startAt?: string;
  readonly endAt?: string;
  readonly overlap?: string;
};

type Definition = { readonly [field: string]: unknown };

export function addDefinition(command: Command): void {
  command
    .option('--cron <expression>', 'five fields, or six with the second first')
    .option('--time-zone <name>', 'IANA name (default: UTC)')
    .option('--type <name>', "its tasks' type")
    .option('--queue <name>', "its tasks' queue (default: default)")
    .option('--payload <json>', "its tasks' payload (default: null)", parsePayload)
    .option('--priority <n>', "its tasks' priority", wholeNumber(0, limits.priorityMax))
    .addOption(
      new Option('--misfire <policy>', 'late ticks (default: once)').choices(['skip', 'once', 'all']),
    )
    .option(
      '--jitter-ms <ms>',
      'a task is due up to this long after its tick',
      wholeNumber(0, limits.jitterMsMax),
    )
    .option('--start-at <time>', 'no tick before it, ISO 8601 with an offset')
    .option('--end-at <time>', 'no tick at or after it')
    .addOption(new Option('--overlap <policy>', 'while the last task is not over').choices(['allow', 'skip']))
    .addOption(
      new Option(
        '--file <file>',
        'the definition as JSON, as the API takes it; - for standard input',
      ).conflicts([
        ...['cron', 'timeZone', 'type', 'queue', 'payload', 'priority', 'misfire'],
        ...['jitterMs', 'startAt', 'endAt', 'overlap'],
      ]),
    );
}

/** What the flags or the file say, over `found`. @throws ClaimkeeperError `CONFIG_INVALID` */
export async function readDefinition(
  { file, type, queue, payload, priority, misfire, ...flags }: DefinitionFlags,
  terminal: Terminal,
  found: Definition = {},
): Promise<Definition> {
  if (file !== undefined) return parsed(file, file === '-' ? await text(terminal.stdin) : await read(file));
  const task = given({ type, queue, payload, priority });
  const late = misfire === undefined ? {} : { misfire: { ...(found.misfire as object), policy: misfire } };
  return { ...found, ...given(flags), task: { ...(found.task as object), ...task }, ...late };
}

/** What stands, as it may be given again. */
export function definitionOf(view: Schedule): Definition {
  const { id: _, revision: __, since, createdAt, updatedAt, next, last, skipped, ...definition } = view;
  const { startAt, endAt, ...rest } = definition;
  return { ...rest, ...(startAt === null ? {} : { startAt }), ...(endAt === null ? {} : { endAt }) };
}

function given(fields: Definition): Definition {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw invalid(`cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

function parsed(file: string, json: string): Definition {
  try {
    return JSON.parse(json) as Definition;
  } catch (error) {
    throw invalid(`${file} is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function invalid(why: string): ClaimkeeperError {
  return new ClaimkeeperError('CONFIG_INVALID', `--file ${why}`, { field: '--file' });
}
