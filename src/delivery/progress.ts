// progress.ts: how far running attempts say they are. For showing alone: the newest word of a task replaces the one before,
// and is dropped when Redis is away. A word is its attempt's: the next one has said nothing yet.

import type { TaskId } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';

export type ProgressWord = { readonly id: TaskId; readonly attempt: number; readonly json: string };

/** However often a handler speaks, Redis hears of it five times a second. */
const everyMs = 200;

export class ProgressBoard {
  readonly #clock: Clock;
  readonly #send: (words: readonly ProgressWord[]) => Promise<void>;
  readonly #newest = new Map<TaskId, ProgressWord>();

  constructor(clock: Clock, send: (words: readonly ProgressWord[]) => Promise<void>) {
    this.#clock = clock;
    this.#send = send;
  }

  note(word: ProgressWord): void {
    if (this.#newest.size === 0) this.#clock.after(everyMs, () => this.#flush());
    this.#newest.set(word.id, word);
  }

  #flush(): void {
    const words = [...this.#newest.values()];
    this.#newest.clear();
    this.#send(words).catch(() => undefined); // Redis is away: the next word will do.
  }
}
