// key.test.ts: API keys as values: what may be asked for, what a key looks like, which queues it covers.

import { describe, expect, test } from 'vitest';
import {
  type ApiKey,
  coversQueue,
  decodeKey,
  type EpochMs,
  encodeKey,
  hashOfSecret,
  isSecretOf,
  keyText,
  limits,
  type Nonce,
  newKey,
  parseKeyId,
  parseKeyInput,
  parseKeyText,
} from '../../src/domain/index.js';
import { systemRandom } from '../../src/runtime/index.js';

const now = Date.UTC(2026, 0, 2) as EpochMs;

describe('what a key may be asked to be', () => {
  test('its defaults: all queues, for ever', () => {
    const content = parseKeyInput({ name: ' shop ', scopes: ['read', 'read'] }, now);
    expect(content).toEqual({ name: 'shop', scopes: ['read'], queues: ['*'], expiresAt: null });
  });

  test('a time to come, in each way a time may be given', () => {
    const at = now + 60_000;
    for (const expiresAt of [at, new Date(at), new Date(at).toISOString()]) {
      expect(parseKeyInput({ name: 'a', scopes: ['read'], expiresAt }, now).expiresAt).toBe(at);
    }
  });

  test.each([
    ['name', { name: ' ' }],
    ['name', { name: 'x'.repeat(limits.nameCharsMax + 1) }],
    ['scopes', { scopes: [] }],
    ['scopes.0', { scopes: ['admin'] }],
    ['queues', { queues: [] }],
    ['queues.1', { queues: ['a', 'a*b'] }],
    ['queues.0', { queues: ['../x'] }],
    ['queues', { queues: Array.from({ length: limits.keyQueuesMax + 1 }, (_, i) => `q${i}`) }],
    ['expiresAt', { expiresAt: now }],
    ['expiresAt', { expiresAt: 'tomorrow' }],
    ['queue', { queue: 'mail' }],
  ])('%s is refused in %j', (field, bad) => {
    const parse = () => parseKeyInput({ name: 'a', scopes: ['read'], ...bad }, now);
    expect(parse).toThrow(expect.objectContaining({ code: 'KEY_INPUT_INVALID', field }));
  });

  test('an unknown field is answered with what may have been meant', () => {
    expect(() => parseKeyInput({ name: 'a', scopes: ['read'], queue: 'mail' }, now)).toThrow(
      'did you mean queues?',
    );
  });
});

describe('what a key looks like', () => {
  test('made, shown and read again, and no two alike', () => {
    const made = Array.from({ length: 100 }, () => newKey(() => systemRandom.nonce()));
    for (const { id, secret } of made) {
      expect(parseKeyText(keyText(id, secret))).toEqual({ id, secret });
      expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
    }
    expect(new Set(made.map(({ secret }) => secret)).size).toBe(100);
    expect(new Set(made.map(({ id }) => id)).size).toBe(100);
  });

  test('the secret has no bytes in common with the id: the id is no secret', () => {
    let serial = 0;
    const nonce = (): Nonce => {
      serial += 1;
      return Buffer.alloc(16, serial).toString('base64url') as Nonce;
    };
    const { id, secret } = newKey(nonce);
    expect(id).toBe('01'.repeat(8));
    expect(Buffer.from(secret, 'base64url').toString('hex')).toBe('02'.repeat(16) + '03'.repeat(16));
  });

  const [id, secret] = ['0123456789abcdef', 's'.repeat(43)];
  test.each([
    '',
    `ck_${id}`,
    `ck_${id}_`,
    `ck_${id}_${secret.slice(1)}`,
    `ck_${id}_${secret}s`,
    `ck_${id.toUpperCase()}_${secret}`,
    `xk_${id}_${secret}`,
    ` ck_${id}_${secret}`,
    `ck_${id}_${secret}\n`,
    `ck_${id}_${secret.slice(1)}é`,
  ])('%j is none', (text) => expect(parseKeyText(text)).toBeNull());

  test('an id is not quoted where the whole key was given', () => {
    expect(() => parseKeyId(`ck_${id}_${secret}`)).toThrow('a whole key is no key');
    expect(() => parseKeyId(`ck_${id}_${secret}`)).not.toThrow(secret);
    expect(parseKeyId(id)).toBe(id);
  });
});

describe('a stored key', () => {
  const key: ApiKey = {
    id: parseKeyId('0123456789abcdef'),
    name: 'shop',
    hash: hashOfSecret('right'),
    scopes: ['read'],
    queues: ['*'],
    createdAt: now,
    expiresAt: null,
  };

  test('is read as it was written, and holds no secret', () => {
    expect(decodeKey(key.id, encodeKey(key))).toEqual(key);
    expect(encodeKey(key).toString()).not.toContain('right');
  });

  test.each([
    ['', 'nothing'],
    ['null', 'null'],
    ['{"v":2}', 'another format'],
    [encodeKey({ ...key, hash: 'short' }).toString(), 'a hash that is none'],
  ])('%j is none: %s', (text) => expect(decodeKey(key.id, Buffer.from(text))).toBeNull());

  test('its secret is told from another, and no secret opens a key that is not there', () => {
    expect(isSecretOf(key, 'right')).toBe(true);
    expect(isSecretOf(key, 'wrong')).toBe(false);
    expect(isSecretOf(null, 'right')).toBe(false);
  });
});

test.each([
  ['*', 'mail', true],
  ['mail', 'mail', true],
  ['mail', 'mail-eu', false],
  ['mail-*', 'mail-eu', true],
  ['mail-*', 'mail-', true],
  ['mail-*', 'mail', false],
  ['mail-*', 'e-mail-eu', false],
  ['m.il', 'mail', false],
])('%s covers %s: %s', (pattern, queue, covered) => {
  expect(coversQueue([pattern], queue)).toBe(covered);
  expect(coversQueue(['other', pattern], queue)).toBe(covered);
});
