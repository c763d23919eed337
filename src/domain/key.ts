// key.ts: API keys. Owns what a key looks like, what it may do, and how one that is presented is told from a forged one; how
// keys are kept is ../keys.ts, and which routes take which scope is the API's.

import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Brand, EpochMs } from './brand.js';
import { ClaimkeeperError } from './errors.js';
import { type Nonce, shown } from './ids.js';
import { limits } from './limits.js';
import { hintOn } from './options.js';
import { timeSchema } from './task.js';

/** 16 hexadecimal digits; no secret. */
export type KeyId = Brand<string, 'KeyId'>;

/** `submit`: make tasks. `read`: look at what is there. `operate`: steer what is there. None includes another. */
export const keyScopes = ['submit', 'read', 'operate'] as const;
export type KeyScope = (typeof keyScopes)[number];

/** As it is stored: nothing in it lets anyone in. */
export type ApiKey = {
  readonly id: KeyId;
  /** Whose it is, or what for. */
  readonly name: string;
  /** SHA-256 of the secret, in hexadecimal. */
  readonly hash: string;
  readonly scopes: readonly KeyScope[];
  /** Names of queues; a `*` at the end stands for any rest. */
  readonly queues: readonly string[];
  readonly createdAt: EpochMs;
  /** From then on it counts no more; null: never. */
  readonly expiresAt: EpochMs | null;
};

export type KeyInput = {
  /** 1–64 characters, for people. */
  readonly name: string;
  readonly scopes: readonly KeyScope[];
  /** Default `['*']`. */
  readonly queues?: readonly string[] | undefined;
  /** A Date, an ISO 8601 string with an offset, or ms since 1970; default never. */
  readonly expiresAt?: Date | string | number | null | undefined;
};

export type KeyContent = Pick<ApiKey, 'name' | 'scopes' | 'queues' | 'expiresAt'>;

const keyPattern = /^ck_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;
const keyIdPattern = /^[0-9a-f]{16}$/;
/** A name of a queue, or the beginning of some, or all. */
const queuePattern = /^(?:\*|(?!\.)[A-Za-z0-9._-]{1,64}\*?)$/;

const inputSchema = z.strictObject({
  name: z.string().trim().min(1).max(limits.nameCharsMax),
  scopes: z.array(z.enum(keyScopes)).min(1),
  queues: z
    .array(z.string().regex(queuePattern, 'is no queue: give a name, the beginning of names and *, or *'))
    .min(1)
    .max(limits.keyQueuesMax)
    .default(['*']),
  expiresAt: timeSchema.nullish(),
});

const storedSchema = z.object({
  v: z.literal(1),
  name: z.string(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  scopes: z.array(z.enum(keyScopes)),
  queues: z.array(z.string()),
  createdAt: z.number(),
  expiresAt: z.number().nullable(),
});

/** @throws ClaimkeeperError `KEY_INPUT_INVALID` naming the field */
export function parseKeyInput(input: unknown, now: EpochMs): KeyContent {
  const parsed = inputSchema.safeParse(input);
  if (!parsed.success) throw ofIssue(parsed.error.issues[0]);
  const { name, scopes, queues, expiresAt } = parsed.data;
  const end = expiresAt == null ? null : (new Date(expiresAt).getTime() as EpochMs);
  if (end !== null && end <= now) throw invalid('expiresAt', 'is over already: give a time to come');
  return { name, scopes: [...new Set(scopes)], queues: [...new Set(queues)], expiresAt: end };
}

/** @throws ClaimkeeperError `KEY_INPUT_INVALID` */
export function parseKeyId(value: unknown): KeyId {
  if (typeof value === 'string' && keyIdPattern.test(value)) return value as KeyId;
  // Whoever gives the whole key shall not find it in a log.
  const given = typeof value === 'string' && value.startsWith('ck_') ? 'a whole key' : shown(value);
  throw invalid(
    'id',
    `${given} is no key's id: 16 hexadecimal digits, those between the underscores of a key`,
  );
}

/** A new key's id and secret, of 64 and 256 random bits. */
export function newKey(nonce: () => Nonce): { readonly id: KeyId; readonly secret: string } {
  const bytes = (): Buffer => Buffer.from(nonce(), 'base64url');
  const id = bytes().toString('hex').slice(0, 16) as KeyId;
  return { id, secret: Buffer.concat([bytes(), bytes()]).toString('base64url') };
}

/** What its holder presents. */
export function keyText(id: KeyId, secret: string): string {
  return `ck_${id}_${secret}`;
}

/** Null: not of a key's form. */
export function parseKeyText(text: string): { readonly id: KeyId; readonly secret: string } | null {
  const [, id, secret] = keyPattern.exec(text) ?? [];
  return id === undefined || secret === undefined ? null : { id: id as KeyId, secret };
}

/**
 * One round of SHA-256, without salt: what makes passwords need more is that they can be guessed. 256 random bits cannot,
 * by whoever reads the hash, and a slow hash would only cost every request its time.
 */
export function hashOfSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** No secret has it: compared with where there is no such key, so that the answer takes as long. */
const nobody = '0'.repeat(64);

/** Whether `secret` is the key's. The comparison takes the same time whatever it is compared with. */
export function isSecretOf(key: ApiKey | null, secret: string): key is ApiKey {
  const presented = Buffer.from(hashOfSecret(secret), 'hex');
  const same = timingSafeEqual(presented, Buffer.from(key?.hash ?? nobody, 'hex'));
  return same && key !== null;
}

export function coversQueue(queues: readonly string[], queue: string): boolean {
  return queues.some((pattern) =>
    pattern.endsWith('*') ? queue.startsWith(pattern.slice(0, -1)) : queue === pattern,
  );
}

export function encodeKey({ id: _, ...stored }: ApiKey): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, ...stored }));
}

/** Null: not a key that this version can read. */
export function decodeKey(id: string, data: Buffer): ApiKey | null {
  try {
    const { v: _, createdAt, expiresAt, ...stored } = storedSchema.parse(JSON.parse(data.toString()));
    const times = { createdAt: createdAt as EpochMs, expiresAt: expiresAt as EpochMs | null };
    return { id: parseKeyId(id), ...stored, ...times };
  } catch {
    return null;
  }
}

function ofIssue(issue: z.core.$ZodIssue | undefined): ClaimkeeperError {
  if (issue?.code === 'unrecognized_keys') {
    const field = issue.keys[0] ?? '';
    return invalid(field, `there is no such field${hintOn(inputSchema, issue)}`);
  }
  return invalid(issue?.path.map(String).join('.') || 'key', issue?.message ?? 'is not valid');
}

function invalid(field: string, why: string): ClaimkeeperError {
  const name = field.slice(0, 200);
  return new ClaimkeeperError('KEY_INPUT_INVALID', `${name}: ${why}`, { field: name });
}
