// codes.ts: what the server's error codes mean to a write: refused for good, or not applied and worth another try, or
// unknown. Owns the only reading of these numbers; a code it has never heard of is tolerated (trap 10).

import type { RefusalCode } from '../port.js';

export const ok = 0;
export const noNode = -101;
export const nodeExists = -110;
const sessionExpired = -112;
const sessionMoved = -118;

const names = new Map<number, string>([
  [-1, 'SYSTEM_ERROR'],
  [-2, 'RUNTIME_INCONSISTENCY'],
  [-3, 'DATA_INCONSISTENCY'],
  [-4, 'CONNECTION_LOSS'],
  [-5, 'MARSHALLING_ERROR'],
  [-6, 'UNIMPLEMENTED'],
  [-7, 'OPERATION_TIMEOUT'],
  [-8, 'BAD_ARGUMENTS'],
  [-100, 'API_ERROR'],
  [noNode, 'NO_NODE'],
  [-102, 'NO_AUTH'],
  [-103, 'BAD_VERSION'],
  [-108, 'NO_CHILDREN_FOR_EPHEMERALS'],
  [nodeExists, 'NODE_EXISTS'],
  [-111, 'NOT_EMPTY'],
  [sessionExpired, 'SESSION_EXPIRED'],
  [-114, 'INVALID_ACL'],
  [-115, 'AUTH_FAILED'],
  [sessionMoved, 'SESSION_MOVED'],
  [-119, 'NOT_READONLY'],
  [-122, 'REQUEST_TIMEOUT'],
  [-125, 'QUOTA_EXCEEDED'],
  [-127, 'THROTTLED_OP'],
]);

const refusals: ReadonlySet<string> = new Set<RefusalCode>([
  'NO_NODE',
  'NODE_EXISTS',
  'BAD_VERSION',
  'NOT_EMPTY',
  'NO_CHILDREN_FOR_EPHEMERALS',
]);
/** The server did not take the request at all; the same request may succeed on another connection or later. */
const turnedAway: ReadonlySet<string> = new Set([
  'SESSION_EXPIRED',
  'SESSION_MOVED',
  'NOT_READONLY',
  'THROTTLED_OP',
]);
/** The server lost its own way: it says nothing about what was applied. */
const inconclusive: ReadonlySet<string> = new Set([
  'SYSTEM_ERROR',
  'DATA_INCONSISTENCY',
  'CONNECTION_LOSS',
  'OPERATION_TIMEOUT',
  'REQUEST_TIMEOUT',
]);

export function nameOf(code: number): string {
  return names.get(code) ?? `CODE_${code}`;
}

/** Whether the answer came from a server that does not, or no longer, hold our session: it proves no lease. */
export function saysSessionGone(code: number): boolean {
  return code === sessionExpired || code === sessionMoved;
}

export type Meaning =
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly detail?: string }
  | { readonly kind: 'turnedAway' }
  | { readonly kind: 'unknown' };

/** What an error code, other than 0, says about the write it answers. */
export function meaningOf(code: number): Meaning {
  const name = nameOf(code);
  if (refusals.has(name)) return { kind: 'refused', code: name as RefusalCode };
  if (turnedAway.has(name)) return { kind: 'turnedAway' };
  if (inconclusive.has(name)) return { kind: 'unknown' };
  return { kind: 'refused', code: 'OTHER', detail: name };
}
