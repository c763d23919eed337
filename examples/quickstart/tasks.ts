// tasks.ts: one task type; the module that `claimkeeper up` and `claimkeeper worker` are given.

import { defineTask, NonRetryable } from '../../src/index.js';

const email = defineTask<{ to: string }>('email', {
  retry: { attempts: 5 },
  onInterrupted: 'park',
  handler: async ({ to }, { idempotencyKey, signal }) => {
    if (!to.includes('@')) throw new NonRetryable(`${to} is no address`);
    signal.throwIfAborted(); // Pass it on to whatever sends: it aborts when this attempt must stop.
    return { sentTo: to, key: idempotencyKey };
  },
});

export default [email];
