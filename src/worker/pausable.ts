// pausable.ts: deliveries of a queue that an operator may pause. Owns when none is taken: while the queue is paused, and until
// it is known that it is not. What runs goes on; what waits stays where it is.

import { type Session, type Watch, watchNode } from '../coordination/index.js';
import type { Name } from '../domain/index.js';
import { decodeQueueSetting, queuePath } from '../ledger/index.js';
import type { Runtime } from '../runtime/index.js';
import { Gate } from './gate.js';
import type { Delivery, Source } from './source.js';

export class PausableSource implements Source {
  readonly #inner: Source;
  readonly #queue: Name;
  readonly #session: Session;
  readonly #runtime: Runtime;
  readonly #gate = new Gate();
  readonly #stopping = new AbortController();
  /** Ends the wait for a delivery. */
  #leave: () => void = () => undefined;
  #watch: Watch | null = null;

  constructor(inner: Source, queue: Name, session: Session, runtime: Runtime) {
    this.#inner = inner;
    this.#queue = queue;
    this.#session = session;
    this.#runtime = runtime;
  }

  get paused(): boolean {
    return !this.#gate.isOpen;
  }

  start(): Promise<void> {
    this.#watch = watchNode(
      this.#session,
      queuePath(this.#queue),
      decodeQueueSetting,
      (setting) => this.#observe(setting?.paused === true),
      this.#runtime,
    );
    return this.#inner.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#leave();
    await Promise.all([this.#watch?.stop(), this.#inner.stop()]);
  }

  async take(signal?: AbortSignal): Promise<Delivery | null> {
    const over = (): boolean => signal?.aborted === true || this.#stopping.signal.aborted;
    while (!over()) {
      await this.#untilOpen(signal);
      if (over()) break;
      const delivery = await this.#takeWhileOpen(signal);
      if (delivery === null && this.#gate.isOpen) return null;
      if (delivery === null) continue;
      if (this.#gate.isOpen) return delivery;
      await delivery.giveBack(delivery.ids, 0);
    }
    return null;
  }

  async #untilOpen(signal: AbortSignal | undefined): Promise<void> {
    if (this.#gate.isOpen) return;
    const left = this.#leavable(signal);
    await this.#gate.opened(left.signal);
    left.done();
  }

  async #takeWhileOpen(signal: AbortSignal | undefined): Promise<Delivery | null> {
    if (!this.#gate.isOpen) return null;
    const left = this.#leavable(signal);
    const delivery = await this.#inner.take(left.signal);
    left.done();
    return delivery;
  }

  /** A signal that aborts with `signal`, and with {@link #leave}. */
  #leavable(signal: AbortSignal | undefined): { readonly signal: AbortSignal; readonly done: () => void } {
    const left = new AbortController();
    const leave = (): void => left.abort();
    this.#leave = leave;
    signal?.addEventListener('abort', leave, { once: true });
    return { signal: left.signal, done: () => signal?.removeEventListener('abort', leave) };
  }

  #observe(paused: boolean): void {
    if (paused === this.paused) return;
    this.#runtime.log.info({ queue: this.#queue, paused }, 'a queue was paused or goes on');
    if (paused) {
      this.#gate.close();
      this.#leave();
    } else this.#gate.open();
  }
}
