// access.ts: how the parts of the delivery layer reach Redis over the connection that they share (deliveries.ts).

import type { Redis } from 'ioredis';

export type RedisAccess = {
  readonly redis: Redis;
  /** Before the name of every key. */
  readonly prefix: string;
  /** Whether Redis can be reached now, as far as is known. */
  available(): boolean;
  /** @throws ClaimkeeperError `REDIS_UNAVAILABLE` */
  ask<T>(question: () => Promise<T>): Promise<T>;
};

/** The answers to the commands that went together. @throws Error the first that one of them was answered with */
export function answersIn(replies: readonly [Error | null, unknown][] | null): unknown[] {
  return (replies ?? []).map(([error, value]) => {
    if (error !== null) throw error;
    return value;
  });
}
