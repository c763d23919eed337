// lifetime.ts: how long a process that serves lives: until it is told to stop, by a signal or by the end of its parent.

import { constants } from 'node:os';
import type { Clock } from '../runtime/index.js';

/** A child whose parent is gone has lost its servers too, as likely as not. */
const orphanMsMax = 10_000;

/**
 * Resolves with the reason at the first SIGINT or SIGTERM, or when the IPC channel to the parent closes, which it does
 * however the parent dies. A second signal ends the process at once.
 */
export function toldToStop(clock: Clock): Promise<string> {
  return new Promise((resolve) => {
    let told = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (told) process.exit(128 + constants.signals[signal]);
        told = true;
        resolve(signal);
      });
    }
    if (process.send === undefined) return;
    process.once('disconnect', () => {
      clock.after(orphanMsMax, () => process.exit(1));
      resolve('the parent process ended');
    });
  });
}
