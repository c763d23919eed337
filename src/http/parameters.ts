// parameters.ts: what comes beside the body: query parameters and headers. Owns their reading and what is said of those that
// are not valid; which query parameters a route takes is in its declaration.

import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ClaimkeeperError, nearest, shown } from '../domain/index.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The query parameters that the route takes; any other is refused. */
    query?: readonly string[];
  }
}

/** @throws ClaimkeeperError `REQUEST_INVALID` naming the parameter */
export function refuseUnknownQuery({ query, routeOptions }: FastifyRequest): void {
  const known = routeOptions.config?.query;
  const unknown = known && Object.keys(query as object).find((name) => !known.includes(name));
  if (known === undefined || unknown === undefined) return;
  const near = nearest(unknown, known);
  const takes = known.length === 0 ? 'this route takes none' : `this route takes ${known.join(', ')}`;
  const hint = near === null ? takes : `did you mean ${near}?`;
  throw invalid(unknown, `there is no query parameter ${shown(unknown)}: ${hint}`);
}

/** A whole number; undefined where it is not given. @throws ClaimkeeperError `REQUEST_INVALID` */
export function wholeNumberOf(query: unknown, name: string, min: number, max: number): number | undefined {
  const text = textOf(query, name);
  if (text === undefined) return undefined;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalid(name, `${name}: ${shown(text)} is not a whole number within ${min} – ${max}`);
}

/** A time, in ms since 1970; undefined where it is not given. @throws ClaimkeeperError `REQUEST_INVALID` */
export function timeOf(query: unknown, name: string): number | undefined {
  const text = textOf(query, name);
  if (text === undefined) return undefined;
  if (z.iso.datetime({ offset: true }).safeParse(text).success) return Date.parse(text);
  const why = 'is no time: give ISO 8601 with an offset (2026-01-02T03:04:05Z), a + in it as %2B';
  throw invalid(name, `${name}: ${shown(text)} ${why}`);
}

/** One value; undefined where it is not given. @throws ClaimkeeperError `REQUEST_INVALID` when it is given twice */
export function textOf(query: unknown, name: string): string | undefined {
  const value = (query as Readonly<Record<string, string | readonly string[] | undefined>>)[name];
  if (value === undefined || typeof value === 'string') return value;
  throw invalid(name, `the query parameter ${name} is given more than once`);
}

/**
 * The revision that `If-Match` names; undefined where there is no such header, or it says `*`: whatever is there.
 * @throws ClaimkeeperError `REQUEST_INVALID`
 */
export function ifMatchOf({ headers }: FastifyRequest): string | undefined {
  const value = headers['if-match'];
  if (value === undefined || value === '*') return undefined;
  const [, revision] = /^"([\x21\x23-\x7e]{1,200})"$/.exec(value) ?? [];
  if (revision !== undefined) return revision;
  throw invalid(
    'If-Match',
    `If-Match: ${shown(value)} is not one revision in double quotes, as the ETag has it`,
  );
}

/** @throws ClaimkeeperError `REQUEST_INVALID` */
export function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const value = headers['idempotency-key'];
  if (value === undefined) return undefined;
  const [, quoted, bare] = /^(?:"([^"\\]*)"|([^"\\,\s]+))$/.exec(String(value)) ?? [];
  const key = quoted ?? bare;
  if (key !== undefined) return key;
  throw invalid(
    'Idempotency-Key',
    `Idempotency-Key: ${shown(value)} is not one key, in double quotes or without`,
  );
}

export function invalid(field: string, message: string): ClaimkeeperError {
  return new ClaimkeeperError('REQUEST_INVALID', message, { field: field.slice(0, 200) });
}
