// evidence-writer.ts: writes what the driver itself notes while a run goes (evidence.ts): faults, answers, trust.

import { createWriteStream, type WriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { AnswerLine, FaultLine, LedgerLine, RunFacts, TrustLine } from './evidence.js';

export class EvidenceWriter {
  readonly folder: string;
  readonly #files: Readonly<Record<'faults' | 'answers' | 'trust', WriteStream>>;
  #faults = 0;
  /** How many of each kind. */
  readonly counts = { faults: new Map<string, number>(), answers: new Map<string, number>() };

  constructor(folder: string) {
    this.folder = folder;
    const stream = (name: string): WriteStream => createWriteStream(join(folder, `${name}.ndjson`));
    this.#files = { faults: stream('faults'), answers: stream('answers'), trust: stream('trust') };
  }

  fault(line: Omit<FaultLine, 'id'>): void {
    this.#faults += 1;
    count(this.counts.faults, line.kind);
    write(this.#files.faults, { id: this.#faults, ...line } satisfies FaultLine);
  }

  answer(line: AnswerLine): void {
    count(this.counts.answers, `${line.call} ${line.status ?? 'unanswered'}`);
    write(this.#files.answers, line);
  }

  trust(line: TrustLine): void {
    write(this.#files.trust, line);
  }

  async ledger(lines: readonly LedgerLine[]): Promise<void> {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await writeFile(join(this.folder, 'ledger.ndjson'), text);
  }

  async close(facts: RunFacts): Promise<void> {
    await writeFile(join(this.folder, 'run.json'), `${JSON.stringify(facts, null, 2)}\n`);
    const files = Object.values(this.#files);
    for (const file of files) file.end();
    await Promise.all(files.map((file) => finished(file)));
  }
}

function write(file: WriteStream, line: object): void {
  file.write(`${JSON.stringify(line)}\n`);
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
