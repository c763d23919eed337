// submit.ts: `claimkeeper submit`: one task from flags, or many from lines of JSON. Owns the reading, the batching and what
// is said of the outcomes; what a valid task is, the API says.

import { createReadStream } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { ClaimkeeperError, errorRegistry, limits, shown } from '../domain/index.js';
import type { ApiClient, SubmitReply } from './api-client.js';
import { type ExitCode, exitCodeOfProblem, exitCodes } from './exit.js';
import { type Progress, showProgress } from './progress.js';
import type { Terminal } from './terminal.js';

type Line = { readonly number: number; readonly text: string };
type Outcome = SubmitReply & { readonly line?: number };

/** Leaves room for the list around the tasks. */
const batchBytesMax = limits.batchBytesMax - limits.requestBytesMax;

export async function submitOne(client: ApiClient, input: unknown, terminal: Terminal): Promise<ExitCode> {
  const tally = new Tally(terminal, null);
  for (const reply of await client.submit([input])) tally.add(reply);
  return tally.exitCode;
}

/**
 * From a file, or from standard input for `-`: one task per line, empty lines left out. After an end halfway the same lines
 * may be submitted again: what was accepted is known by its id.
 * @throws ClaimkeeperError `CONFIG_INVALID` for a file that cannot be read, and as the API answers
 */
export async function submitLines(client: ApiClient, file: string, terminal: Terminal): Promise<ExitCode> {
  if (file !== '-') await assertReadable(file);
  const progress = await progressOf(file, terminal);
  const tally = new Tally(terminal, progress);
  let at = 1;
  try {
    for await (const batch of batches(linesOf(file === '-' ? terminal.stdin : createReadStream(file)))) {
      at = batch[0]?.number ?? at;
      await submitBatch(client, batch, tally);
    }
  } catch (error) {
    progress?.stop();
    tally.say(`stopped at line ${at}`);
    terminal.say('Submit the same lines again: what was accepted is known by its id.');
    throw error;
  }
  progress?.stop();
  tally.say('submitted');
  return tally.exitCode;
}

/** @throws ClaimkeeperError `CONFIG_INVALID` */
async function assertReadable(file: string): Promise<void> {
  try {
    await access(file, constants.R_OK);
    if (!(await stat(file)).isDirectory()) return;
  } catch (error) {
    const why = `--file: ${shown(file)} cannot be read: ${(error as NodeJS.ErrnoException).code}`;
    throw new ClaimkeeperError('CONFIG_INVALID', why, { field: '--file', cause: error });
  }
  throw new ClaimkeeperError('CONFIG_INVALID', `--file: ${shown(file)} is a folder`, { field: '--file' });
}

/** Null where nobody watches, or where nobody can know how much there is: a pipe is read once. */
async function progressOf(file: string, { screen }: Terminal): Promise<Progress | null> {
  if (screen === undefined || file === '-' || !(await stat(file)).isFile()) return null;
  let total = 0;
  for await (const _ of linesOf(createReadStream(file))) total += 1;
  return showProgress(screen, total);
}

async function submitBatch(client: ApiClient, batch: readonly Line[], tally: Tally): Promise<void> {
  const parsed = batch.map((line) => ({ line: line.number, ...parseLine(line) }));
  const sent = parsed.flatMap((item) => ('input' in item ? [item] : []));
  const replies = [...(sent.length === 0 ? [] : await client.submit(sent.map(({ input }) => input)))];
  for (const item of parsed) {
    // One for each that was sent, in order.
    const reply = 'input' in item ? (replies.shift() as SubmitReply) : item.refused;
    tally.add({ line: item.line, ...reply });
  }
}

async function* linesOf(input: NodeJS.ReadableStream): AsyncGenerator<Line> {
  let number = 0;
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    if (text.trim() !== '') yield { number, text };
  }
}

async function* batches(lines: AsyncIterable<Line>): AsyncGenerator<readonly Line[]> {
  let batch: Line[] = [];
  let bytes = 0;
  for await (const line of lines) {
    const more = Buffer.byteLength(line.text);
    if (batch.length === limits.batchTasksMax || (batch.length > 0 && bytes + more > batchBytesMax)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(line);
    bytes += more;
  }
  if (batch.length > 0) yield batch;
}

function parseLine({ text }: Line): { readonly input: unknown } | { readonly refused: SubmitReply } {
  if (Buffer.byteLength(text) > limits.requestBytesMax) {
    return refused('BODY_TOO_LARGE', `the line has more than ${limits.requestBytesMax} bytes`);
  }
  try {
    return { input: JSON.parse(text) };
  } catch (error) {
    return refused(
      'REQUEST_INVALID',
      `the line is not JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
}

function refused(
  code: 'BODY_TOO_LARGE' | 'REQUEST_INVALID',
  detail: string,
): { readonly refused: SubmitReply } {
  const { text: title, status, retryable } = errorRegistry[code];
  const type = `urn:claimkeeper:error:${code}`;
  return { refused: { kind: 'refused', error: { type, title, status, detail, code, retryable } } };
}

/** Prints the outcomes as they come, and keeps the count. */
class Tally {
  readonly #terminal: Terminal;
  readonly #progress: Progress | null;
  readonly #counts = { created: 0, same: 0, refused: 0 };
  #worst: ExitCode = exitCodes.ok;

  constructor(terminal: Terminal, progress: Progress | null) {
    this.#terminal = terminal;
    this.#progress = progress;
  }

  get exitCode(): ExitCode {
    return this.#worst;
  }

  add(outcome: Outcome): void {
    this.#counts[outcome.kind] += 1;
    this.#progress?.show(this.#counts);
    // Whoever watches the bar on the same terminal reads no line per task, but for what is wrong.
    const isWatched = this.#progress !== null && this.#terminal.isTty === true;
    if (!isWatched || outcome.kind === 'refused') {
      if (isWatched) this.#progress?.clear();
      this.#terminal.print(JSON.stringify(outcome));
    }
    if (outcome.kind === 'refused') this.#worst = worse(this.#worst, exitCodeOfProblem(outcome.error));
  }

  say(what: string): void {
    const { created, same, refused: not } = this.#counts;
    this.#terminal.say(`${what}: ${created} created, ${same} already there, ${not} refused`);
  }
}

/** What a repetition may mend comes first, then what only a change of the input mends. */
const severity: readonly ExitCode[] = [
  exitCodes.ok,
  exitCodes.conflict,
  exitCodes.failed,
  exitCodes.unavailable,
];

function worse(a: ExitCode, b: ExitCode): ExitCode {
  return severity.indexOf(a) >= severity.indexOf(b) ? a : b;
}

/** @throws ClaimkeeperError `CONFIG_INVALID` */
export function parsePayload(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ClaimkeeperError('CONFIG_INVALID', `--payload is not JSON (quote strings: '"text"'): ${why}`, {
      field: '--payload',
    });
  }
}
