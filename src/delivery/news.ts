// news.ts: words on their way to the read model, off the path of whoever noted them. Owns their pace, and which of several
// words of one task is written.

import { limits } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { Backlog, type Batch, type Road } from './backlog.js';
import { sheetsOf, type Word } from './sheet.js';

type Sheets = readonly string[];

/** What a task goes through in a moment is written once. */
const paceMs = 50;

export class NewsDesk extends Backlog<Word, Sheets> {
  constructor(road: Road<Sheets>, runtime: Runtime) {
    const pack = (words: readonly Word[]): Batch<Sheets>[] => [
      { content: sheetsOf(words), items: words.length },
    ];
    const { viewBufferMax: keptMax, viewWordsPerSend: packedMax } = limits;
    super(road, { name: 'words for the read model', keptMax, packedMax, paceMs, pack }, runtime);
  }
}
