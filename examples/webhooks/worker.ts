// worker.ts: the module that `claimkeeper worker` runs: one task type, a webhook to be sent once.

import { defineTask, NonRetryable } from '../../src/index.js';

type Webhook = { readonly event: string; readonly order: number };

const receiver = process.env.RECEIVER_URL ?? '';

const webhook = defineTask<Webhook>('webhook', {
  timeoutMs: 30_000,
  handler: async (payload, { idempotencyKey, signal }) => {
    const response = await fetch(receiver, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey },
      body: JSON.stringify(payload),
      signal,
    });
    if (response.status >= 400 && response.status < 500)
      throw new NonRetryable(`refused with ${response.status}`);
    if (!response.ok) throw new Error(`answered ${response.status}`);
    return { status: response.status };
  },
});

export default [webhook];
