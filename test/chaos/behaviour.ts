// behaviour.ts: what calls of a handler do, drawn from the seed by the driver and carried to the handler by the payload. Owns
// its shape and its draw; the handler that does it is tasks.ts.

import type { SeededRandom } from '../support/seeded-random.js';

/** What one call of a handler does, in this order: blocks, has its effect or not yet, works, has its effect, ends. */
export type Behaviour = {
  /** For so long the event loop of its worker stands still. */
  readonly blockMs: number;
  readonly effect: 'first' | 'last' | 'lastIfOwned';
  readonly workMs: number;
  /** Ignores its abort signal. */
  readonly deaf: boolean;
  readonly end: (typeof ends)[number];
};

export type ChaosPayload = {
  /** Of the attempts in their order; the last stands for all that follow. */
  readonly calls: readonly Behaviour[];
};

const oddEnds = ['throwUndefined', 'throwString', 'throwCyclic', 'throwFrozen'] as const;
const ends = ['succeed', 'throwError', 'nonRetryable', 'retryAfter', ...oddEnds] as const;

export const types = ['park', 'verify', 'rerun'] as const;

/** An attempt's deadline, in ms. */
export const timeoutMs = { usual: 3_000, short: 1_000 } as const;
/** The longest that a handler goes on, signal or not. */
export const handlerMsMax = 5_500;

export const calm: Behaviour = { blockMs: 0, effect: 'last', workMs: 20, deaf: false, end: 'succeed' };

/** What handlers of the steady load do: some fail, none is odd. */
export function usual(random: SeededRandom): ChaosPayload {
  const calls = Array.from(
    { length: random.between(1, 3) },
    (): Behaviour => ({
      ...ordinary(random),
      end: random.chance(0.12)
        ? random.pick(['throwError', 'throwError', 'nonRetryable', 'retryAfter'] as const)
        : 'succeed',
    }),
  );
  // Some never succeed, until an operator gives up on them.
  return { calls: random.chance(0.97) ? [...calls, calm] : [{ ...calm, end: 'throwError' }] };
}

export type Oddity =
  | 'event-loop-blocked'
  | 'handler-hangs'
  | 'handler-ignores-abort'
  | 'handler-throws-oddly';

/** The first call is odd, those that follow are calm. With `timeoutMs.short` a hanging handler passes its deadline. */
export function odd(kind: Oddity, random: SeededRandom): ChaosPayload {
  const first = ordinary(random);
  switch (kind) {
    case 'event-loop-blocked':
      return { calls: [{ ...first, blockMs: random.between(300, 5_000) }, calm] };
    case 'handler-hangs':
      return { calls: [{ ...first, workMs: handlerMsMax }, calm] };
    case 'handler-ignores-abort':
      return { calls: [{ ...first, workMs: random.between(3_500, handlerMsMax), deaf: true }, calm] };
    case 'handler-throws-oddly':
      return { calls: [{ ...first, end: random.pick(oddEnds) }, calm] };
  }
}

function ordinary(random: SeededRandom): Behaviour {
  return {
    ...calm,
    effect: random.pick(['first', 'last', 'last', 'lastIfOwned']),
    workMs: random.pick([0, 5, 20, 50, 50, 100, 200, 400, 1_200]),
  };
}

/** In words, for the witness. */
export function planOf({ blockMs, effect, workMs, deaf, end }: Behaviour): string {
  const words = [blockMs > 0 ? `blocks ${blockMs} ms` : '', `effect ${effect}`, `works ${workMs} ms`];
  return [...words, deaf ? 'deaf' : '', end].filter((word) => word !== '').join(', ');
}
