// tasks.ts: one announcement becomes a webhook for each receiver. The announcement's handler submits them: under ids that
// follow from its own, so that a second run of it finds the webhooks of the first.

import { type Claimkeeper, defineTask, NonRetryable, type TaskType } from '../../src/index.js';

export type Announcement = { readonly event: string; readonly receivers: readonly string[] };
type Webhook = { readonly event: string; readonly url: string };

/** What one submit takes in, so that a long list does not go out at once. */
const submitsAtOnce = 1_000;

export function typesWith(keeper: Pick<Claimkeeper, 'submitMany'>): readonly TaskType[] {
  const announcement = defineTask<Announcement>('announcement', {
    onInterrupted: 'rerun', // Nothing is submitted twice: the ids are the same.
    handler: async ({ event, receivers }, { task, progress, signal }) => {
      const webhooks = receivers.map((url, i) => ({
        id: `${task.id}:${i}`,
        type: 'webhook',
        payload: { event, url } satisfies Webhook,
      }));
      for (let from = 0; from < webhooks.length; from += submitsAtOnce) {
        signal.throwIfAborted();
        const outcomes = await keeper.submitMany(webhooks.slice(from, from + submitsAtOnce));
        for (const outcome of outcomes) if (outcome.kind === 'refused') throw outcome.error;
        progress({ submitted: from + outcomes.length, of: webhooks.length });
      }
      return { webhooks: webhooks.length };
    },
  });

  const webhook = defineTask<Webhook>('webhook', {
    retry: { attempts: 8 },
    timeoutMs: 10_000,
    handler: async ({ event, url }, { idempotencyKey, signal }) => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': idempotencyKey };
      const body = JSON.stringify({ event });
      const response = await fetch(url, { method: 'POST', headers, body, signal });
      if (response.status >= 400 && response.status < 500)
        throw new NonRetryable(`answered ${response.status}`);
      if (!response.ok) throw new Error(`answered ${response.status}`);
      return { status: response.status };
    },
  });

  return [announcement, webhook];
}
