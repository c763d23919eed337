// eventually.ts: waiting for what must come, with a deadline. The only place of the tests that looks again after a while.

/**
 * Calls `fn` every `pollMs` (default 10) until it neither throws nor rejects; resolves with its result. After `deadlineMs`
 * (default 10 000) it rejects with `what` and the last error as its cause.
 */
export async function eventually<T>(
  fn: () => T | Promise<T>,
  options: { deadlineMs?: number; pollMs?: number; what: string },
): Promise<T> {
  const { deadlineMs = 10_000, pollMs = 10, what } = options;
  const deadline = performance.now() + deadlineMs;
  let last: unknown = new Error('it did not answer at all');
  while (performance.now() < deadline) {
    try {
      return await Promise.race([fn(), never(deadline - performance.now(), last)]);
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  const reason = last instanceof Error ? last.message : String(last);
  throw new Error(`not within ${deadlineMs} ms: ${what} (last: ${reason})`, { cause: last });
}

/** Rejects once the time is up, so that an answer that never comes has the deadline of all. */
function never(delayMs: number, reason: unknown): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(reason), delayMs).unref();
  });
}
