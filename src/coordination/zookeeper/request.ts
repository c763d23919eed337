// request.ts: one request on its way: queued, sent, settled. Settles once: answered, notSent (certainly never sent), or
// unknown.

import type { QueuedRequest } from 'node-zookeeper-client';
import type { Timer } from '../../runtime/index.js';
import type { Instant } from './lease.js';
import type { Encoded } from './wire.js';

export type Answer =
  /** `err` is the server's code; `frame` the whole reply, its body from {@link replyBodyAt} on. */
  | { readonly kind: 'answered'; readonly err: number; readonly zxid: bigint; readonly frame: Buffer }
  | { readonly kind: 'notSent'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string };

/** Length, xid, zxid and err precede a reply's body. */
export const replyBodyAt = 20;

export class Request implements QueuedRequest {
  readonly header: { xid: number; readonly type: number };
  readonly payload = null;
  readonly #frame: Buffer;
  readonly #onSend: (request: Request) => Instant;
  #settle: ((answer: Answer) => void) | null;
  sentAt: Instant | null = null;
  deadline: Timer | null = null;

  /** `onSend` is called as the request is written to the socket, and says when that is. */
  constructor(
    encoded: Encoded,
    onSend: (request: Request) => Instant,
    settle: ((answer: Answer) => void) | null,
  ) {
    this.header = { xid: 0, type: encoded.type };
    this.#frame = encoded.frame;
    this.#onSend = onSend;
    this.#settle = settle;
  }

  /** The client calls this when it writes the result to the socket, having set the xid. */
  toBuffer(): Buffer {
    this.#frame.writeInt32BE(this.header.xid, 4);
    this.sentAt = this.#onSend(this);
    return this.#frame;
  }

  settle(answer: Answer): void {
    this.deadline?.cancel();
    const settle = this.#settle;
    this.#settle = null;
    settle?.(answer);
  }

  /** The connection is gone, or the deadline passed. */
  giveUp(why: string): void {
    this.settle(this.sentAt === null ? { kind: 'notSent', why } : { kind: 'unknown', why });
  }
}
