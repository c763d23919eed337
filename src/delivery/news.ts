// news.ts: words on their way to the read model. Owns their order, their bound and their pace: they leave in batches, off the
// path of whoever noted them. What is dropped, the reconciler finds in the ledger and repairs.

import { limits, type News } from '../domain/index.js';
import { delay, type Runtime } from '../runtime/index.js';
import { stampOf, toldWord, type Word } from './line.js';

export type Courier = {
  /** Whether it makes sense to send now; {@link NewsDesk.wake} is called when that turns true. */
  ready(): boolean;
  /** Rejects when one of them may not have been taken; they may then be given again. */
  send(words: readonly Word[]): Promise<unknown>;
};

/** Between two batches, unless the second is full: what a task goes through in a moment is written once. */
const paceMs = 50;
const refusalsMax = 5;
const backoffMs = 200;

export class NewsDesk {
  readonly #courier: Courier;
  readonly #runtime: Runtime;
  readonly #closed = new AbortController();
  #words: Word[] = [];
  #dropped = 0;
  #refusals = 0;
  #awake = false;
  #idle: (() => void)[] = [];

  constructor(courier: Courier, runtime: Runtime) {
    this.#courier = courier;
    this.#runtime = runtime;
  }

  /** Words given up since the start, for the metrics. */
  get dropped(): number {
    return this.#dropped;
  }

  note(news: readonly News[]): void {
    if (this.#closed.signal.aborted) return;
    for (const each of news) this.#words.push(toldWord(each));
    const over = this.#words.length - limits.viewBufferMax;
    // A tenth at a time, for the array is moved by it.
    if (over > 0) this.#drop(over + limits.viewBufferMax / 10, 'the buffer is full');
    this.wake();
  }

  /** Sends what there is, from the end of this turn of the event loop on. */
  wake(): void {
    if (this.#awake || this.#closed.signal.aborted) return;
    this.#awake = true;
    this.#runtime.clock.atEndOfTurn(() => void this.#pump());
  }

  /** Resolves once nothing waits any more: all was sent, or dropped. */
  flush(): Promise<void> {
    if (this.#words.length === 0 && !this.#awake) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Drops what is left. */
  close(): void {
    this.#closed.abort();
    this.#drop(this.#words.length, 'it was closed');
    this.#settle();
  }

  async #pump(): Promise<void> {
    const { clock } = this.#runtime;
    const { signal } = this.#closed;
    while (this.#courier.ready() && this.#words.length > 0 && !signal.aborted) {
      const words = this.#words.splice(0, limits.viewWordsPerSend);
      await this.#send(words);
      if (this.#words.length < limits.viewWordsPerSend && !this.#isFlushing()) {
        await delay(clock, paceMs, signal);
      }
    }
    this.#awake = false;
    if (this.#words.length === 0) this.#settle();
  }

  async #send(words: readonly Word[]): Promise<void> {
    try {
      await this.#courier.send(newestOf(words));
      this.#refusals = 0;
    } catch (error) {
      await this.#onRefusal(words, error);
    }
  }

  /** While Redis is away they wait; what Redis, being there, refuses again and again must not block the rest. */
  async #onRefusal(words: readonly Word[], error: unknown): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#words.unshift(...words);
    if (!this.#courier.ready()) return;
    this.#refusals += 1;
    this.#runtime.log.warn(
      { err: error, refusals: this.#refusals },
      'Redis refused words for the read model',
    );
    if (this.#refusals >= refusalsMax) {
      this.#refusals = 0;
      this.#drop(words.length, 'Redis refuses them');
    } else await delay(this.#runtime.clock, backoffMs, this.#closed.signal);
  }

  #drop(count: number, why: string): void {
    const gone = this.#words.splice(0, count).length;
    if (gone > 0 && this.#dropped === 0) {
      this.#runtime.log.warn(
        { count: gone, why },
        'the read model misses words; the reconciler will repair it',
      );
    }
    this.#dropped += gone;
  }

  #isFlushing(): boolean {
    return this.#idle.length > 0;
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** Of several words of one task only the newest is written; of the others, only that they were. */
function newestOf(words: readonly Word[]): readonly Word[] {
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
