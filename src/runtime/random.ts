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

export const systemRandom: Random = {
  roll: () => Math.random(),
  nonce: () => randomBytes(16).toString('base64url') as Nonce,
  uuid: () => randomUUID(),
};
