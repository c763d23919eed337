// retry.ts: when a failed attempt is followed by another. Owns the policy's shape and the delay; who counts is record.ts.

export type RetryPolicy = {
  /** Attempts in all, the first included: 1–100, default 5. */
  readonly attempts: number;
  /** Upper bound of the delay before attempt 2, in ms; default 500. */
  readonly delayMsMin: number;
  /** Upper bound of any delay, in ms; default 60 000. */
  readonly delayMsMax: number;
  /** Growth of the bound per attempt: 1–10, default 2. */
  readonly factor: number;
};

export const defaultRetryPolicy: RetryPolicy = {
  attempts: 5,
  delayMsMin: 500,
  delayMsMax: 60_000,
  factor: 2,
};

/**
 * Delay in ms after failed attempt `failed` (from 1); `roll` in [0, 1) from the injected source. Full jitter: the bound
 * grows exponentially to its cap and the delay is uniform below it (Brooker, "Exponential Backoff And Jitter", 2015).
 */
export function retryDelayMs(failed: number, policy: RetryPolicy, roll: number): number {
  return Math.round(roll * Math.min(policy.delayMsMax, policy.delayMsMin * policy.factor ** (failed - 1)));
}
