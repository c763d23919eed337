// accept.ts: makes a task's record. One create decides whether the id is new; the content's hash tells the same task
// from a conflict.

import { encodeRecord, hintOf, newRecord, type Submission, type TaskRecord } from '../domain/index.js';
import { type LedgerContext, readHeld } from './context.js';
import { again, drive, type Until } from './drive.js';
import { recordPath } from './paths.js';

export type AcceptOutcome =
  | { readonly kind: 'created'; readonly record: TaskRecord }
  | { readonly kind: 'same'; readonly record: TaskRecord }
  | { readonly kind: 'conflict'; readonly record: TaskRecord }
  /** `sent`: the task may have been accepted; submitting it again tells. */
  | { readonly kind: 'unavailable'; readonly sent: boolean };

/** `likelyThere`: looks before it writes, which costs less than a refused transaction; the write decides all the same. */
export async function accept(
  ctx: LedgerContext,
  task: Submission,
  until: Until,
  { likelyThere = false } = {},
): Promise<AcceptOutcome> {
  const record = newRecord(task, ctx.runtime.random.nonce(), ctx.runtime.clock.now());
  const path = recordPath(task.id);
  const data = encodeRecord(record);
  let sent = false;
  let look = likelyThere;
  const outcome = await drive<AcceptOutcome>(ctx.runtime, until, async () => {
    const there = look ? await existing(ctx, record) : null;
    look = false;
    if (there !== null) return there;
    const written = await ctx.commits.commit([{ kind: 'create', path, data, mode: 'persistent' }], {
      lane: 'write',
    });
    switch (written.kind) {
      case 'applied':
        return { kind: 'created', record };
      case 'refused':
        return (await existing(ctx, record)) ?? again; // Gone since: retention took it.
      case 'unknown':
        sent = true; // Created again under the same nonce, or found: a create cannot apply twice.
        return again;
      case 'notSent':
        return again;
    }
  });
  if (outcome?.kind === 'created') {
    ctx.deliver([hintOf(outcome.record)]);
    ctx.note([{ record: outcome.record, version: 0 }]);
  }
  return outcome ?? { kind: 'unavailable', sent };
}

async function existing(ctx: LedgerContext, ours: TaskRecord): Promise<AcceptOutcome | null> {
  const held = await readHeld(ctx, ours.id);
  if (held === null) return null;
  const { record } = held;
  if (record.hash !== ours.hash) return { kind: 'conflict', record };
  return { kind: record.state === 'waiting' && record.nonce === ours.nonce ? 'created' : 'same', record };
}
