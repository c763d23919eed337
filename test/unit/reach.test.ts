// reach.test.ts: where the API may do without keys: only where nobody from elsewhere can reach it.

import { expect, test } from 'vitest';
import { areKeysRequired } from '../../src/cli/reach.js';

test.each([
  ['127.0.0.1', false],
  ['127.8.9.10', false],
  ['localhost', false],
  ['::1', false],
  ['0.0.0.0', true],
  ['::', true],
  ['10.0.0.7', true],
  ['127.0.0.1.example.org', true],
  ['127.example.org', true],
  ['localhost.example.org', true],
  ['::ffff:127.0.0.1', true],
])('on %s keys are required: %s; always where that is asked for', (host, required) => {
  expect(areKeysRequired({ host, requireKeys: 'off-loopback' })).toBe(required);
  expect(areKeysRequired({ host, requireKeys: 'always' })).toBe(true);
});
