// paths.ts: where things are in the znode tree (the design's "Znode tree"). Owns every path the ledger and its users name.

import {
  bucketOf,
  type ClaimRef,
  type KeyId,
  type Name,
  type Nonce,
  type Schedule,
  type ScheduleId,
  type TaskId,
  type WorkerId,
} from '../domain/index.js';

export const claimsPath = '/claims';
export const workersPath = '/workers';
export const leaderPath = '/leader';
export const breakersPath = '/breakers';
export const schedulesPath = '/schedules';
export const keysPath = '/keys';
export const queuesPath = '/config/queues';

export const recordsPath = '/tasks';

export const buckets: readonly string[] = Array.from({ length: 256 }, (_, i) =>
  i.toString(16).padStart(2, '0'),
);

/** The persistent znodes that everything else stands on, parents first. */
export const treePaths: readonly string[] = [
  recordsPath,
  ...buckets.map(bucketPath),
  claimsPath,
  workersPath,
  leaderPath,
  `${leaderPath}/term`,
  breakersPath,
  schedulesPath,
  keysPath,
  '/config',
  queuesPath,
];

export function bucketPath(bucket: string): string {
  return `${recordsPath}/${bucket}`;
}

export function recordPath(id: TaskId): string {
  return `${bucketPath(bucketOf(id))}/${id}`;
}

export function claimsOf(worker: WorkerId): string {
  return `${claimsPath}/${worker}`;
}

/** What a claim's path begins with; ZooKeeper appends ten digits. */
export function claimPrefix(ref: ClaimRef): string {
  return `${claimsOf(ref.worker)}/claim-${ref.nonce}-`;
}

const claimNamePattern = /^claim-(.+)-\d{10}$/;

/** The claim that a child of {@link claimsOf} is; null for anything else. */
export function claimOfName(worker: WorkerId, name: string): ClaimRef | null {
  const nonce = claimNamePattern.exec(name)?.[1];
  return nonce === undefined ? null : { worker, nonce: nonce as Nonce };
}

export function breakerPath(type: Name): string {
  return `${breakersPath}/${type}`;
}

export function queuePath(queue: Name): string {
  return `${queuesPath}/${queue}`;
}

export function schedulePath(id: ScheduleId): string {
  return `${schedulesPath}/${id}`;
}

export function keyPath(id: KeyId): string {
  return `${keysPath}/${id}`;
}

/** How far it has fired. Never used twice: a schedule that was removed and made anew has another key. */
export function cursorPath({ id, key }: Pick<Schedule, 'id' | 'key'>): string {
  return `${schedulePath(id)}/cursor-${key}`;
}
