// line.ts: a task as the read model keeps it: one line of words. Owns the line's form, and the stamp by which an older line
// is told from a newer one.
//
//   <acceptedAt, 15 digits>.<version, 10 digits> <state> <queue> <type> <error code> <due> <attempt>|<started> <finished> <replays> <worker>
//
// What is before the bar says in which indexes it is. `due` is that of a task that waits and was not due when it was accepted.
// The stamp is compared as text. A record's version only grows; a record made anew under an id that was used before begins
// again with version 0, and is told by when it was accepted.

import {
  dueSince,
  type EpochMs,
  type Held,
  type Name,
  type State,
  summaryOf,
  type TaskId,
  type TaskSummary,
  type WorkerId,
} from '../domain/index.js';

/** The word of which record, at which version, a line is. */
export type Stamp = string;

const acceptedDigits = 15;
const versionDigits = 10;
const none = '-';
const errorCodePattern = /^[\w.-]{1,64}$/;

/** Members of the indexes are in this order: by time, then by id. */
export function memberOf(acceptedAt: EpochMs, id: TaskId | ''): string {
  return `${String(acceptedAt).padStart(acceptedDigits, '0')}:${id}`;
}

export function idOfMember(member: string): TaskId {
  return member.slice(acceptedDigits + 1) as TaskId;
}

export function stampOf(line: string): Stamp {
  return line.slice(0, acceptedDigits + 1 + versionDigits);
}

export function lineOf({ record, version }: Held): string {
  const { state, queue, type, errorCode, attempt, startedAt, finishedAt, replays, worker, acceptedAt } =
    summaryOf(record);
  const stamp = `${String(acceptedAt).padStart(acceptedDigits, '0')}.${String(version).padStart(versionDigits, '0')}`;
  const code = errorCode !== null && errorCodePattern.test(errorCode) ? errorCode : none;
  const since = state === 'waiting' ? dueSince(record) : acceptedAt;
  const due = since === acceptedAt ? none : since;
  const places = `${state} ${queue} ${type} ${code} ${due} ${attempt}`;
  return `${stamp} ${places}|${startedAt ?? none} ${finishedAt ?? none} ${replays} ${worker ?? none}`;
}

/** Null: it is no line of this version. */
export function summaryIn(id: TaskId, line: string): TaskSummary | null {
  const [places = '', rest = ''] = line.split('|');
  const words = [...places.split(' '), ...rest.split(' ')];
  if (words.length !== 11) return null;
  const [stamp = '', state, queue, type, error, , attempt, started, finished, replays, worker] = words;
  return {
    id,
    type: type as Name,
    queue: queue as Name,
    state: state as State,
    attempt: Number(attempt),
    acceptedAt: acceptedIn(stamp),
    startedAt: numberOrNull(started) as EpochMs | null,
    finishedAt: numberOrNull(finished) as EpochMs | null,
    errorCode: error === none ? null : (error ?? null),
    replays: Number(replays),
    worker: worker === none ? null : (worker as WorkerId),
  };
}

/** When its task was accepted, of a member, a stamp or a line. */
export function acceptedIn(text: string): EpochMs {
  return Number(text.slice(0, acceptedDigits)) as EpochMs;
}

function numberOrNull(word: string | undefined): number | null {
  return word === none || word === undefined ? null : Number(word);
}
