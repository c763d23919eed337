// errors.ts: the one registry of errors: code, HTTP status, whether the same call may succeed later, what it means.
// docs/errors.md is tested against it. A code is never reused for another meaning.

export const errorRegistry = {
  TASK_ID_INVALID: { status: 422, retryable: false, text: 'The task id is not well formed.' },
  NAME_INVALID: {
    status: 422,
    retryable: false,
    text: 'The name of a queue or a task type is not well formed.',
  },
  SUBMISSION_INVALID: {
    status: 422,
    retryable: false,
    text: 'A field of the submission is missing, unknown or out of range.',
  },
  REQUEST_INVALID: {
    status: 400,
    retryable: false,
    text: 'The request could not be read as what this route takes.',
  },
  ORIGIN_REFUSED: {
    status: 403,
    retryable: false,
    text: "The request was made by a web page of another origin than the API's.",
  },
  KEY_REQUIRED: { status: 401, retryable: false, text: 'The API asks for a key, and the request has none.' },
  KEY_INVALID: {
    status: 401,
    retryable: false,
    text: 'The key that was presented is not well formed, unknown or revoked.',
  },
  KEY_EXPIRED: { status: 401, retryable: false, text: 'The key that was presented has expired.' },
  SCOPE_MISSING: { status: 403, retryable: false, text: 'The key lacks the scope that the route takes.' },
  QUEUE_FORBIDDEN: { status: 403, retryable: false, text: 'The key does not cover the queue of the task.' },
  RATE_LIMITED: {
    status: 429,
    retryable: true,
    text: 'There were more requests of this key or address than are answered in a second.',
  },
  KEY_INPUT_INVALID: {
    status: 422,
    retryable: false,
    text: 'A field of the API key to make or to revoke is missing, unknown or out of range.',
  },
  KEY_NOT_FOUND: { status: 404, retryable: false, text: 'There is no API key of that id.' },
  KEY_LIMIT: { status: 409, retryable: false, text: 'There are as many API keys as there may be.' },
  ROUTE_NOT_FOUND: { status: 404, retryable: false, text: 'There is no such route.' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    retryable: false,
    text: 'The route does not take that method; Allow lists those that it takes.',
  },
  REQUEST_TIMEOUT: { status: 408, retryable: true, text: 'The request did not arrive in time.' },
  MEDIA_TYPE_UNSUPPORTED: {
    status: 415,
    retryable: false,
    text: 'The body is not JSON, or does not say so in its Content-Type.',
  },
  HEADERS_TOO_LARGE: { status: 431, retryable: false, text: 'The URL and the headers are over their limit.' },
  BODY_TOO_LARGE: { status: 413, retryable: false, text: "The request's body is over its limit." },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    retryable: false,
    text: 'The payload is over its limit; pass large data by reference.',
  },
  BATCH_TOO_LARGE: {
    status: 413,
    retryable: false,
    text: 'The batch holds more tasks than one request may.',
  },
  TASK_NOT_FOUND: {
    status: 404,
    retryable: false,
    text: 'No task of that id is in the ledger or in the history.',
  },
  TASK_CONFLICT: { status: 409, retryable: false, text: 'A task of that id exists with other content.' },
  MOVE_REFUSED: {
    status: 409,
    retryable: false,
    text: 'The state table does not allow that move from the state the task is in.',
  },
  SCHEDULE_INVALID: {
    status: 422,
    retryable: false,
    text: 'A field of the schedule is missing, unknown or out of range.',
  },
  SCHEDULE_NOT_FOUND: { status: 404, retryable: false, text: 'There is no schedule of that id.' },
  SCHEDULE_CONFLICT: {
    status: 409,
    retryable: false,
    text: 'A schedule of that id exists with other content.',
  },
  SCHEDULE_CHANGED: {
    status: 409,
    retryable: false,
    text: 'The schedule is no longer at the revision that was given: read it again.',
  },
  PRECONDITION_FAILED: {
    status: 412,
    retryable: false,
    text: 'What is there is not at the revision that If-Match names: read it again.',
  },
  SCHEDULE_LIMIT: { status: 409, retryable: false, text: 'There are as many schedules as there may be.' },
  SCHEDULE_UNREADABLE: {
    status: 500,
    retryable: false,
    text: "A schedule's definition cannot be read by this version.",
  },
  ZOOKEEPER_UNAVAILABLE: {
    status: 503,
    retryable: true,
    text: 'ZooKeeper did not answer in time or has no quorum; nothing was written.',
  },
  OUTCOME_UNKNOWN: {
    status: 503,
    retryable: true,
    text: 'The write was sent and its reply lost; repeat the request with the same task id to learn the outcome.',
  },
  WAITS_EXHAUSTED: {
    status: 503,
    retryable: true,
    text: 'As many requests wait for tasks to end as this process lets wait at once.',
  },
  GENERATION_CHANGED: {
    status: 503,
    retryable: false,
    text: "The ensemble's data was restored or wiped; an operator must confirm it.",
  },
  REDIS_UNAVAILABLE: {
    status: 503,
    retryable: true,
    text: 'Redis did not answer; accepted tasks are safe and are delivered once it is back.',
  },
  FOLLOWERS_LIMIT: {
    status: 503,
    retryable: true,
    text: 'As many clients follow events of this process as may.',
  },
  API_UNREACHABLE: {
    status: 503,
    retryable: true,
    text: 'The API did not answer, or something else answered in its place.',
  },
  RECORD_UNREADABLE: {
    status: 500,
    retryable: false,
    text: 'A record in the ledger cannot be read by this version.',
  },
  CONFIG_INVALID: { status: 500, retryable: false, text: 'An option is unknown or out of range.' },
  CLOSED: { status: 503, retryable: false, text: 'This instance was closed.' },
  LEASE_LOST: {
    status: 500,
    retryable: true,
    text: 'The attempt can no longer prove that the task is its own.',
  },
  HANDLER_FAILED: {
    status: 500,
    retryable: true,
    text: "The handler threw: a downstream's failure, as far as can be told.",
  },
  HANDLER_BUG: {
    status: 500,
    retryable: true,
    text: 'The handler threw an error that names a programming mistake.',
  },
  HANDLER_REFUSED: {
    status: 500,
    retryable: false,
    text: 'The handler threw NonRetryable: another attempt would not help.',
  },
  ATTEMPT_TIMEOUT: {
    status: 500,
    retryable: true,
    text: "The attempt's deadline passed and the handler stopped.",
  },
  ATTEMPT_UNSETTLED: {
    status: 500,
    retryable: false,
    text: 'The handler had not settled when its worker gave it up; its effect is unknown.',
  },
  ATTEMPT_CANCELLED: {
    status: 500,
    retryable: false,
    text: 'The task was cancelled while it ran, and the handler stopped.',
  },
  INTERNAL: { status: 500, retryable: false, text: 'A defect of Claimkeeper; the log has the details.' },
} as const satisfies Record<string, { status: number; retryable: boolean; text: string }>;

export type ErrorCode = keyof typeof errorRegistry;

/** Every error that leaves Claimkeeper. `message` says what was wrong, with which value, and what to do. */
export class ClaimkeeperError extends Error {
  readonly code: ErrorCode;
  /** The input field at fault, as a dotted path, where there is one. */
  readonly field: string | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ClaimkeeperError';
    this.code = code;
    this.field = options.field;
  }

  get status(): number {
    return errorRegistry[this.code].status;
  }

  get retryable(): boolean {
    return errorRegistry[this.code].retryable;
  }
}

/** Thrown by a handler to say that another attempt would not help: the task fails at once. */
export class NonRetryable extends Error {
  override readonly name = 'NonRetryable';
}

/** Thrown by a handler to say when the downstream wants to be asked again (an HTTP `Retry-After`). */
export class RetryAfter extends Error {
  override readonly name = 'RetryAfter';
  readonly delayMs: number;

  constructor(delayMs: number, message = `retry after ${delayMs} ms`, options?: { cause?: unknown }) {
    super(message, options);
    this.delayMs = delayMs;
  }
}
