// access.ts: who asks, and whether they may. Owns the reading of the key that a request presents, and the answer to one that
// is missing, forged, expired or for something else; what a key is is domain/key.ts, which queues it covers queue-guard.ts's.

import type { FastifyRequest } from 'fastify';
import {
  type ApiKey,
  ClaimkeeperError,
  type EpochMs,
  isSecretOf,
  type KeyId,
  parseKeyText,
} from '../domain/index.js';
import type { Scope } from './scope.js';

/** All keys there are, in memory: no request waits for them. */
export type KeyBook = { find(id: KeyId): ApiKey | null };

export type Access = {
  readonly keys: KeyBook;
  /** Otherwise a request without a key may do anything; one with a key is held to it all the same. */
  readonly required: boolean;
};

/** Who asks: the holder of a key, or somebody without one where none is required. */
export type Caller = { readonly key: ApiKey | null };

export const anybody: Caller = { key: null };

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
  }
}

/** Whom the request's key says it is of; an error where it is not good for that. */
export type Identity = Caller | ClaimkeeperError;

/** An unknown id is answered as a wrong secret is, and costs as much. */
export function identify({ headers }: FastifyRequest, access: Access, now: EpochMs): Identity {
  const { authorization } = headers;
  if (authorization === undefined) return access.required ? keyRequired() : anybody;
  const [, presented = ''] = /^Bearer +(\S+) *$/i.exec(authorization) ?? [];
  const parsed = parseKeyText(presented);
  if (parsed === null) return keyInvalid('it is not of the form "Bearer ck_<id>_<secret>"');
  const key = access.keys.find(parsed.id);
  if (!isSecretOf(key, parsed.secret)) return keyInvalid('there is no such key; it may have been revoked');
  // Only its holder learns this.
  if (hasExpired(key, now)) return keyExpired(key);
  return { key };
}

/** Whether the key that let a caller in would do so now; one that is revoked is not among the keys any more. */
export function isStillLetIn({ key }: Caller, { keys }: Access, now: EpochMs): boolean {
  return key === null || (keys.find(key.id) !== null && !hasExpired(key, now));
}

/** @throws ClaimkeeperError `SCOPE_MISSING` */
export function assertScope({ key }: Caller, scope: Scope): void {
  if (key === null || scope === 'open' || key.scopes.includes(scope)) return;
  throw new ClaimkeeperError(
    'SCOPE_MISSING',
    `this takes the scope "${scope}"; the key ${key.id} has ${key.scopes.join(', ')}`,
  );
}

/** The header that goes with a 401 (RFC 6750, section 3). */
export function challengeOf({ code }: ClaimkeeperError): string {
  const realm = 'Bearer realm="claimkeeper"';
  return code === 'KEY_REQUIRED' ? realm : `${realm}, error="invalid_token"`;
}

function keyRequired(): ClaimkeeperError {
  const message = 'send an API key: "Authorization: Bearer ck_…"; "claimkeeper keys create" makes one';
  return new ClaimkeeperError('KEY_REQUIRED', message);
}

/** Says nothing of what was presented: it may be a secret of something else. */
function keyInvalid(why: string): ClaimkeeperError {
  return new ClaimkeeperError('KEY_INVALID', `the "Authorization" header is not accepted: ${why}`);
}

function keyExpired({ id, expiresAt }: ApiKey): ClaimkeeperError {
  const at = new Date(expiresAt ?? 0).toISOString();
  return new ClaimkeeperError('KEY_EXPIRED', `the key ${id} expired at ${at}: ask for a new one`);
}

function hasExpired({ expiresAt }: ApiKey, now: EpochMs): boolean {
  return expiresAt !== null && expiresAt <= now;
}
