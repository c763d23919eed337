// index.ts: the real implementation of the port's Session. Nothing outside of this folder knows node-zookeeper-client.

import { ClaimkeeperError, shown } from '../../domain/index.js';
import type { Runtime } from '../../runtime/index.js';
import type { Session } from '../port.js';
import { parseServers } from './servers.js';
import { ZooKeeperSession } from './session.js';

export type SessionOptions = {
  /** `host:port[,host:port…]`. */
  readonly servers: string;
  /** `/claimkeeper`, or '' for the whole tree. Made when missing; paths given to the session are relative to it. */
  readonly chroot: string;
  /** Session timeout asked for, in ms; what was negotiated is `Session.timeoutMs`. */
  readonly timeoutMs: number;
  /** How long before the session's end we stop trusting it, in ms; default a fifth of the negotiated timeout, at most half. */
  readonly trustMarginMs?: number;
};

const chrootPattern = /^(?:\/(?!\.{1,2}(?:\/|$))[^/\p{Cc}]+)*$/u;

/**
 * Returns at once, connecting; see `Session.connected`.
 * @throws ClaimkeeperError `CONFIG_INVALID` for a malformed address or chroot.
 */
export function openSession(options: SessionOptions, runtime: Runtime): Session {
  if (!chrootPattern.test(options.chroot)) {
    throw new ClaimkeeperError(
      'CONFIG_INVALID',
      `the chroot ${shown(options.chroot)} is no path: write '' or one like /claimkeeper, without a slash at its end`,
    );
  }
  return new ZooKeeperSession(
    {
      servers: parseServers(options.servers),
      chroot: options.chroot,
      timeoutMs: options.timeoutMs,
      trustMarginMs: options.trustMarginMs ?? null,
    },
    runtime,
  );
}
