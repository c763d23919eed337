// frames.ts: cuts a byte stream into ZooKeeper's frames (a 4-byte length, then that many bytes). One per socket, so that
// half a frame never outlives its connection; iterative and linear in the bytes received (trap 9).

/** Replies have no bound of the server's own (100 000 children are 1.4 MB); beyond this the stream is not ZooKeeper's. */
const frameBytesMax = 64 * 1024 * 1024;

export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes that complete the frame at the head, its length field included; 4 while the length is not known. */
  #wanted = 4;

  /**
   * Calls `onFrame` with each complete frame, its length field included, until it returns false.
   * @throws Error when a length is absurd: the stream cannot be read any further.
   */
  push(chunk: Buffer, onFrame: (frame: Buffer) => boolean): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return;
    const buffer = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#bytes);
    let offset = 0;
    this.#wanted = 4;
    while (buffer.length - offset >= 4) {
      const size = buffer.readInt32BE(offset);
      if (size < 0 || size > frameBytesMax) throw new Error(`a frame of ${size} bytes was announced`);
      this.#wanted = size + 4;
      if (buffer.length - offset < this.#wanted) break;
      const frame = buffer.subarray(offset, offset + this.#wanted);
      offset += this.#wanted;
      this.#wanted = 4;
      if (!onFrame(frame)) break;
    }
    this.#chunks = offset === buffer.length ? [] : [buffer.subarray(offset)];
    this.#bytes = buffer.length - offset;
  }
}
