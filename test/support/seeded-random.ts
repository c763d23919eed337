// seeded-random.ts: chance that repeats. One seed, one sequence, by sfc32 (Chris Doty-Humphrey's PractRand), whose state is
// filled from the seed by splitmix32.

import type { Nonce } from '../../src/domain/index.js';
import type { Random } from '../../src/runtime/index.js';

export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `name`: of one sequence among those of a seed; each goes on whatever is drawn from the others. */
  constructor(seed: number, name = '') {
    let state = seed | 0;
    for (let n = 0; n < name.length; n += 1) state = Math.imul(state ^ name.charCodeAt(n), 0x0100_0193);
    const word = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return (mixed ^ (mixed >>> 15)) | 0;
    };
    [this.#a, this.#b, this.#c] = [word(), word(), word()];
    for (let n = 0; n < 12; n += 1) this.#word();
  }

  roll(): number {
    return this.#word() / 2 ** 32;
  }

  nonce(): Nonce {
    return this.#bytes(16).toString('base64url') as Nonce;
  }

  uuid(): string {
    const hex = this.#bytes(16).toString('hex');
    return [8, 12, 16, 20, 32].map((end, i, ends) => hex.slice(ends[i - 1] ?? 0, end)).join('-');
  }

  /** Whole and uniform, both ends included. */
  between(min: number, max: number): number {
    return min + Math.floor(this.roll() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.roll() < probability;
  }

  /** Throws when there is nothing to pick. */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.roll() * items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** `count` is a multiple of four. */
  #bytes(count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    for (let at = 0; at < count; at += 4) bytes.writeUInt32LE(this.#word(), at);
    return bytes;
  }

  #word(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }
}
