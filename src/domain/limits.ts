// limits.ts: every bound of the product in one place, with the relations that must hold between them. Units last in names.

import assert from 'node:assert/strict';

export const limits = {
  taskIdCharsMax: 128,
  nameCharsMax: 64,
  /** A task's payload as JSON; large blobs travel by reference. */
  payloadBytesMax: 64 * 1024,
  payloadDepthMax: 64,
  /** A result as JSON; a larger one is recorded as omitted, with its size: a completion is never refused. */
  resultBytesMax: 16 * 1024,
  errorMessageCharsMax: 500,
  priorityMax: 1_000,
  attemptsMax: 100,
  attemptsKept: 10,
  delayMsMax: 365 * 24 * 3_600_000,
  timeoutMsMax: 24 * 3_600_000,
  /** Leaves room for `@` and a tick, or a run's key, within a task id. */
  scheduleIdCharsMax: 100,
  runKeyCharsMax: 22,
  cronCharsMax: 256,
  /** All of them are held in the leader's memory. */
  schedulesMax: 10_000,
  /** Ticks that one look of the leader fires of a schedule, and that a preview shows. */
  ticksMax: 1_000,
  jitterMsMax: 24 * 3_600_000,
  /** For how long a tick may count as on time, and how old one may be that still fires. */
  misfireAfterMsMax: 3_600_000,
  misfireAgeMsMax: 365 * 24 * 3_600_000,
  /** All API keys are held in the API's memory. */
  keysMax: 1_000,
  keyQueuesMax: 100,
  /** Tasks in one request to the API. */
  batchTasksMax: 1_000,
  /** Bodies of the API's requests: one task, and a batch. */
  requestBytesMax: 128 * 1024,
  batchBytesMax: 8 * 1024 * 1024,
  /** Schedules in one page of the API's list. */
  schedulesPageMax: 200,
  /** How long a request may wait for a task to end, and how many of a process wait at once. */
  waitSecondsMax: 30,
  waitsOpenMax: 1_000,
  /** Tasks whose end a process watches for, also those that nobody waits for any more: ZooKeeper keeps a watch for each. */
  endingsFollowedMax: 10_000,
  /** To read a request of the API, and again to answer it. */
  requestMsMax: 30_000,
  /** Connections to the API that wait to be accepted; the kernel may allow fewer, and resets what is beyond. */
  connectionsWaitingMax: 4_096,
  /** Keys and addresses whose requests are counted; the one that asked longest ago is forgotten for a new one. */
  callersCountedMax: 10_000,
  /** Task ids in one delivery, and tasks in one claim. */
  envelopeTasksMax: 100,
  /** Deliveries that wait in a process while Redis is away; the oldest beyond are dropped, and repeated by the reconciler. */
  deliveryBufferMax: 100_000,
  /** Envelopes sent within the last seconds, kept by a process to be sent again where Redis may have forgotten them. */
  deliveryParcelsKept: 2_000,
  /** Envelopes in one round trip to Redis. */
  deliveryParcelsPerSend: 500,
  /** Tasks in one page of a list, and those looked at for it: a page may be short. */
  listTasksMax: 500,
  listScanMax: 10_000,
  /** Words for the read model that wait in a process; the oldest beyond are dropped, and repaired by the reconciler. */
  viewBufferMax: 100_000,
  /** Words in one round trip to Redis: some milliseconds of its time. */
  viewWordsPerSend: 500,
  /** Events that are kept for those who come back, about. */
  eventsKept: 100_000,
  /** Clients of one API process that follow events at the same time. */
  followersMax: 200,
  /**
   * Operations and bytes of one multi: the generation's check and four full envelopes, so that a bulk is not cut into odd ones;
   * ZooKeeper drops a connection that sends over 1 MiB (trap 18).
   */
  multiOpsMax: 401,
  multiBytesMax: 512 * 1024,
  /** A record as its znode keeps it: payload, result, ten errors and its fixed fields. */
  recordBytesMax: 112 * 1024,
  /** What a claim's transaction weighs beside its records: their paths, and the claim's znode, which names its tasks. */
  claimBytesMax: 40 * 1024,
  /** Multis in flight per lane. */
  multisInFlightMax: 4,
  /** One that is not full leaves only beside fewer than this: it would wait for the others on the server, and gathers more here. */
  partialMultisInFlightMax: 2,
  /** Znodes that one request reads, so that a full envelope's are; replies stay below 12 MiB. */
  readsPerRequestMax: 100,
  /** Requests in flight on one connection (trap 22). */
  requestsInFlightMax: 256,
} as const;

assert(
  limits.payloadBytesMax +
    limits.resultBytesMax +
    limits.attemptsKept * limits.errorMessageCharsMax * 4 +
    8_192 <=
    limits.recordBytesMax,
  'a record holds payload, result, ten errors and its fixed fields',
);
assert(
  limits.recordBytesMax + limits.claimBytesMax <= limits.multiBytesMax,
  'the largest record fits one multi beside its claim',
);
assert(
  limits.partialMultisInFlightMax >= 1 && limits.partialMultisInFlightMax <= limits.multisInFlightMax,
  'what fills no multi leaves all the same',
);
assert(limits.envelopeTasksMax * 2 + 2 <= limits.multiOpsMax, 'a claim of a full envelope fits one multi');
assert(
  (limits.envelopeTasksMax + 1) * (2 * limits.taskIdCharsMax + 96) <= limits.claimBytesMax,
  "a claim names its tasks twice: in its znode, and by their records' paths",
);
assert(limits.envelopeTasksMax <= limits.readsPerRequestMax, "one request reads an envelope's records");
assert(
  limits.readsPerRequestMax * limits.recordBytesMax <= 12 * 1024 * 1024,
  'replies stay below 12 MiB, of the 64 that are read',
);
assert(limits.payloadBytesMax + 16_384 <= limits.requestBytesMax, 'the largest payload fits one request');
assert(limits.viewWordsPerSend * 2 <= 4_000, "what a Lua script of Redis may unpack holds a batch's members");
assert(
  limits.scheduleIdCharsMax + '@2026-01-02T03:04:05Z'.length <= limits.taskIdCharsMax,
  'a tick fits an id',
);
assert(
  limits.scheduleIdCharsMax + '@run-'.length + limits.runKeyCharsMax <= limits.taskIdCharsMax,
  "a run's key fits an id",
);
