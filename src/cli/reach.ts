// reach.ts: who can reach an address that the API listens on, and so whether it may do without keys.

import { isIPv4 } from 'node:net';
import type { Config } from '../runtime/index.js';

export function areKeysRequired({ host, requireKeys }: Pick<Config, 'host' | 'requireKeys'>): boolean {
  return requireKeys === 'always' || !isLoopback(host);
}

/** A name that only looks like an address may lead anywhere. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
