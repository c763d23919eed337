// tasks.ts: one announcement becomes a webhook for each shop. The announcement's handler submits them: under ids that
// follow from its own, so that a second run of it finds the webhooks of the first.

import { type Claimkeeper, defineTask, NonRetryable, type TaskType } from '../../src/index.js';

export type Announcement = { readonly event: string; readonly shops: readonly string[] };
type Webhook = { readonly event: string; readonly shop: string };

/** What one submit takes in, so that a long list does not go out at once. */
const submitsAtOnce = 1_000;

/** `urlOf`: where a shop takes webhooks. That may change; what is submitted does not. */
export function typesWith(
  keeper: Pick<Claimkeeper, 'submitMany'>,
  urlOf: (shop: string) => string,
): readonly TaskType[] {
  const announcement = defineTask<Announcement>('announcement', {
    onInterrupted: 'rerun', // Nothing is submitted twice: the ids are the same.
    handler: async ({ event, shops }, { task, progress, signal }) => {
      const webhooks = shops.map((shop, i) => ({
        id: `${task.id}:${i}`,
        type: 'webhook',
        payload: { event, shop } satisfies Webhook,
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
    handler: async ({ event, shop }, { idempotencyKey, signal }) => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': idempotencyKey };
      const body = JSON.stringify({ event });
      const response = await fetch(urlOf(shop), { method: 'POST', headers, body, signal });
      if (response.status >= 400 && response.status < 500)
        throw new NonRetryable(`answered ${response.status}`);
      if (!response.ok) throw new Error(`answered ${response.status}`);
      return { status: response.status };
    },
  });

  return [announcement, webhook];
}
