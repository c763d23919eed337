// service.ts: the one lifecycle of long-lived things.

export interface Service {
  /** Resolves when work is accepted; rejects when it cannot be. Called once. */
  start(): Promise<void>;
  /** Idempotent; resolves once nothing of the service still runs. */
  stop(): Promise<void>;
}

/** Starts in order; when one fails, stops those that had started, and rejects. The stop is in reverse order. */
export async function startAll(services: readonly Service[]): Promise<() => Promise<void>> {
  const started: Service[] = [];
  const stop = async (): Promise<void> => {
    for (const service of started.splice(0).reverse()) await service.stop();
  };
  try {
    for (const service of services) {
      started.push(service);
      await service.start();
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}
