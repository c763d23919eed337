// clock.ts: one monotonic clock for all processes of a run.

import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds since the machine came up: the same in every process. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export async function until(at: number): Promise<void> {
  const ms = at - now();
  if (ms > 0) await pause(ms);
}
