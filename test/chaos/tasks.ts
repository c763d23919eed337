// tasks.ts: the task types that the workers of a chaos run have: one per policy, whose handlers do what the payload says, and
// tell the witness of it.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  defineTask,
  NonRetryable,
  RetryAfter,
  type TaskContext,
  type VerifyVerdict,
} from '../../src/index.js';
import { type Behaviour, type ChaosPayload, calm, planOf, types } from './behaviour.js';
import type { Answered, Told } from './witness-process.js';

const witness = process.env.WITNESS_URL ?? '';

async function tell(path: string, told: Told): Promise<Answered> {
  const response = await fetch(`${witness}${path}`, { method: 'POST', body: JSON.stringify(told) });
  return (await response.json()) as Answered;
}

async function handle({ calls }: ChaosPayload, context: TaskContext<ChaosPayload>): Promise<string> {
  const { task, attempt, fence, signal } = context;
  const planned = calls[attempt - 1] ?? calls.at(-1) ?? calm;
  const told = (): Told => ({
    task: task.id,
    type: task.type,
    attempt,
    fence,
    pid: process.pid,
    sentAt: Date.now(),
  });
  const act = async (): Promise<void> => {
    const { kind } = await tell('/effect', told());
    if (kind !== 'effect') throw new Error('the world outside refused it');
  };
  const started = await tell('/start', { ...told(), plan: planOf(planned) });
  const { blockMs, effect, workMs, deaf, end } = started.calm ? calm : planned;
  for (const until = performance.now() + blockMs; performance.now() < until; );
  if (effect === 'first') await act();
  await sleep(workMs, undefined, deaf ? {} : { signal });
  if (!deaf) signal.throwIfAborted();
  if (effect === 'lastIfOwned') await context.assertOwned();
  if (effect !== 'first') await act();
  return ended(end);
}

/** @throws whatever `end` says */
function ended(end: Behaviour['end']): string {
  switch (end) {
    case 'succeed':
      return 'done';
    case 'throwError':
      throw new Error('it broke');
    case 'throwUndefined':
      throw undefined;
    case 'throwString':
      throw 'it broke, and said so';
    case 'throwCyclic': {
      const cyclic: { self?: unknown } = {};
      cyclic.self = cyclic;
      throw cyclic;
    }
    case 'throwFrozen':
      throw Object.freeze(new Error('it broke, and cannot be changed'));
    case 'nonRetryable':
      throw new NonRetryable('it will not work');
    case 'retryAfter':
      throw new RetryAfter(700);
  }
}

async function verify(id: string, type: string, attempt: number): Promise<VerifyVerdict> {
  const told = { task: id, type, attempt, fence: 0, pid: process.pid, sentAt: Date.now() };
  const { answer: kind = 'unknown' } = await tell('/verify', told);
  return kind === 'completed' ? { kind, result: 'verified' } : { kind };
}

export default types.map((type) =>
  defineTask<ChaosPayload>(type, {
    onInterrupted: type,
    handler: handle,
    ...(type === 'verify' ? { verify: ({ id, attempt }) => verify(id, type, attempt) } : {}),
    breaker: { errorPercentMax: 60, attemptsMin: 20, windowMs: 5_000, openMs: 1_000 },
  }),
);
