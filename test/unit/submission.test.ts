// submission.test.ts: what may be submitted, and what is said of what may not.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bucketOf,
  ClaimkeeperError,
  defaultRetryPolicy,
  type EpochMs,
  errorRegistry,
  limits,
  parseSubmission,
  parseTaskId,
  resolvePolicy,
  resultOf,
  retryDelayMs,
} from '../../src/domain/index.js';

const now = Date.UTC(2026, 0, 1) as EpochMs;
const task = { id: 'order:1', type: 'mail' };

function refusal(input: unknown): { code: string; field: string | undefined; message: string } {
  try {
    parseSubmission(input, now);
  } catch (error) {
    if (error instanceof ClaimkeeperError)
      return { code: error.code, field: error.field, message: error.message };
    throw error;
  }
  throw new Error('it was accepted');
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i += 1) value = [value];
  return value;
}

describe('a submission', () => {
  test('has defaults for all but id and type', () => {
    expect(parseSubmission(task, now)).toMatchObject({
      queue: 'default',
      payload: null,
      priority: 0,
      notBefore: null,
      policy: null,
    });
  });

  test.each([
    ['', 'TASK_ID_INVALID'],
    ['.hidden', 'TASK_ID_INVALID'],
    ['..', 'TASK_ID_INVALID'],
    ['a/b', 'TASK_ID_INVALID'],
    ['a\u0000b', 'TASK_ID_INVALID'],
    ['ä', 'TASK_ID_INVALID'],
    ['x'.repeat(129), 'TASK_ID_INVALID'],
    [undefined, 'TASK_ID_INVALID'],
    [7, 'TASK_ID_INVALID'],
  ])('with the id %j is refused: %s', (id, code) => {
    expect(refusal({ ...task, id }).code).toBe(code);
  });

  test.each([
    [{ id: 'a/b' }, 'TASK_ID_INVALID', 'id'],
    [{ type: 'a b' }, 'NAME_INVALID', 'type'],
    [{ queue: '' }, 'NAME_INVALID', 'queue'],
    [{ priority: -1 }, 'SUBMISSION_INVALID', 'priority'],
    [{ priority: 1.5 }, 'SUBMISSION_INVALID', 'priority'],
    [{ delayMs: -1 }, 'SUBMISSION_INVALID', 'delayMs'],
    [{ delayMs: 1, runAt: now }, 'SUBMISSION_INVALID', 'runAt'],
    [{ runAt: 'tomorrow' }, 'SUBMISSION_INVALID', 'runAt'],
    [{ runAt: '2026-01-01T00:00:00' }, 'SUBMISSION_INVALID', 'runAt'],
    [{ retry: { attempts: 0 } }, 'SUBMISSION_INVALID', 'retry.attempts'],
    [{ retry: { tries: 3 } }, 'SUBMISSION_INVALID', 'retry.tries'],
    [{ timeoutMs: 0 }, 'SUBMISSION_INVALID', 'timeoutMs'],
    [{ onInterrupted: 'guess' }, 'SUBMISSION_INVALID', 'onInterrupted'],
    [{ colour: 'red' }, 'SUBMISSION_INVALID', 'colour'],
    [{ payload: { a: [1, Number.NaN] } }, 'SUBMISSION_INVALID', 'payload.a[1]'],
    [{ payload: { a: undefined } }, 'SUBMISSION_INVALID', 'payload.a'],
    [{ payload: { at: new Date(0) } }, 'SUBMISSION_INVALID', 'payload.at'],
    [{ payload: 'x'.repeat(limits.payloadBytesMax) }, 'PAYLOAD_TOO_LARGE', 'payload'],
  ])('with %j is refused: %s at %s', (more, code, field) => {
    expect(refusal({ ...task, ...more })).toMatchObject({ code, field });
  });

  test.each([[{ toString: 1, valueOf: 1 }], [Object.create(null)], [[{ toString: null }]]])(
    'with %j for an id or a type is refused, and nothing of it is called',
    (value) => {
      expect(refusal({ ...task, id: value })).toMatchObject({ code: 'TASK_ID_INVALID', field: 'id' });
      expect(refusal({ ...task, type: value })).toMatchObject({ code: 'NAME_INVALID', field: 'type' });
    },
  );

  test('with a field of a hundred thousand characters is refused in few', () => {
    const long = 'x'.repeat(100_000);
    for (const more of [{ [long]: 1 }, { payload: { [long]: Number.NaN } }, { id: long }]) {
      const { message, field } = refusal({ ...task, ...more });
      expect(message.length + (field?.length ?? 0)).toBeLessThan(1_000);
    }
  });

  test.each([[null], [undefined], [[]], ['x'], [7]])('that is %j is refused', (input) => {
    expect(refusal(input).code).toBe('SUBMISSION_INVALID');
  });

  test('with a BigInt is refused, naming the field', () => {
    expect(refusal({ ...task, payload: { amount: 10n } })).toMatchObject({
      code: 'SUBMISSION_INVALID',
      field: 'payload.amount',
    });
  });

  test('nested a hundred thousand levels deep is refused, and one at the limit accepted', () => {
    expect(refusal({ ...task, payload: nested(100_000) }).message).toContain('nested deeper');
    expect(
      parseSubmission({ ...task, payload: nested(limits.payloadDepthMax - 1) }, now).payload,
    ).toBeDefined();
  });

  test('means the same task when only the order of keys, or the delay, differs', () => {
    const hash = (more: object): string => parseSubmission({ ...task, ...more }, now).hash;
    expect(hash({ payload: { a: 1, b: [2, { c: 3, d: 4 }] } })).toBe(
      hash({ payload: { b: [2, { d: 4, c: 3 }], a: 1 } }),
    );
    expect(hash({ delayMs: 5 })).toBe(hash({ delayMs: 500 }));
    expect(hash({ retry: { attempts: 3 }, timeoutMs: 5 })).toBe(
      hash({ timeoutMs: 5, retry: { attempts: 3 } }),
    );
    expect(hash({ payload: [1, 2] })).not.toBe(hash({ payload: [2, 1] }));
    expect(hash({ payload: '1' })).not.toBe(hash({ payload: 1 }));
    expect(hash({ payload: JSON.parse('{"__proto__":1}') })).not.toBe(hash({ payload: {} }));
  });

  test('of any JSON is accepted unchanged, and hashes alike when it went through JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (payload) => {
        const first = parseSubmission({ ...task, payload }, now);
        expect(first.payload).toEqual(payload);
        expect(parseSubmission({ ...task, payload: JSON.parse(JSON.stringify(payload)) }, now).hash).toBe(
          first.hash,
        );
      }),
    );
  });
});

describe('policies', () => {
  test('of the submission win over the type, and the type over the defaults', () => {
    const policy = resolvePolicy(
      { retry: { attempts: 9, factor: 3 }, timeoutMs: 7 },
      { retry: { attempts: 2 } },
    );
    expect(policy).toEqual({
      retry: { ...defaultRetryPolicy, attempts: 2, factor: 3 },
      timeoutMs: 7,
      onInterrupted: 'park',
    });
  });

  test('delay by full jitter below a bound that grows to its cap', () => {
    const policy = { attempts: 9, delayMsMin: 100, delayMsMax: 1_000, factor: 2 };
    expect([1, 2, 3, 4, 5, 50].map((n) => retryDelayMs(n, policy, 1))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
    expect(retryDelayMs(3, policy, 0)).toBe(0);
    expect(retryDelayMs(3, policy, 0.5)).toBe(200);
  });
});

describe('ids, results and errors', () => {
  test('every id is in the bucket that its hash says', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9_:@~-][A-Za-z0-9._:@~-]{0,127}$/), (text) => {
        expect(bucketOf(parseTaskId(text))).toMatch(/^[0-9a-f]{2}$/);
      }),
    );
    expect(bucketOf(parseTaskId('a'))).toBe('ca'); // sha256('a') begins with ca978112.
  });

  test('a completion is never refused for its result: too large, cyclic or no JSON at all is recorded as omitted', () => {
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    expect(resultOf(cyclic)).toEqual({ omittedBytes: 0 });
    expect(resultOf(10n)).toEqual({ omittedBytes: 0 });
    expect(resultOf(undefined)).toEqual({ value: null });
    expect(resultOf(() => 1)).toEqual({ value: null });
    expect(resultOf('x'.repeat(limits.resultBytesMax))).toEqual({ omittedBytes: limits.resultBytesMax + 2 });
    expect(resultOf({ at: new Date(0) })).toEqual({ value: { at: '1970-01-01T00:00:00.000Z' } });
  });

  test('every error code has a status, a text and a word on retrying', () => {
    for (const { status, text, retryable } of Object.values(errorRegistry)) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(text.length).toBeGreaterThan(10);
      expect(typeof retryable).toBe('boolean');
    }
  });
});
