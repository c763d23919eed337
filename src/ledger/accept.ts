// accept.ts: makes tasks' records. One create decides whether an id is new; the content's hash tells the same task from a
// conflict. What comes as a list is created by one transaction per part of it; a part that cannot be, by one for each task.

import type { WriteOp } from '../coordination/index.js';
import {
  ClaimkeeperError,
  encodeRecord,
  hintOf,
  limits,
  newRecord,
  type Submission,
  type TaskRecord,
} from '../domain/index.js';
import { type LedgerContext, readAllHeld, readHeld } from './context.js';
import { again, drive, type Until } from './drive.js';
import { recordPath } from './paths.js';

export type AcceptOutcome =
  | { readonly kind: 'created'; readonly record: TaskRecord }
  | { readonly kind: 'same'; readonly record: TaskRecord }
  | { readonly kind: 'conflict'; readonly record: TaskRecord }
  /** `sent`: the task may have been accepted; submitting it again tells. */
  | { readonly kind: 'unavailable'; readonly sent: boolean };

/** A record as it is to be created, and its task's place in the list it came with. */
type Draft = {
  readonly place: number;
  readonly record: TaskRecord;
  readonly op: WriteOp;
  readonly bytes: number;
};

/** Whether to look first whether it is there, and whether it was sent already: it may be there by ourselves then. */
type Before = { readonly look: boolean; readonly sent: boolean };

/** What became of the task at `place` of a list; an error is a ClaimkeeperError: its record cannot be read. */
export type Tell = (place: number, outcome: AcceptOutcome | ClaimkeeperError) => void;

type ListOptions = {
  readonly deadlineMs: number;
  /** Looks before it writes, which costs less than a refused transaction; the write decides all the same. */
  readonly likelyThere: boolean;
};

/** @throws ClaimkeeperError `RECORD_UNREADABLE` */
export async function accept(ctx: LedgerContext, task: Submission, until: Until): Promise<AcceptOutcome> {
  return acceptOne(ctx, draftOf(ctx, task, 0), until, { look: false, sent: false });
}

/** As {@link accept}, for many: each is told of once, as soon as it is known; resolves when all were. */
export async function acceptAll(
  ctx: LedgerContext,
  tasks: readonly Submission[],
  { deadlineMs, likelyThere }: ListOptions,
  tell: Tell,
): Promise<void> {
  const endsAt = ctx.runtime.clock.monotonic() + deadlineMs;
  const drafts = tasks.map((task, place) => draftOf(ctx, task, place));
  await Promise.all(partsOf(drafts).map((part) => acceptPart(ctx, part, endsAt, likelyThere, tell)));
}

function draftOf(ctx: LedgerContext, task: Submission, place: number): Draft {
  const record = newRecord(task, ctx.runtime.random.nonce(), ctx.runtime.clock.now());
  const data = encodeRecord(record);
  const op: WriteOp = { kind: 'create', path: recordPath(task.id), data, mode: 'persistent' };
  return { place, record, op, bytes: data.length };
}

/** Of one envelope's tasks each, and of few bytes, so that several fill a multi. */
function partsOf(drafts: readonly Draft[]): Draft[][] {
  const parts: Draft[][] = [];
  let part: Draft[] = [];
  let bytes = 0;
  for (const draft of drafts) {
    bytes += draft.bytes;
    if (part.length === 0 || part.length === limits.envelopeTasksMax || bytes > limits.payloadBytesMax) {
      part = [];
      parts.push(part);
      bytes = draft.bytes;
    }
    part.push(draft);
  }
  return parts;
}

async function acceptPart(
  ctx: LedgerContext,
  part: readonly Draft[],
  endsAt: number,
  look: boolean,
  tell: Tell,
): Promise<void> {
  const drafts = look ? await withoutExisting(ctx, part, tell) : part;
  if (drafts === null) return acceptEach(ctx, part, endsAt, { look, sent: false }, tell);
  // What is alone needs nobody to find out for it; what is late is not written any more.
  if (drafts.length <= 1 || ctx.runtime.clock.monotonic() >= endsAt)
    return acceptEach(ctx, drafts, endsAt, { look: false, sent: false }, tell);
  const ops = drafts.map(({ op }) => op);
  const written = await ctx.commits.commit(ops, { lane: 'write' });
  if (written.kind === 'applied') {
    announce(ctx, drafts);
    for (const { place, record } of drafts) tell(place, { kind: 'created', record });
    return;
  }
  // One of them was there, and more may be: they are left out, and the others tried once more together.
  if (written.kind === 'refused' && !look) return acceptPart(ctx, drafts, endsAt, true, tell);
  const sent = written.kind === 'unknown';
  return acceptEach(ctx, drafts, endsAt, { look: sent, sent }, tell);
}

/** Tells of those that are there already; null: that cannot be seen. */
async function withoutExisting(
  ctx: LedgerContext,
  drafts: readonly Draft[],
  tell: Tell,
): Promise<Draft[] | null> {
  const ids = drafts.map(({ record }) => record.id);
  const found = await readAllHeld(ctx, ids).catch(() => null); // Each asks again, and meets its own error.
  if (found === null) return null;
  return drafts.filter(({ place, record }, i) => {
    const held = found[i] ?? null;
    if (held !== null) tell(place, outcomeOf(held.record, record));
    return held === null;
  });
}

async function acceptEach(
  ctx: LedgerContext,
  drafts: readonly Draft[],
  endsAt: number,
  before: Before,
  tell: Tell,
): Promise<void> {
  const one = async (draft: Draft): Promise<void> => {
    const until = { deadlineMs: endsAt - ctx.runtime.clock.monotonic() };
    tell(draft.place, await acceptOne(ctx, draft, until, before).catch(ourError));
  };
  await Promise.all(drafts.map(one));
}

async function acceptOne(
  ctx: LedgerContext,
  { record, op }: Draft,
  until: Until,
  before: Before,
): Promise<AcceptOutcome> {
  let { look, sent } = before;
  const { clock } = ctx.runtime;
  const endsAt = 'deadlineMs' in until ? clock.monotonic() + until.deadlineMs : Number.POSITIVE_INFINITY;
  const outcome = await drive<AcceptOutcome>(ctx.runtime, until, async () => {
    const there = look ? await existing(ctx, record) : null;
    look = false;
    if (there !== null) return there;
    // To be told that it is not there may have taken until nobody waits for it any more.
    if (clock.monotonic() >= endsAt) return again;
    const written = await ctx.commits.commit([op], { lane: 'write' });
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
  }).catch((error: unknown) => {
    // Of what was sent, a session that is closed meanwhile cannot say that it was not accepted.
    if (sent && error instanceof ClaimkeeperError && error.code === 'CLOSED') return null;
    throw error;
  });
  if (outcome?.kind === 'created') announce(ctx, [outcome]);
  return outcome ?? { kind: 'unavailable', sent };
}

async function existing(ctx: LedgerContext, ours: TaskRecord): Promise<AcceptOutcome | null> {
  const held = await readHeld(ctx, ours.id);
  return held === null ? null : outcomeOf(held.record, ours);
}

function outcomeOf(record: TaskRecord, ours: TaskRecord): AcceptOutcome {
  if (record.hash !== ours.hash) return { kind: 'conflict', record };
  return { kind: record.state === 'waiting' && record.nonce === ours.nonce ? 'created' : 'same', record };
}

function announce(ctx: LedgerContext, created: readonly { readonly record: TaskRecord }[]): void {
  ctx.deliver(created.map(({ record }) => hintOf(record)));
  ctx.note(created.map(({ record }) => ({ record, version: 0 })));
}

function ourError(error: unknown): ClaimkeeperError {
  if (error instanceof ClaimkeeperError) return error;
  throw error;
}
