// problem.ts: errors as the API answers them (RFC 9457). Owns the mapping from anything thrown to one entry of the error
// registry; what the entries are is domain/errors.ts.

import { ClaimkeeperError, type ErrorCode, errorRegistry, limits, shown } from '../domain/index.js';

export const problemType = 'application/problem+json';
/** With each 503 that may pass, and with 429. */
export const retryAfterSeconds = '1';

export type Problem = {
  /** Names the error: stable, and not an address to fetch. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** What was wrong this time, and what to do. */
  readonly detail: string;
  readonly code: ErrorCode;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** The input field at fault, as a dotted path, where there is one. */
  readonly field?: string;
};

export function problemOf(error: ClaimkeeperError): Problem {
  return {
    type: `urn:claimkeeper:error:${error.code}`,
    title: errorRegistry[error.code].text,
    status: error.status,
    // A defect's message is for the log: it may quote anything.
    detail: error.code === 'INTERNAL' ? errorRegistry.INTERNAL.text : error.message,
    code: error.code,
    retryable: error.retryable,
    ...(error.field === undefined ? {} : { field: error.field }),
  };
}

/** What Fastify says itself, before or instead of a handler. */
const ofFastify: Record<string, { readonly code: ErrorCode; readonly message: string }> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: 'BODY_TOO_LARGE',
    message: `the body is over its limit: ${limits.requestBytesMax} bytes, ${limits.batchBytesMax} for a batch`,
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'MEDIA_TYPE_UNSUPPORTED',
    message: 'send the body as JSON, with "Content-Type: application/json"',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'REQUEST_INVALID',
    message: 'the body is shorter or longer than its Content-Length says',
  },
};

/** Whatever a handler or Fastify threw, as an error of the registry. */
export function asClaimkeeperError(error: unknown): ClaimkeeperError {
  if (error instanceof ClaimkeeperError) return error;
  const { code, statusCode, message } = error as { code?: unknown; statusCode?: unknown; message?: unknown };
  const known = typeof code === 'string' ? ofFastify[code] : undefined;
  if (known !== undefined) return new ClaimkeeperError(known.code, known.message, { cause: error });
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new ClaimkeeperError('REQUEST_INVALID', String(message), { cause: error });
  }
  return new ClaimkeeperError('INTERNAL', String(message), { cause: error });
}

/** What is no HTTP, or came too slowly for it: Node's HTTP parser says so, without a request to answer. */
export function ofParser(code: string | undefined): ClaimkeeperError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const message = `the request did not arrive within ${limits.requestMsMax} ms`;
    return new ClaimkeeperError('REQUEST_TIMEOUT', message);
  }
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new ClaimkeeperError(
      'HEADERS_TOO_LARGE',
      'the URL and the headers have more than 16 KiB together',
    );
  }
  return new ClaimkeeperError('REQUEST_INVALID', `this is no HTTP request: ${shown(code)}`);
}
