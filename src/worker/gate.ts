// gate.ts: whether new claims may be made. Owns the waiting for it; what opens and closes it is worker.ts's, and, for the queue of an operator's pause, pausable.ts's.

export class Gate {
  #open = false;
  readonly #waiters = new Set<() => void>();

  get isOpen(): boolean {
    return this.#open;
  }

  open(): void {
    this.#open = true;
    for (const wake of [...this.#waiters]) wake();
  }

  close(): void {
    this.#open = false;
  }

  /** Resolves once the gate is open, or `signal` aborts. */
  opened(signal: AbortSignal): Promise<void> {
    if (this.#open || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#waiters.delete(settle);
        signal.removeEventListener('abort', settle);
        resolve();
      };
      this.#waiters.add(settle);
      signal.addEventListener('abort', settle, { once: true });
    });
  }
}
