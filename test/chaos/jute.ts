// jute.ts: ZooKeeper's serialisation, as far as transaction logs use it: big-endian numbers, and strings, buffers and lists
// with their length before them.

export class JuteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  int(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  long(): bigint {
    this.#at += 8;
    return this.#bytes.readBigInt64BE(this.#at - 8);
  }

  boolean(): boolean {
    this.#at += 1;
    return this.#bytes.readUInt8(this.#at - 1) !== 0;
  }

  /** Empty for null, which is written as length −1. A copy: a log's buffer is not kept alive by what was read from it. */
  buffer(): Buffer {
    const length = this.int();
    if (length > this.left) throw new RangeError(`${length} bytes are announced, ${this.left} are left`);
    const from = this.#at;
    this.#at += Math.max(0, length);
    return Buffer.from(this.#bytes.subarray(from, this.#at));
  }

  string(): string {
    return this.buffer().toString();
  }

  list<T>(read: () => T): T[] {
    const length = this.int();
    return Array.from({ length: Math.max(0, length) }, read);
  }
}
