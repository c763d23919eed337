// tasks.ts: the tasks that are to be taken over: each tells the witness that its attempt has begun, and goes on until the
// witness lets it go, or its signal aborts.

import { defineTask } from '../../src/index.js';

const witness = process.env.WITNESS_URL;

export default [
  defineTask('held', {
    onInterrupted: 'rerun',
    timeoutMs: 600_000,
    // What the user's policy adds to a takeover after a failure is not what is measured.
    retry: { attempts: 5, delayMsMin: 0, delayMsMax: 0 },
    handler: async (_payload, { task, attempt, signal }) => {
      const query = new URLSearchParams({
        task: task.id,
        attempt: String(attempt),
        pid: String(process.pid),
      });
      const response = await fetch(`${witness}/begun?${query}`, { method: 'POST', signal });
      return response.text();
    },
  }),
];
