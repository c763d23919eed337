// news.ts: words on their way to the read model, off the path of whoever noted them. Owns their pace, and which of several
// words of one task is written.

import { limits } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { Backlog, type Batch, type Road } from './backlog.js';
import { stampOf, type Word } from './line.js';

type Words = readonly Word[];

/** What a task goes through in a moment is written once. */
const paceMs = 50;

export class NewsDesk extends Backlog<Word, Words> {
  constructor(road: Road<Words>, runtime: Runtime) {
    const pack = (words: Words): Batch<Words>[] => [{ content: newestOf(words), items: words.length }];
    const { viewBufferMax: keptMax, viewWordsPerSend: packedMax } = limits;
    super(road, { name: 'words for the read model', keptMax, packedMax, paceMs, pack }, runtime);
  }
}

/** Of several words of one task only the newest is written; of the others, only that they were. */
function newestOf(words: Words): Words {
  const newest = new Map<string, Word>();
  for (const word of words) {
    const other = newest.get(word.id);
    if (word.how === 'told' && (other === undefined || stampOf(other.line) < stampOf(word.line)))
      newest.set(word.id, word);
  }
  return words.map((word) =>
    word.how === 'told' && newest.get(word.id) !== word ? { ...word, how: 'passed' } : word,
  );
}
