// line.ts: a task as the read model keeps it: one line of words. Owns the line's form, and the stamp by which an older line
// is told from a newer one.
//
//   <acceptedAt, 15 digits>.<version, 10 digits> <state> <queue> <type> <error code> <due> <attempt> <started> <finished> <replays> <worker>
//
// The stamp is compared as text. A record's version only grows; a record made anew under an id that was used before begins
// again with version 0, and is told by when it was accepted.

import {
  bucketOf,
  dueSince,
  type EpochMs,
  type Held,
  type Name,
  type News,
  type State,
  summaryOf,
  type TaskId,
  type TaskSummary,
  type WorkerId,
} from '../domain/index.js';

/** The word of which record, at which version, a line is. */
export type Stamp = string;

/** What the script is to do with a line; see read-model-script.ts. */
export type Word = {
  readonly how: 'told' | 'passed' | 'found' | 'gone' | 'instead';
  readonly id: TaskId;
  /** With `gone`, its stamp is enough. */
  readonly line: string;
  /** With `instead`: of the line that is to be replaced. */
  readonly instead: Stamp | null;
};

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

export function toldWord({ record, version, gone }: News): Word {
  return wordOf({ record, version }, gone === true ? 'gone' : 'told');
}

export function wordOf(held: Held, how: Word['how'], instead: Stamp | null = null): Word {
  return { how, id: held.record.id, line: lineOf(held), instead };
}

/** As the script takes it. */
export function argumentsOf({ how, id, line, instead }: Word): [order: string, line: string] {
  return [`${how} ${instead ?? none} ${bucketOf(id)} ${id}`, line];
}

export function lineOf({ record, version }: Held): string {
  const { state, queue, type, errorCode, attempt, startedAt, finishedAt, replays, worker, acceptedAt } =
    summaryOf(record);
  return [
    `${String(acceptedAt).padStart(acceptedDigits, '0')}.${String(version).padStart(versionDigits, '0')}`,
    state,
    queue,
    type,
    errorCode !== null && errorCodePattern.test(errorCode) ? errorCode : none,
    state === 'waiting' ? dueSince(record) : none,
    attempt,
    startedAt ?? none,
    finishedAt ?? none,
    replays,
    worker ?? none,
  ].join(' ');
}

/** Null: it is no line of this version. */
export function summaryIn(id: TaskId, line: string): TaskSummary | null {
  const words = line.split(' ');
  if (words.length !== 11) return null;
  const [stamp = '', state, queue, type, error, , attempt, started, finished, replays, worker] = words;
  return {
    id,
    type: type as Name,
    queue: queue as Name,
    state: state as State,
    attempt: Number(attempt),
    acceptedAt: Number(stamp.slice(0, acceptedDigits)) as EpochMs,
    startedAt: numberOrNull(started) as EpochMs | null,
    finishedAt: numberOrNull(finished) as EpochMs | null,
    errorCode: error === none ? null : (error ?? null),
    replays: Number(replays),
    worker: worker === none ? null : (worker as WorkerId),
  };
}

function numberOrNull(word: string | undefined): number | null {
  return word === none || word === undefined ? null : Number(word);
}
