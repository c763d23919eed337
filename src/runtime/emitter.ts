// emitter.ts: typed events within a process. A listener that throws is logged by the caller's `onError` and harms no other.

export type Unsubscribe = () => void;

export class Emitter<Events extends Record<string, unknown>> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void = rethrowLater) {
    this.#onError = onError;
  }

  on<Kind extends keyof Events>(kind: Kind, listener: (event: Events[Kind]) => void): Unsubscribe {
    const listeners = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  emit<Kind extends keyof Events>(kind: Kind, event: Events[Kind]): void {
    for (const listener of [...(this.#listeners.get(kind) ?? [])]) {
      try {
        (listener as (event: Events[Kind]) => void)(event);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}

/** A listener's throw is a defect: it surfaces as an uncaught exception, outside the emitter's stack. */
function rethrowLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
