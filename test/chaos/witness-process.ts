// witness-process.ts: the world outside, a process of its own that no fault touches: handlers tell it when they start and have
// their effects in it, verify hooks ask it. Owns witness.ndjson: a line is on the disk before its answer is given.
//
// It is honest as a receiver of effects ought to be: an attempt of which it said that it has not happened and will not, it
// refuses from then on; and for tasks that may be rerun it takes no effect with a lower fence after one with a higher.

import { type FileHandle, open } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { WitnessLine } from './evidence.js';

/** What handlers and hooks say. */
export type Told = Pick<WitnessLine, 'task' | 'type' | 'attempt' | 'fence' | 'pid' | 'sentAt' | 'plan'>;
export type Testimony = NonNullable<WitnessLine['answer']>;
/** `calm`: the handler is to do nothing that it was told by its payload, only its work. */
export type Answered = {
  readonly kind: WitnessLine['kind'];
  readonly answer?: Testimony;
  readonly calm?: boolean;
};
/** The plan of a call that is calm. */
export const calmPlan = 'calm';

/** Share of first questions that it cannot answer. */
const unknownShare = 0.25;

/** Appends lines; those of one turn, and of the time of an fsync, are made durable together. */
class Journal {
  readonly #file: FileHandle;
  #lines: string[] = [];
  #answers: (() => void)[] = [];
  #writing = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  append(line: WitnessLine, answer: () => void): void {
    this.#lines.push(`${JSON.stringify(line)}\n`);
    this.#answers.push(answer);
    if (this.#writing) return;
    this.#writing = true;
    setImmediate(() => void this.#write());
  }

  async #write(): Promise<void> {
    while (this.#lines.length > 0) {
      const answers = this.#answers.splice(0);
      await this.#file.writeFile(this.#lines.splice(0).join(''));
      await this.#file.datasync();
      for (const answer of answers) answer();
    }
    this.#writing = false;
  }
}

export class World {
  /** Attempts that had their effect, by task. */
  readonly #effects = new Map<string, Set<number>>();
  /** The highest attempt of a task of which it testified that it will not happen. */
  readonly #barred = new Map<string, number>();
  readonly #fences = new Map<string, number>();
  readonly #asked = new Set<string>();
  readonly #roll: (name: string) => number;
  /** Everything is mended, and handlers are to be so, too. */
  calm = false;

  /** `roll`: in [0, 1), the same for the same name. */
  constructor(roll: (name: string) => number) {
    this.#roll = roll;
  }

  effect({ task, type, attempt, fence }: Told): 'effect' | 'refused' {
    const highest = this.#fences.get(task) ?? 0;
    if (attempt <= (this.#barred.get(task) ?? 0) || (type === 'rerun' && fence < highest)) return 'refused';
    this.#fences.set(task, Math.max(fence, highest));
    const had = this.#effects.get(task) ?? new Set();
    this.#effects.set(task, had.add(attempt));
    return 'effect';
  }

  /** The truth, or, at the first question, perhaps nothing. */
  testify({ task, attempt }: Told): Testimony {
    const name = `${task} ${attempt}`;
    const first = !this.#asked.has(name);
    this.#asked.add(name);
    if (first && !this.calm && this.#roll(name) < unknownShare) return 'unknown';
    if (this.#effects.get(task)?.has(attempt)) return 'completed';
    this.#barred.set(task, Math.max(attempt, this.#barred.get(task) ?? 0));
    return 'notExecuted';
  }
}

function rollOf(name: string): number {
  let hash = 0;
  for (const letter of name) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0;
  return (Math.imul(hash, 0x9e3779b1) >>> 0) / 2 ** 32;
}

/** @throws SyntaxError for what is no word of a handler's */
function judge(world: World, path: string, told: Told): { line: WitnessLine; status: number } {
  const at = Date.now();
  switch (path) {
    case '/start': {
      const plan = world.calm ? { plan: calmPlan } : {};
      return { line: { ...told, ...plan, kind: 'start', at }, status: 200 };
    }
    case '/effect': {
      const kind = world.effect(told);
      return { line: { ...told, kind, at }, status: kind === 'effect' ? 200 : 409 };
    }
    case '/verify':
      return { line: { ...told, kind: 'testified', at, answer: world.testify(told) }, status: 200 };
    default:
      throw new SyntaxError(`there is no ${path}`);
  }
}

async function main(file: string): Promise<void> {
  const journal = new Journal(await open(file, 'a'));
  const world = new World(rollOf);
  process.on('message', () => {
    world.calm = true;
  });
  const answer = async (path: string, body: Promise<string>, response: ServerResponse): Promise<void> => {
    try {
      const { line, status } = judge(world, path, JSON.parse(await body) as Told);
      const { kind, answer: testimony, plan } = line;
      const answered = { kind, answer: testimony, calm: plan === calmPlan };
      journal.append(line, () => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(answered));
      });
    } catch (error) {
      response.writeHead(400).end(String(error)); // Cut off half way: nothing was told.
    }
  };
  const server = createServer((request, response) => {
    void answer(request.url ?? '', text(request), response);
  });
  server.keepAliveTimeout = 300_000;
  server.listen(0, '127.0.0.1', () => {
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  process.once('disconnect', () => process.exit(0));
  process.on('SIGINT', () => undefined); // A terminal's Ctrl-C is the driver's: it ends this process last.
}

const file = process.argv[2];
if (process.argv[1] === fileURLToPath(import.meta.url) && file !== undefined) await main(file);
