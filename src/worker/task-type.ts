// task-type.ts: what a user defines: a handler and its policies. Owns their shape and validation; running them is run.ts.

import { z } from 'zod';
import {
  ClaimkeeperError,
  type Json,
  type Name,
  type PolicyOverride,
  parseName,
  parseOptions,
  policySchema,
  type TaskId,
} from '../domain/index.js';
import type { Logger } from '../runtime/index.js';

/** The task as its handler sees it. */
export type HandledTask<Payload> = {
  readonly id: TaskId;
  readonly type: Name;
  readonly queue: Name;
  readonly payload: Payload;
  /** From 1; grows with every run of the handler that may have begun, over replays as well. */
  readonly attempt: number;
  readonly replays: number;
};

export interface TaskContext<Payload = Json> {
  readonly task: HandledTask<Payload>;
  readonly attempt: number;
  /**
   * Aborts when the attempt should stop: its deadline passed, the task was cancelled, its ownership is lost, or the worker
   * is stopping. `signal.reason` is a ClaimkeeperError. Stop soon and throw: a handler that goes on leaves the task `uncertain`.
   */
  readonly signal: AbortSignal;
  /** Grows with every claim of the task: a sink that compares may refuse a lower one after a higher. */
  readonly fence: number;
  /** The same in every attempt of the task: for sinks that honour a key. */
  readonly idempotencyKey: string;
  /**
   * Proves, by a round trip, that the task is still this attempt's own. Just before an effect.
   * @throws ClaimkeeperError `LEASE_LOST`
   */
  assertOwned(): Promise<void>;
  /** Says how far the attempt is: any JSON value up to 16 KiB; shown by the API while the task runs, kept nowhere else. */
  progress(value: Json): void;
  readonly log: Logger;
}

export type VerifyVerdict =
  | { readonly kind: 'completed'; readonly result?: unknown }
  | { readonly kind: 'notExecuted' }
  | { readonly kind: 'unknown' };

export type BreakerPolicy = {
  /** Opens when more than this share of recent attempts failed, in percent: 1–100, default 50. */
  readonly errorPercentMax: number;
  /** … out of at least this many: default 10. */
  readonly attemptsMin: number;
  /** … within this many ms: default 10 000. */
  readonly windowMs: number;
  /** Stays open for this many ms before one attempt of the fleet probes the downstream: default 10 000. */
  readonly openMs: number;
};

export type TaskType = {
  readonly name: Name;
  readonly handler: (payload: never, context: TaskContext<never>) => unknown;
  readonly verify: ((task: HandledTask<never>) => Promise<VerifyVerdict> | VerifyVerdict) | null;
  readonly policy: PolicyOverride;
  readonly breaker: BreakerPolicy;
};

export type TaskTypeOptions<Payload> = PolicyOverride & {
  /** Does the work; its return value (JSON, up to 16 KiB) is kept as the result. A throw is a failed attempt. */
  readonly handler: (payload: Payload, context: TaskContext<Payload>) => unknown;
  /** With `onInterrupted: 'verify'`: asks the outside world what became of an interrupted attempt. Must not have effects. */
  readonly verify?: (task: HandledTask<Payload>) => Promise<VerifyVerdict> | VerifyVerdict;
  readonly breaker?: Partial<BreakerPolicy>;
};

const functionSchema = z.custom((value) => typeof value === 'function', 'is not a function');

const optionsSchema = z.strictObject({
  ...policySchema.shape,
  handler: functionSchema,
  verify: functionSchema.optional(),
  breaker: z
    .strictObject({
      errorPercentMax: z.number().min(1).max(100).default(50),
      attemptsMin: z.int().min(1).default(10),
      windowMs: z.int().min(100).default(10_000),
      openMs: z.int().min(10).default(10_000),
    })
    .prefault({}),
});

/**
 * Defines a task type.
 * @throws ClaimkeeperError `NAME_INVALID`, `CONFIG_INVALID` naming the option
 */
export function defineTask<Payload = Json>(name: string, options: TaskTypeOptions<Payload>): TaskType {
  const type = parseName(name, 'type');
  const parsed = parseOptions(optionsSchema, options, `task type ${name}`);
  const { retry, timeoutMs, onInterrupted, breaker } = parsed;
  if (onInterrupted === 'verify' && options.verify === undefined) {
    throw new ClaimkeeperError(
      'CONFIG_INVALID',
      `task type ${name}: onInterrupted 'verify' needs a verify function`,
    );
  }
  return {
    name: type,
    handler: options.handler as TaskType['handler'],
    verify: (options.verify ?? null) as TaskType['verify'],
    policy: { retry, timeoutMs, onInterrupted },
    breaker,
  };
}
