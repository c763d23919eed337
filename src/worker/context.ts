// context.ts: what a handler is given. Owns the making of it; what few handlers look at is made for those that do.

import { type Held, type Json, limits, type TaskId } from '../domain/index.js';
import type { Logger } from '../runtime/index.js';
import type { Stop } from './stop.js';
import type { HandledTask, TaskContext } from './task-type.js';

/** `json`: what the handler said, as text. */
export type Progress = { readonly id: TaskId; readonly attempt: number; readonly json: string };

export type ContextDeps = {
  readonly held: Held;
  readonly stop: Stop;
  readonly log: Logger;
  readonly assertOwned: () => Promise<void>;
  readonly onProgress: (said: Progress) => void;
};

/** A class for its getters: an object literal that has some is made ten times as slowly. */
export class AttemptContext implements TaskContext<Json> {
  readonly task: HandledTask<Json>;
  readonly attempt: number;
  readonly fence: number;
  readonly idempotencyKey: string;
  readonly assertOwned: () => Promise<void>;
  readonly progress: (value: Json) => void;
  readonly #stop: Stop;
  readonly #parentLog: Logger;
  #log: Logger | null = null;

  constructor({ held: { record, version }, stop, log, assertOwned, onProgress }: ContextDeps) {
    const { id, type, queue, attempt, replays = 0 } = record;
    this.task = { id, type, queue, payload: copyOf(record.payload), attempt, replays };
    this.attempt = attempt;
    this.fence = version;
    this.idempotencyKey = id;
    this.assertOwned = assertOwned;
    this.progress = (value) => onProgress({ id, attempt, json: progressText(value) });
    this.#stop = stop;
    this.#parentLog = log;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get log(): Logger {
    this.#log ??= this.#parentLog.child({ task: this.task.id, attempt: this.attempt });
    return this.#log;
  }
}

/** The handler may change its own; the record's is written again. */
function copyOf(payload: Json): Json {
  return typeof payload === 'object' && payload !== null ? JSON.parse(JSON.stringify(payload)) : payload;
}

/** @throws TypeError, to the handler, for what JSON cannot carry. */
function progressText(value: Json): string {
  const json = JSON.stringify(value) ?? 'null';
  return Buffer.byteLength(json) > limits.resultBytesMax ? 'null' : json;
}
