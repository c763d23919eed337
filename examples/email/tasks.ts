// tasks.ts: an e-mail that is sent once. A worker that dies in the middle leaves the question whether it was: the mail service
// is asked, and the mail is sent again only where it was not.

import { defineTask, NonRetryable, type TaskType } from '../../src/index.js';

export type Mail = { readonly to: string; readonly subject: string };

/** `service`: the URL of one that takes `PUT /mails/<id>` and knows `GET /mails/<id>`. */
export function typesWith(service: string): readonly TaskType[] {
  const urlOf = (id: string): URL => new URL(`/mails/${encodeURIComponent(id)}`, service);

  const email = defineTask<Mail>('email', {
    retry: { attempts: 5 },
    onInterrupted: 'verify',
    handler: async (mail, { idempotencyKey, signal }) => {
      const body = JSON.stringify(mail);
      const response = await fetch(urlOf(idempotencyKey), { method: 'PUT', body, signal });
      if (response.status === 422) throw new NonRetryable(`${mail.to} is no address`);
      if (!response.ok) throw new Error(`the mail service answered ${response.status}`);
      return { sentTo: mail.to };
    },
    verify: async ({ id }) => {
      const response = await fetch(urlOf(id));
      if (response.ok) return { kind: 'completed' };
      return response.status === 404 ? { kind: 'notExecuted' } : { kind: 'unknown' };
    },
  });

  return [email];
}
