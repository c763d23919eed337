// api-error.ts: what the client throws: an answer of the API that is a problem, or no answer of it at all.

import type { Problem } from './shapes.js';

/** Of the API (docs/errors.md), or `API_UNREACHABLE`: nobody answered, or not as the API does. */
export type ApiErrorCode = Problem['code'];

export class ClaimkeeperApiError extends Error {
  override readonly name = 'ClaimkeeperApiError';
  readonly code: ApiErrorCode;
  readonly status: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** What was at fault, where there is one. */
  readonly field: string | undefined;

  constructor(problem: Pick<Problem, 'code' | 'status' | 'retryable' | 'detail' | 'field'>, cause?: unknown) {
    super(problem.detail, cause === undefined ? undefined : { cause });
    this.code = problem.code;
    this.status = problem.status;
    this.retryable = problem.retryable;
    this.field = problem.field;
  }
}

export function unreachable(origin: string, why: string, cause?: unknown): ClaimkeeperApiError {
  const detail = `no answer from the API at ${origin}: ${why}`;
  return new ClaimkeeperApiError({ code: 'API_UNREACHABLE', status: 503, retryable: true, detail }, cause);
}
