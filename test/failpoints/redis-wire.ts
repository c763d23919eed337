// redis-wire.ts: what a client asks of Redis, read off the wire (RESP 2). A transaction of Redis's own counts as one request,
// at its EXEC.

import type { Frame, Wire } from './tap.js';

export type RedisRequest = { readonly words: readonly string[] };

/** Replies come in the order of requests: the key is their number on this connection. */
export function redisWire(): Wire<RedisRequest> {
  const [asked, answered] = [new Values(), new Values()];
  let [requests, replies] = [0, 0];
  let transaction: string[] | null = null;
  return {
    requests: (bytes) =>
      asked.split(bytes).map((frame): Frame<RedisRequest> => {
        requests += 1;
        const words = wordsOf(frame);
        const verb = words[0]?.toLowerCase();
        if (verb === 'multi') transaction = [];
        if (transaction === null) return { bytes: frame, key: requests, asked: { words } };
        transaction.push(...words);
        if (verb !== 'exec') return { bytes: frame, key: requests };
        const all = transaction;
        transaction = null;
        return { bytes: frame, key: requests, asked: { words: all } };
      }),
    replies: (bytes) =>
      answered.split(bytes).map((frame) => {
        replies += 1;
        return { bytes: frame, key: replies, isRefusal: frame.subarray(0, 9).toString() === '-NOSCRIPT' };
      }),
  };
}

/** Cuts a stream into whole values of the protocol. */
class Values {
  #rest: Buffer = Buffer.alloc(0);

  split(bytes: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const values: Buffer[] = [];
    for (let end = endOf(this.#rest, 0); end !== null; end = endOf(this.#rest, 0)) {
      values.push(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
    }
    return values;
  }
}

/** Where the value that begins at `at` ends; null while it is incomplete. */
function endOf(bytes: Buffer, at: number): number | null {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd < 0) return null;
  const next = lineEnd + 2;
  const kind = String.fromCharCode(bytes.readUInt8(at));
  const count = Number(bytes.subarray(at + 1, lineEnd).toString());
  if (kind === '$') return ended(bytes, count < 0 ? next : next + count + 2);
  if (kind !== '*') return next;
  let end: number | null = next;
  for (let left = count; left > 0 && end !== null; left -= 1) end = endOf(bytes, end);
  return end;
}

function ended(bytes: Buffer, end: number): number | null {
  return end <= bytes.length ? end : null;
}

function wordsOf(frame: Buffer): string[] {
  const words: string[] = [];
  let at = frame.indexOf('\r\n') + 2;
  while (at < frame.length) {
    const lineEnd = frame.indexOf('\r\n', at);
    const length = Number(frame.subarray(at + 1, lineEnd).toString());
    words.push(frame.subarray(lineEnd + 2, lineEnd + 2 + length).toString());
    at = lineEnd + 2 + length + 2;
  }
  return words;
}
