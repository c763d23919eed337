// test-key.ts: an API key of tests, as its holder shows it and as the API knows it.

import { type ApiKey, hashOfSecret, keyScopes, keyText, parseKeyId } from '../../src/domain/index.js';
import { twinNow } from './task-service-twin.js';

const id = parseKeyId('0123456789abcdef');
const secret = 's'.repeat(43);

export const shownKey = keyText(id, secret);

/** For everything, for ever, but for what `less` says. */
export function storedKey(less: Partial<ApiKey> = {}): ApiKey {
  const all = { scopes: [...keyScopes], queues: ['*'], createdAt: twinNow, expiresAt: null };
  return { id, name: 'k', hash: hashOfSecret(secret), ...all, ...less };
}
