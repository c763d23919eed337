// verify.ts: asks a type's `verify` hook what became of an interrupted attempt, and records the answer. The hook has no
// effects, so that two workers may ask at once; the compare-and-set lets one answer count.

import { type EpochMs, type Held, resultOf, retryDelayMs, type Verdict } from '../domain/index.js';
import { hintAt, type LedgerContext, move } from '../ledger/index.js';
import { delay } from '../runtime/index.js';
import type { HandledTask, TaskType, VerifyVerdict } from './task-type.js';

/** Between an answer `unknown` and the next question. */
const askAgain = { attempts: Number.POSITIVE_INFINITY, delayMsMin: 2_000, delayMsMax: 300_000, factor: 2 };

export async function verify(
  ctx: LedgerContext,
  held: Held,
  type: TaskType,
  end: AbortSignal,
): Promise<Verdict['kind']> {
  const { record } = held;
  const verdict = verdictOf(ctx, held, await ask(ctx, held, type));
  const event = { kind: 'verified', at: ctx.runtime.clock.now(), nonce: record.nonce, verdict } as const;
  const moved = await move(ctx, record.id, event, { until: { signal: end } });
  if (moved.kind === 'moved') hintAt(ctx, moved.held.record);
  return verdict.kind;
}

async function ask(ctx: LedgerContext, { record }: Held, type: TaskType): Promise<VerifyVerdict> {
  const task: HandledTask<unknown> = {
    id: record.id,
    type: record.type,
    queue: record.queue,
    payload: structuredClone(record.payload),
    attempt: record.attempt,
    replays: record.replays ?? 0,
  };
  const timeoutMs = record.policy?.timeoutMs ?? 60_000;
  const answered = new AbortController();
  const late = delay(ctx.runtime.clock, timeoutMs, answered.signal).then(
    () => ({ kind: 'unknown' }) as const,
  );
  try {
    const answer = (await Promise.race([type.verify?.(task as never), late])) ?? { kind: 'unknown' };
    if (['completed', 'notExecuted', 'unknown'].includes(answer.kind)) return answer;
    throw new Error(`verify answered ${JSON.stringify(answer)}: answer completed, notExecuted or unknown`);
  } catch (error) {
    ctx.runtime.log.warn({ err: error, task: record.id, type: type.name }, 'verify failed: taken as unknown');
    return { kind: 'unknown' };
  } finally {
    answered.abort();
  }
}

function verdictOf(ctx: LedgerContext, { record }: Held, answer: VerifyVerdict): Verdict {
  switch (answer.kind) {
    case 'completed':
      return { kind: 'completed', result: resultOf(answer.result ?? null) };
    case 'notExecuted':
      return { kind: 'notExecuted' };
    case 'unknown': {
      const half = 0.5 + ctx.runtime.random.roll() / 2;
      const delayMs = retryDelayMs((record.verifications ?? 0) + 1, askAgain, half);
      return { kind: 'unknown', askAgainAt: (ctx.runtime.clock.now() + delayMs) as EpochMs };
    }
  }
}
