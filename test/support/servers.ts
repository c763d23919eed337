// servers.ts: the run's shared servers, and names on them that no other test uses.

import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';

export function zookeeperUrl(): string {
  return inject('zookeeperUrl');
}

export function redisUrl(): string {
  return inject('redisUrl');
}

/** A chroot of the caller's own; it does not exist yet. */
export function uniqueChroot(): string {
  return `/t-${randomBytes(6).toString('hex')}`;
}

/** A prefix for Redis keys of the caller's own. */
export function uniquePrefix(): string {
  return `t-${randomBytes(6).toString('hex')}`;
}
