// transitions.test.ts: the state machine: what the table allows, what it refuses, and what holds along any path.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeRecord,
  type EpochMs,
  encodeRecord,
  type Held,
  limits,
  type Nonce,
  newRecord,
  parseSubmission,
  type RecordEvent,
  resolvePolicy,
  states,
  type TaskRecord,
  table,
  transition,
  type WorkerId,
} from '../../src/domain/index.js';

const at = 1_000_000 as EpochMs;
const error = { code: 'HANDLER_FAILED', message: 'no' };
const claim = (nonce: string) => ({ worker: 'w' as WorkerId, nonce: nonce as Nonce });

function born(more: object = {}): TaskRecord {
  const task = parseSubmission({ id: 'a', type: 't', payload: 1, ...more }, at);
  return newRecord(task, 'accepted' as Nonce, at);
}

function moved(record: TaskRecord, ...events: RecordEvent[]): TaskRecord {
  return events.reduce((from, event) => {
    const move = transition(from, event);
    if (move.kind === 'refused') throw new Error(`${event.kind} refused from ${from.state}: ${move.why}`);
    return move.record;
  }, record);
}

function claimed(nonce: string, policy = {}): RecordEvent {
  return {
    kind: 'claimed',
    at,
    nonce: nonce as Nonce,
    claim: claim(nonce),
    policy: resolvePolicy(policy, null),
  };
}

const succeeded = (nonce: string): RecordEvent => ({
  kind: 'succeeded',
  at,
  nonce: nonce as Nonce,
  result: { value: 1 },
});
const failed = (nonce: string, retryAt: EpochMs | null = at): RecordEvent => ({
  kind: 'attemptFailed',
  at,
  nonce: nonce as Nonce,
  error,
  retryAt,
});
const interrupted = (nonce: string): RecordEvent => ({ kind: 'interrupted', at, claim: claim(nonce) });

describe('the table', () => {
  test('has no move from completed', () => {
    expect(table.filter(([from]) => (from as string) === 'completed')).toEqual([]);
  });

  test('names known states alone, and no move twice', () => {
    for (const [from, , to] of table)
      expect([from, ...to].every((state) => states.includes(state))).toBe(true);
    expect(new Set(table.map(([from, kind]) => `${from} ${kind}`)).size).toBe(table.length);
  });
});

describe('a record', () => {
  test('is not claimed before it is due', () => {
    expect(transition(born({ delayMs: 10 }), claimed('x'))).toEqual({ kind: 'refused', why: 'notDue' });
  });

  test('takes an outcome from the attempt that runs alone', () => {
    const running = moved(born(), claimed('x'));
    expect(transition(running, succeeded('y'))).toEqual({ kind: 'refused', why: 'owner' });
    expect(moved(running, succeeded('x'))).toMatchObject({ state: 'completed', finishedAt: at });
  });

  test('is interrupted only under the claim that is gone', () => {
    const readopted = moved(born(), claimed('x'), {
      kind: 'readopted',
      nonce: 'x' as Nonce,
      claim: claim('z'),
    });
    expect(transition(readopted, interrupted('x'))).toEqual({ kind: 'refused', why: 'owner' });
    expect(moved(readopted, interrupted('z')).state).toBe('uncertain');
    expect(moved(readopted, succeeded('x')).state).toBe('completed');
  });

  test.each([
    ['park', 'uncertain', 1],
    ['verify', 'uncertain', 1],
    ['rerun', 'waiting', 2],
  ] as const)('interrupted under %s is %s, attempt %i', (onInterrupted, state, attempt) => {
    expect(moved(born(), claimed('x', { onInterrupted }), interrupted('x'))).toMatchObject({
      state,
      attempt,
    });
  });

  test('interrupted under rerun with its attempts spent is uncertain: a task that kills its workers does not go on for ever', () => {
    const policy = { onInterrupted: 'rerun', retry: { attempts: 2 } } as const;
    const again = moved(born(), claimed('1', policy), interrupted('1'), claimed('2', policy));
    expect(moved(again, interrupted('2'))).toMatchObject({ state: 'uncertain', attempt: 2 });
  });

  test('after an interruption under rerun refuses the late outcome of the attempt before', () => {
    const waiting = moved(born(), claimed('x', { onInterrupted: 'rerun' }), interrupted('x'));
    expect(transition(waiting, succeeded('x'))).toEqual({ kind: 'refused', why: 'state' });
    expect(transition(moved(waiting, claimed('y')), succeeded('x'))).toEqual({
      kind: 'refused',
      why: 'owner',
    });
  });

  test('fails after its attempts, counted anew after a replay', () => {
    const policy = { retry: { attempts: 2 } };
    const first = moved(born(), claimed('1', policy), failed('1'));
    expect(first).toMatchObject({ state: 'waiting', attempt: 2 });
    const second = moved(first, claimed('2', policy), failed('2'));
    expect(second).toMatchObject({ state: 'failed', attempt: 2 });
    const replayed = moved(second, { kind: 'replayed', nonce: 'op' as Nonce });
    expect(replayed).toMatchObject({ state: 'waiting', attempt: 3, replays: 1 });
    expect(moved(replayed, claimed('3', policy), failed('3'))).toMatchObject({
      state: 'waiting',
      attempt: 4,
    });
    expect(moved(replayed, claimed('3', policy), failed('3'), claimed('4', policy), failed('4')).state).toBe(
      'failed',
    );
  });

  test('fails at once when another attempt would not help', () => {
    expect(moved(born(), claimed('x'), failed('x', null)).state).toBe('failed');
  });

  test('released without having started, waits for the same attempt', () => {
    const released = moved(born(), claimed('x'), {
      kind: 'released',
      at,
      nonce: 'x' as Nonce,
      notBefore: null,
    });
    expect(released).toMatchObject({ state: 'waiting', attempt: 1 });
    expect(released.attempts).toBeUndefined();
  });

  test('asked to cancel while it runs, is cancelled unless the attempt succeeds', () => {
    const asked = moved(born(), claimed('x'), { kind: 'cancelRequested' });
    expect(moved(asked, failed('x')).state).toBe('cancelled');
    expect(moved(asked, { kind: 'released', at, nonce: 'x' as Nonce, notBefore: null }).state).toBe(
      'cancelled',
    );
    expect(moved(asked, succeeded('x')).state).toBe('completed');
  });

  test('asked to cancel, is cancelled and not run again when its worker is lost or its attempt turns out not executed', () => {
    const asked = (onInterrupted: 'rerun' | 'verify'): TaskRecord =>
      moved(born(), claimed('x', { onInterrupted }), { kind: 'cancelRequested' }, interrupted('x'));
    expect(asked('rerun').state).toBe('cancelled');
    const verdict = { kind: 'verified', at, nonce: 'x' as Nonce, verdict: { kind: 'notExecuted' } } as const;
    expect(moved(asked('verify'), verdict).state).toBe('cancelled');
  });

  test('replaces the guess about an attempt by its own late word', () => {
    const late = moved(born(), claimed('x'), interrupted('x'), succeeded('x'));
    expect(late.attempts?.map(({ n, outcome }) => [n, outcome])).toEqual([[1, 'succeeded']]);
  });

  test('moves by what its verification found, and by nothing it did not', () => {
    const uncertain = moved(born(), claimed('x', { onInterrupted: 'verify' }), interrupted('x'));
    const verdict = (kind: 'notExecuted' | 'unknown'): RecordEvent => ({
      kind: 'verified',
      at,
      nonce: 'x' as Nonce,
      verdict: kind === 'unknown' ? { kind, askAgainAt: (at + 5) as EpochMs } : { kind },
    });
    expect(moved(uncertain, verdict('notExecuted'))).toMatchObject({ state: 'waiting', attempt: 2 });
    expect(moved(uncertain, verdict('unknown'))).toMatchObject({
      state: 'uncertain',
      verifications: 1,
      notBefore: at + 5,
    });
  });

  test.each([
    ['failed', failed('x')],
    ['was released', { kind: 'released', at, nonce: 'x' as Nonce, notBefore: null }],
  ] as const)('starts its verifications anew when the attempt %s after all', (_how, late) => {
    const unknown = { kind: 'unknown', askAgainAt: at } as const;
    const asked = moved(
      born(),
      claimed('x', { onInterrupted: 'verify', retry: { attempts: 2 } }),
      interrupted('x'),
      { kind: 'verified', at, nonce: 'x' as Nonce, verdict: unknown },
    );
    expect(moved(asked, late).verifications).toBeUndefined();
  });
});

describe('along any path of events', () => {
  const nonces = ['a', 'b', 'c'] as const;
  const nonce = fc.constantFrom(...nonces).map((each) => each as Nonce);
  const event: fc.Arbitrary<RecordEvent> = fc.oneof(
    fc
      .record({
        nonce,
        onInterrupted: fc.constantFrom('park', 'verify', 'rerun'),
        attempts: fc.constantFrom(3, 5),
      })
      .map(({ nonce: own, onInterrupted, attempts }) => claimed(own, { onInterrupted, retry: { attempts } })),
    nonce.map((own) => succeeded(own)),
    fc.tuple(nonce, fc.boolean()).map(([own, retry]) => failed(own, retry ? at : null)),
    nonce.map((own) => interrupted(own)),
    nonce.map((own): RecordEvent => ({ kind: 'released', at, nonce: own, notBefore: null })),
    nonce.map((own): RecordEvent => ({ kind: 'abandoned', at, nonce: own, error })),
    nonce.map((own): RecordEvent => ({ kind: 'readopted', nonce: own, claim: claim(own) })),
    nonce.map((own): RecordEvent => ({ kind: 'verified', at, nonce: own, verdict: { kind: 'notExecuted' } })),
    nonce.map((own): RecordEvent => ({ kind: 'replayed', nonce: own })),
    fc.constantFrom<RecordEvent>(
      { kind: 'cancelled', at },
      { kind: 'cancelRequested' },
      { kind: 'resolved', at, as: 'completed', note: 'so' },
    ),
  );

  test('attempts never go back, grow by one at most, and completed never moves', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let record = born();
        for (const each of events) {
          const move = transition(record, each);
          if (move.kind === 'refused') continue;
          expect(record.state).not.toBe('completed');
          expect(move.record.attempt - record.attempt).toBeGreaterThanOrEqual(0);
          expect(move.record.attempt - record.attempt).toBeLessThanOrEqual(1);
          expect((move.record.attempts ?? []).length).toBeLessThanOrEqual(limits.attemptsKept);
          const numbers = (move.record.attempts ?? []).map(({ n }) => n);
          expect(new Set(numbers).size).toBe(numbers.length);
          record = move.record;
        }
      }),
    );
  });

  test('a new attempt begins only after the last one is known to have failed, was released, given up to rerun, verified or replayed', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let record = born();
        let open: Nonce | null = null;
        for (const each of events) {
          const move = transition(record, each);
          if (move.kind === 'refused') continue;
          if (each.kind === 'claimed') {
            expect(open).toBeNull();
            open = each.nonce;
          } else if (move.record.state !== 'running' && move.record.state !== 'uncertain') {
            open = null;
          }
          record = move.record;
        }
      }),
    );
  });

  test('a record survives being written and read', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 20 }), (events) => {
        let held: Held = { record: born(), version: 0 };
        for (const each of events) {
          const move = transition(held.record, each);
          if (move.kind === 'moved') held = { record: move.record, version: held.version + 1 };
        }
        expect(decodeRecord(encodeRecord(held.record), `/x/${held.record.id}`)).toEqual(held.record);
      }),
    );
  });
});

test('a record of this format is read as it was written', () => {
  const text =
    '{"v":2,"t":"email","q":"mail","p":{"to":"a"},"h":"hash","i":3,"w":{"timeoutMs":9},"s":"running","n":2,"b":1,' +
    '"o":"two","c":["w1","one"],"y":[5,500,60000,2,9,"rerun"],"d":7,"a":1,"g":4,"x":true,' +
    '"l":[[1,"w0",1,{"code":"HANDLER_FAILED","message":"no"},"zero",2,3]],"k":1,"u":2,"m":"noted"}';
  const record = decodeRecord(Buffer.from(text), '/tasks/00/t1');
  expect(record).toEqual({
    v: 2,
    id: 't1',
    type: 'email',
    queue: 'mail',
    payload: { to: 'a' },
    hash: 'hash',
    priority: 3,
    wishes: { timeoutMs: 9 },
    state: 'running',
    attempt: 2,
    attemptBase: 1,
    nonce: 'two',
    claim: { worker: 'w1', nonce: 'one' },
    policy: {
      retry: { attempts: 5, delayMsMin: 500, delayMsMax: 60_000, factor: 2 },
      timeoutMs: 9,
      onInterrupted: 'rerun',
    },
    notBefore: 7,
    acceptedAt: 1,
    startedAt: 4,
    cancelRequested: true,
    attempts: [
      {
        n: 1,
        worker: 'w0',
        outcome: 'failed',
        error: { code: 'HANDLER_FAILED', message: 'no' },
        nonce: 'zero',
        startedAt: 2,
        endedAt: 3,
      },
    ],
    replays: 1,
    verifications: 2,
    note: 'noted',
  });
  expect(encodeRecord(record).toString()).toBe(text);
});
