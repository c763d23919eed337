// rate-limit.ts: how many requests a caller is answered in a second. Owns a token bucket per key, and per address for those
// without one: as many as a second's worth at once, refilled evenly by the injected clock.
//
// Not @fastify/rate-limit: it counts in windows of the platform's clock, which lets twice the rate through at their edges,
// and only in routes that were added after it; requests whose key is refused, and those for no route, would not count.

import { isIPv6 } from 'node:net';
import { ClaimkeeperError, limits, type MonotonicMs } from '../domain/index.js';
import type { Clock } from '../runtime/index.js';
import type { Caller } from './access.js';

type Bucket = { tokens: number; at: MonotonicMs };

export class RateLimit {
  readonly #perSecond: number;
  readonly #clock: Clock;
  /** The one that asked longest ago first. */
  readonly #buckets = new Map<string, Bucket>();

  /** `perSecond` 0: no limit. */
  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  /** Counts a request. @throws ClaimkeeperError `RATE_LIMITED`: a token is there again within a second */
  take({ key }: Caller, address: string): void {
    if (this.#perSecond === 0) return;
    const name = key === null ? `address ${networkOf(address)}` : `key ${key.id}`;
    const bucket = this.#refilled(name);
    if (bucket.tokens >= 1) bucket.tokens -= 1;
    else {
      const message = `more than ${this.#perSecond} requests in a second from the ${name}: send fewer, or batches`;
      throw new ClaimkeeperError('RATE_LIMITED', message);
    }
  }

  #refilled(name: string): Bucket {
    const now = this.#clock.monotonic();
    const known = this.#buckets.get(name);
    const bucket = known ?? { tokens: this.#perSecond, at: now };
    bucket.tokens = Math.min(this.#perSecond, bucket.tokens + ((now - bucket.at) / 1_000) * this.#perSecond);
    bucket.at = now;
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > limits.callersCountedMax && oldest !== undefined) this.#buckets.delete(oldest);
    return bucket;
  }
}

/** Of IPv6 the network: whoever has one address there has 2^64. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !isIPv6(address)) return mapped ?? address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - last.length) }, () => '0');
  return `${[...groups, ...zeros, ...last].slice(0, 4).join(':')}::/64`;
}
