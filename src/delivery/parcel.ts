// parcel.ts: what travels through Redis: task ids that are due together. Owns how hints are grouped into BullMQ jobs and how
// a job's data is read back; a parcel decides nothing (P6), so whatever is unreadable in it is left out.

import type { BulkJobOptions } from 'bullmq';
import { type EpochMs, type Hint, limits, type Name, parseTaskId, type TaskId } from '../domain/index.js';
import type { Random } from '../runtime/index.js';

/** At most `limits.envelopeTasksMax` ids of one queue and priority that are due together; one BullMQ job. */
export type Parcel = {
  readonly jobId: string;
  readonly queue: Name;
  readonly ids: readonly TaskId[];
  readonly priority: number;
  /** Null: at once. */
  readonly due: EpochMs | null;
  /** Ahead of the others of the most urgent priority; BullMQ has no such place within a lower one. */
  readonly inFront: boolean;
};

/** A job's `data`. */
export type Cargo = { readonly ids: readonly TaskId[]; readonly priority: number };

export type ParcelJob = { readonly name: string; readonly data: Cargo; readonly opts: BulkJobOptions };

/** One parcel per (queue, priority, due) and hundred ids, in front if one of them is; an id given twice in a group travels once. */
export function pack(hints: readonly Hint[], now: EpochMs, random: Random): Parcel[] {
  const groups = new Map<string, { first: Hint; due: EpochMs | null; ids: Set<TaskId>; inFront: boolean }>();
  for (const hint of hints) {
    const due = hint.notBefore !== null && hint.notBefore > now ? hint.notBefore : null;
    const key = `${hint.queue} ${hint.priority} ${due}`;
    const group = groups.get(key);
    const inFront = hint.inFront ?? false;
    if (group === undefined) groups.set(key, { first: hint, due, ids: new Set([hint.id]), inFront });
    else {
      group.ids.add(hint.id);
      group.inFront ||= inFront;
    }
  }
  return [...groups.values()].flatMap(({ first: { queue, priority }, due, ids, inFront }) =>
    slices([...ids], limits.envelopeTasksMax).map((part) =>
      newParcel({ queue, ids: part, priority, due, inFront }, random),
    ),
  );
}

/** The same parcel sent twice is one job, for as long as the first still exists: its job id says so. */
export function newParcel(content: Omit<Parcel, 'jobId'>, random: Random): Parcel {
  // BullMQ refuses most ids with a colon, and ids that read as integers; '%' and '~' keep ours apart from both.
  const first = content.ids[0]?.replaceAll(':', '%3A') ?? '';
  return { jobId: `${first}~${random.nonce().slice(0, 8)}`, ...content };
}

export function jobOf(parcel: Parcel, now: EpochMs): ParcelJob {
  const { ids, priority, inFront } = parcel;
  return {
    name: ids[0] ?? '',
    data: { ids, priority },
    opts: {
      jobId: parcel.jobId,
      attempts: 1,
      removeOnComplete: true,
      removeOnFail: true,
      // A delivery that comes too early is put off again by whoever takes it.
      ...(parcel.due === null ? {} : { delay: Math.min(Math.max(0, parcel.due - now), limits.delayMsMax) }),
      ...(priority > 0 ? { priority } : {}),
      ...(inFront && priority === 0 ? { lifo: true } : {}),
    },
  };
}

/** Redis is not trusted: what is no task id is left out, and a priority out of range is the lowest. */
export function cargoOf(data: unknown): Cargo {
  const { ids, priority } = (typeof data === 'object' && data !== null ? data : {}) as Record<
    string,
    unknown
  >;
  const valid = Array.isArray(ids) ? ids.flatMap((id) => taskIdOrNone(id)) : [];
  const known = typeof priority === 'number' && Number.isInteger(priority) && priority >= 0;
  return {
    ids: [...new Set(valid)].slice(0, limits.envelopeTasksMax),
    priority: known ? Math.min(priority, limits.priorityMax) : limits.priorityMax,
  };
}

function taskIdOrNone(value: unknown): TaskId[] {
  try {
    return [parseTaskId(value)];
  } catch {
    return [];
  }
}

export function slices<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let from = 0; from < items.length; from += size) parts.push(items.slice(from, from + size));
  return parts;
}
