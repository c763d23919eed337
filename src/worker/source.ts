// source.ts: where a worker's deliveries come from, as the worker needs it.

import type { TaskId } from '../domain/index.js';
import type { Service } from '../runtime/index.js';

/** A delivery, as a worker needs it. */
export type Delivery = {
  readonly ids: readonly TaskId[];
  readonly redelivered: boolean;
  done(): Promise<void>;
  giveBack(ids: readonly TaskId[], delayMs: number): Promise<void>;
};

/** Where the deliveries of one queue come from. */
export interface Source extends Service {
  /** Whether nothing is to be started of what it has given; without it: never. */
  readonly paused?: boolean;
  take(signal?: AbortSignal): Promise<Delivery | null>;
}
