// random.ts: chance, as an argument. Owns the only use of the platform's randomness.

import { randomFillSync, randomUUID } from 'node:crypto';
import type { Nonce } from '../domain/index.js';

export interface Random {
  /** Uniform in [0, 1). */
  roll(): number;
  /** 128 bits as 22 base64url characters. */
  nonce(): Nonce;
  uuid(): string;
}

const nonceBytes = 16;
/** The system is asked for the bytes of many nonces at once: each question costs ten times what they do. */
const drawn = Buffer.alloc(256 * nonceBytes);
let used = drawn.length;

export const systemRandom: Random = {
  roll: () => Math.random(),
  nonce() {
    if (used === drawn.length) {
      randomFillSync(drawn);
      used = 0;
    }
    used += nonceBytes;
    return drawn.toString('base64url', used - nonceBytes, used) as Nonce;
  },
  uuid: () => randomUUID(),
};
