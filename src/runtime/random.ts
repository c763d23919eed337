// random.ts: chance, as an argument. Owns the only use of the platform's randomness.

import { randomBytes, randomUUID } from 'node:crypto';
import type { Nonce } from '../domain/index.js';

export interface Random {
  /** Uniform in [0, 1). */
  roll(): number;
  /** 128 bits as 22 base64url characters. */
  nonce(): Nonce;
  uuid(): string;
}

const nonceBytes = 16;
/** Bytes for the next nonces: to ask for those of one costs as much as to ask for those of a hundred. */
const bytes = { of: Buffer.alloc(0), used: 0 };

function nonce(): Nonce {
  if (bytes.used === bytes.of.length) Object.assign(bytes, { of: randomBytes(100 * nonceBytes), used: 0 });
  bytes.used += nonceBytes;
  return bytes.of.toString('base64url', bytes.used - nonceBytes, bytes.used) as Nonce;
}

export const systemRandom: Random = {
  roll: () => Math.random(),
  nonce,
  uuid: () => randomUUID(),
};
