// progress.ts: how far running attempts say they are. For showing alone: the newest word of a task replaces the one before,
// and is dropped when Redis is away.

import type { TaskId } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';

export type Word = { readonly id: TaskId; readonly json: string };

/** However often a handler speaks, Redis hears of it five times a second. */
const everyMs = 200;

export class ProgressBoard {
  readonly #clock: Clock;
  readonly #send: (words: readonly Word[]) => Promise<void>;
  readonly #newest = new Map<TaskId, string>();

  constructor(clock: Clock, send: (words: readonly Word[]) => Promise<void>) {
    this.#clock = clock;
    this.#send = send;
  }

  note(id: TaskId, json: string): void {
    if (this.#newest.size === 0) this.#clock.after(everyMs, () => this.#flush());
    this.#newest.set(id, json);
  }

  #flush(): void {
    const words = [...this.#newest].map(([id, json]) => ({ id, json }));
    this.#newest.clear();
    this.#send(words).catch(() => undefined); // Redis is away: the next word will do.
  }
}
