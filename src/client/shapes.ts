// shapes.ts: what the API takes and gives, made from its document (GET /openapi.json) by `npm run shapes`; a test holds the two together.

export type State = 'waiting' | 'running' | 'completed' | 'failed' | 'cancelled' | 'uncertain';

export type Submission = {
  /** Idempotency key: the same id with the same content is the same task. */
  readonly id: string;
  readonly type: string;
  readonly queue?: string;
  /** Any JSON value up to 65536 bytes, nested up to 64 levels. */
  readonly payload?: unknown;
  /** 0: most urgent. */
  readonly priority?: number;
  readonly delayMs?: number;
  /** Not before this time: ISO 8601 with an offset, or ms since 1970. Not together with delayMs. */
  readonly runAt?: string | number;
  readonly retry?: {
    readonly attempts?: number;
    readonly delayMsMin?: number;
    readonly delayMsMax?: number;
    readonly factor?: number;
  };
  readonly timeoutMs?: number;
  readonly onInterrupted?: 'park' | 'verify' | 'rerun';
};

/** The id may come from Idempotency-Key instead. */
export type KeyedSubmission = {
  /** Idempotency key: the same id with the same content is the same task. */
  readonly id?: string;
  readonly type: string;
  readonly queue?: string;
  /** Any JSON value up to 65536 bytes, nested up to 64 levels. */
  readonly payload?: unknown;
  /** 0: most urgent. */
  readonly priority?: number;
  readonly delayMs?: number;
  /** Not before this time: ISO 8601 with an offset, or ms since 1970. Not together with delayMs. */
  readonly runAt?: string | number;
  readonly retry?: {
    readonly attempts?: number;
    readonly delayMsMin?: number;
    readonly delayMsMax?: number;
    readonly factor?: number;
  };
  readonly timeoutMs?: number;
  readonly onInterrupted?: 'park' | 'verify' | 'rerun';
};

export type Batch = {
  /** Each a Submission. */
  readonly tasks: readonly unknown[];
};

export type Accepted = {
  readonly kind: 'created' | 'same';
  /** Idempotency key: the same id with the same content is the same task. */
  readonly id: string;
  readonly state: State;
  /** Until then at least, the same id means this task. */
  readonly dedupUntil: string;
};

export type Refused = {
  readonly kind: 'refused';
  readonly error: Problem;
};

export type Outcomes = {
  readonly outcomes: readonly (Accepted | Refused)[];
};

export type Task = {
  /** Idempotency key: the same id with the same content is the same task. */
  readonly id: string;
  readonly type: string;
  readonly queue: string;
  /** Any JSON value. */
  readonly payload: unknown;
  readonly priority: number;
  readonly state: State;
  /** Next (waiting), now (running) or last. */
  readonly attempt: number;
  /** Ended ones, the oldest first. */
  readonly attempts: readonly Attempt[];
  readonly onInterrupted: 'park' | 'verify' | 'rerun' | null;
  readonly notBefore: string | null;
  readonly acceptedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly worker: string | null;
  /** Any JSON value. */
  readonly progress: unknown;
  readonly cancelRequested: boolean;
  readonly replays: number;
  readonly note: string | null;
  /** Any JSON value. */
  readonly result?: unknown;
  readonly resultOmittedBytes?: number;
};

export type Attempt = {
  readonly n: number;
  readonly worker: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly outcome: 'succeeded' | 'failed' | 'unsettled' | 'interrupted' | 'notExecuted';
  readonly error: {
    readonly code: string;
    readonly message: string;
  } | null;
};

export type Resolution = {
  readonly as: 'completed' | 'failed';
  /** How you know. */
  readonly note: string;
};

export type ScheduleDefinition = {
  readonly id: string;
  /** Five fields, or six with the second first. */
  readonly cron: string;
  /** IANA name. */
  readonly timeZone?: string;
  /** What each tick submits. */
  readonly task: {
    readonly type: string;
    readonly queue?: string;
    /** Any JSON value up to 65536 bytes, nested up to 64 levels. */
    readonly payload?: unknown;
    /** 0: most urgent. */
    readonly priority?: number;
    readonly retry?: {
      readonly attempts?: number;
      readonly delayMsMin?: number;
      readonly delayMsMax?: number;
      readonly factor?: number;
    };
    readonly timeoutMs?: number;
    readonly onInterrupted?: 'park' | 'verify' | 'rerun';
  };
  readonly misfire?: {
    readonly policy?: 'skip' | 'once' | 'all';
    readonly afterMs?: number;
    readonly ticksMax?: number;
    readonly ageMsMax?: number;
  };
  readonly jitterMs?: number;
  /** No tick before it: ISO 8601 with an offset, or ms since 1970. */
  readonly startAt?: string | number;
  /** No tick at or after it: ISO 8601 with an offset, or ms since 1970. */
  readonly endAt?: string | number;
  readonly overlap?: 'allow' | 'skip';
  readonly paused?: boolean;
};

export type ScheduleChange = {
  readonly id?: string;
  /** Five fields, or six with the second first. */
  readonly cron: string;
  /** IANA name. */
  readonly timeZone?: string;
  /** What each tick submits. */
  readonly task: {
    readonly type: string;
    readonly queue?: string;
    /** Any JSON value up to 65536 bytes, nested up to 64 levels. */
    readonly payload?: unknown;
    /** 0: most urgent. */
    readonly priority?: number;
    readonly retry?: {
      readonly attempts?: number;
      readonly delayMsMin?: number;
      readonly delayMsMax?: number;
      readonly factor?: number;
    };
    readonly timeoutMs?: number;
    readonly onInterrupted?: 'park' | 'verify' | 'rerun';
  };
  readonly misfire?: {
    readonly policy?: 'skip' | 'once' | 'all';
    readonly afterMs?: number;
    readonly ticksMax?: number;
    readonly ageMsMax?: number;
  };
  readonly jitterMs?: number;
  /** No tick before it: ISO 8601 with an offset, or ms since 1970. */
  readonly startAt?: string | number;
  /** No tick at or after it: ISO 8601 with an offset, or ms since 1970. */
  readonly endAt?: string | number;
  readonly overlap?: 'allow' | 'skip';
  readonly paused?: boolean;
  /** Only if it is still at that revision. */
  readonly revision?: string;
};

export type Schedule = {
  readonly id: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly task: {
    readonly type: string;
    readonly queue: string;
    /** Any JSON value. */
    readonly payload: unknown;
    readonly priority: number;
    readonly retry?: {
      readonly attempts?: number;
      readonly delayMsMin?: number;
      readonly delayMsMax?: number;
      readonly factor?: number;
    };
    readonly timeoutMs?: number;
    readonly onInterrupted?: 'park' | 'verify' | 'rerun';
  };
  readonly misfire: {
    readonly policy: 'skip' | 'once' | 'all';
    readonly afterMs: number;
    readonly ticksMax: number;
    readonly ageMsMax: number;
  };
  readonly jitterMs: number;
  readonly startAt: string | null;
  readonly endAt: string | null;
  readonly overlap: 'allow' | 'skip';
  readonly paused: boolean;
  /** Names this state of the definition; in quotes it is the ETag. */
  readonly revision: string;
  /** No tick up to then fires. */
  readonly since: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  /** The first tick that is not decided. */
  readonly next: string | null;
  readonly last: {
    readonly tick: string;
    readonly task: string;
  } | null;
  readonly skipped: {
    readonly tick: string;
    readonly why: 'late' | 'overlap';
  } | null;
};

export type SchedulePage = {
  readonly schedules: readonly Schedule[];
  /** Of the next page; null: this is the last. */
  readonly cursor: string | null;
};

export type Run = {
  readonly key?: string;
};

export type Ticks = {
  readonly ticks: readonly string[];
};

export type Worker = {
  readonly id: string;
  readonly pid: number;
  readonly host: string;
  readonly queues: readonly string[];
  readonly types: readonly string[];
  readonly concurrency: number;
  readonly startedAt: string;
  /** Its ZooKeeper session. */
  readonly session: string;
  /** What it has claimed now. */
  readonly tasks: readonly string[];
};

export type Workers = {
  readonly workers: readonly Worker[];
};

export type Liveness = {
  readonly status: 'alive';
};

export type Readiness = {
  readonly status: 'ready' | 'not ready';
  readonly zookeeper: string;
  readonly redis: string;
};

/** RFC 9457. */
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** What was wrong this time, and what to do. */
  readonly detail: string;
  /** Keeps its meaning for ever. */
  readonly code:
    | 'TASK_ID_INVALID'
    | 'NAME_INVALID'
    | 'SUBMISSION_INVALID'
    | 'REQUEST_INVALID'
    | 'ORIGIN_REFUSED'
    | 'KEY_REQUIRED'
    | 'KEY_INVALID'
    | 'KEY_EXPIRED'
    | 'SCOPE_MISSING'
    | 'QUEUE_FORBIDDEN'
    | 'RATE_LIMITED'
    | 'KEY_INPUT_INVALID'
    | 'KEY_NOT_FOUND'
    | 'KEY_LIMIT'
    | 'ROUTE_NOT_FOUND'
    | 'METHOD_NOT_ALLOWED'
    | 'REQUEST_TIMEOUT'
    | 'MEDIA_TYPE_UNSUPPORTED'
    | 'HEADERS_TOO_LARGE'
    | 'BODY_TOO_LARGE'
    | 'PAYLOAD_TOO_LARGE'
    | 'BATCH_TOO_LARGE'
    | 'TASK_NOT_FOUND'
    | 'TASK_CONFLICT'
    | 'MOVE_REFUSED'
    | 'SCHEDULE_INVALID'
    | 'SCHEDULE_NOT_FOUND'
    | 'SCHEDULE_CONFLICT'
    | 'SCHEDULE_CHANGED'
    | 'PRECONDITION_FAILED'
    | 'SCHEDULE_LIMIT'
    | 'SCHEDULE_UNREADABLE'
    | 'ZOOKEEPER_UNAVAILABLE'
    | 'OUTCOME_UNKNOWN'
    | 'WAITS_EXHAUSTED'
    | 'GENERATION_CHANGED'
    | 'REDIS_UNAVAILABLE'
    | 'FOLLOWERS_LIMIT'
    | 'API_UNREACHABLE'
    | 'RECORD_UNREADABLE'
    | 'CONFIG_INVALID'
    | 'CLOSED'
    | 'LEASE_LOST'
    | 'HANDLER_FAILED'
    | 'HANDLER_BUG'
    | 'HANDLER_REFUSED'
    | 'ATTEMPT_TIMEOUT'
    | 'ATTEMPT_UNSETTLED'
    | 'ATTEMPT_CANCELLED'
    | 'INTERNAL';
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** The field, parameter or header at fault, where there is one. */
  readonly field?: string;
};

export type Summary = {
  /** Idempotency key: the same id with the same content is the same task. */
  readonly id: string;
  readonly type: string;
  readonly queue: string;
  readonly state: State;
  readonly attempt: number;
  readonly acceptedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Of the last attempt that ended. */
  readonly errorCode: string | null;
  readonly replays: number;
  readonly worker: string | null;
};

export type TaskPage = {
  readonly tasks: readonly Summary[];
  /** Of the next page; null: this is the last. */
  readonly cursor: string | null;
  /** Redis has lost its data and is being filled from the ledger: something may be missing. */
  readonly rebuilding: boolean;
};

export type Queue = {
  readonly queue: string;
  readonly counts: {
    readonly waiting: number;
    readonly running: number;
    readonly completed: number;
    readonly failed: number;
    readonly cancelled: number;
    readonly uncertain: number;
  };
  /** For how long the longest waiting of those that are due could have run; null: none is due. */
  readonly oldestDueMs: number | null;
  readonly paused: boolean;
  readonly pausedSince: string | null;
};

export type Queues = {
  readonly queues: readonly Queue[];
  /** Redis has lost its data and is being filled from the ledger: something may be missing. */
  readonly rebuilding: boolean;
};

export type QueueSetting = {
  readonly queue: string;
  readonly paused: boolean;
  readonly since: string | null;
};

export type Change = {
  /** When it was seen. */
  readonly at: string;
  /** The state before, as far as is known. */
  readonly from: State | null;
  readonly task: Summary;
};
