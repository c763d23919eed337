// connection.ts: one connection to Redis that comes back by itself. Owns the choice of ioredis and its settings, and the log
// of an outage (once when it begins, once when it ends); what is sent over it belongs to the callers.

import { Redis, type RedisOptions } from 'ioredis';
import type { Runtime } from '../runtime/index.js';

export type ConnectionKind =
  /** Fails a command at once while Redis is away, and after five seconds when it is silent. */
  | 'impatient'
  /** Keeps commands until Redis is back, for twelve seconds at most: the longest that BullMQ blocks is ten. */
  | 'patient';

const settings: Record<ConnectionKind, RedisOptions> = {
  impatient: { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: 5_000 },
  patient: { maxRetriesPerRequest: null, commandTimeout: 12_000 },
};

const reconnectMsMax = 2_000;
const connectMsMax = 5_000;

/** Not yet connecting: `connect()` it, and `disconnect()` it in the end. Errors are logged, never thrown. */
export function openRedis(url: string, kind: ConnectionKind, { random, log }: Runtime): Redis {
  const redis = new Redis(url, {
    ...settings[kind],
    lazyConnect: true,
    connectTimeout: connectMsMax,
    retryStrategy: (tries) =>
      (0.5 + random.roll() / 2) * Math.min(reconnectMsMax, 50 * 2 ** Math.min(tries, 10)),
  });
  let away = false;
  const onAway = (cause: string): void => {
    if (!away)
      log.warn({ cause }, 'Redis is away; accepted tasks are safe and are delivered once it is back');
    away = true;
  };
  redis.on('error', (error: Error) => onAway(error.message));
  redis.on('reconnecting', () => onAway('the connection was closed'));
  redis.on('ready', () => {
    if (away) log.info({}, 'Redis is back');
    away = false;
  });
  return redis;
}
