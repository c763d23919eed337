// story-from-evidence.ts: tells a chaos run's evidence as the story that the checker judges. The ledger's part is taken from
// the ensemble's transaction log alone; what handlers did from the witness.
//
// Times are of one machine and one undisturbed clock. A transaction's is the moment at which ZooKeeper's leader put it in
// line, before it was durable: what came after it in truth also does here. Whether a claim stood at the very moment at which
// a handler was called cannot be told from outside the process, and is left open.

import { decodeRecord, type Held, type TaskId, type TaskRecord } from '../../src/domain/index.js';
import type { Change, Effect, Fault, LeaseEnd, Settling, Start, Story, Submit } from '../invariants/story.js';
import { Cast } from './cast.js';
import type { AnswerLine, FaultLine, WitnessLine } from './evidence.js';
import type { Evidence } from './evidence-reader.js';
import type { Step } from './transaction-log.js';

/** All that a chaos run can see, is in it. */
export type ToldStory = Required<Story>;

export type Telling = { readonly story: ToldStory; readonly cast: Cast };

export function tell(evidence: Evidence): Telling {
  const { run, answers, faults, log } = evidence;
  const cast = new Cast(evidence);
  const ledger = changesOf(log.steps, cast);
  const { changes, starts, effects } = inOneOrder(ledger.changes, evidence.witness, cast);
  const records = new Map<TaskId, TaskRecord>();
  for (const { id, after } of changes) if (after !== null) records.set(id, after);
  const told = faults.flatMap((fault) => faultsOf(fault, cast));
  const story: ToldStory = {
    seed: run.seed,
    graceMs: run.graceMs,
    dedupWindowMs: run.dedupWindowMs,
    acknowledged: new Set(answers.filter(isAccepted).map(({ task }) => task as TaskId)),
    changes,
    starts,
    effects,
    faults: told,
    records,
    claimsLeft: ledger.claimsLeft,
    unsettled: run.leftOver,
    defects: run.processes.flatMap(({ name, end }) => (end === 'crashed' ? [`${name} crashed`] : [])),
    transcript: [],
    submits: answers.filter(({ call }) => call === 'submit').map(submitOf),
    leases: leasesOf(evidence, cast, told),
    schedules: new Map(),
    settling: settlingOf(evidence, records, changes),
    ledger: new Map(
      evidence.ledger.map(({ version, record }) => {
        const held = { version, record: record as TaskRecord } satisfies Held;
        return [held.record.id, held];
      }),
    ),
  };
  return { story, cast };
}

export function isAccepted({ call, status }: AnswerLine): boolean {
  return call === 'submit' && (status === 200 || status === 201);
}

function submitOf({ task, body = '', status }: AnswerLine): Submit {
  const answers = { 200: 'same', 201: 'created', 409: 'conflict' } as const;
  const answer = answers[status as keyof typeof answers] ?? 'unanswered';
  return { task: task as TaskId, body, answer };
}

// The ledger, from the log.

type Unplaced<T> = Omit<T, 'seq'>;

function changesOf(
  steps: readonly Step[],
  cast: Cast,
): { readonly changes: readonly Unplaced<Change>[]; readonly claimsLeft: readonly string[] } {
  const root = cast.chroot;
  const termPath = `${root}/leader/term`;
  const recordPattern = /^\/tasks\/[0-9a-f]{2}\/(.+)$/;
  const standing = new Map<string, string>();
  const goneAt = new Map<string, number>();
  const current = new Map<string, TaskRecord | null>();
  const changes: Unplaced<Change>[] = [];
  let at = 0;
  for (const { transaction, changes: all } of steps) {
    // Leaders of different epochs read the same clock, and not at the same moment.
    at = Math.max(at, transaction.at);
    const ours = all.filter(({ path }) => path.startsWith(`${root}/`));
    const records = ours.filter(({ path }) => recordPattern.test(path.slice(root.length)));
    const stoodBefore = new Set(
      records
        .flatMap(({ path }) => current.get(path)?.claim?.nonce ?? [])
        .filter((nonce) => standing.has(nonce)),
    );
    const guarded = transaction.ops.some(({ kind, path }) => kind === 'check' && path === termPath);
    for (const { path, after } of ours) {
      const nonce = claimNonce(path.slice(root.length));
      if (nonce === null) continue;
      if (after !== null) standing.set(nonce, path);
      else if (standing.delete(nonce)) goneAt.set(nonce, at);
    }
    for (const { path, after: is } of records) {
      const before = current.get(path) ?? null;
      const after = is === null ? null : decodeRecord(is.data, path);
      current.set(path, after);
      const held = before?.claim?.nonce;
      changes.push({
        at,
        id: (recordPattern.exec(path.slice(root.length))?.[1] ?? '') as TaskId,
        by: cast.writerOf(transaction.session),
        version: is?.version ?? -1,
        before,
        after,
        guarded,
        claimGoneMs: held === undefined || stoodBefore.has(held) ? null : at - (goneAt.get(held) ?? at),
        claimStands: after?.claim !== undefined && standing.has(after.claim.nonce),
      });
    }
  }
  return { changes, claimsLeft: [...standing.values()] };
}

function claimNonce(path: string): string | null {
  return /^\/claims\/[^/]+\/claim-(.+)-\d{10}$/.exec(path)?.[1] ?? null;
}

// What handlers did, from the witness.

type Order = {
  readonly changes: readonly Change[];
  readonly starts: readonly Start[];
  readonly effects: readonly Effect[];
};

/** Of the same millisecond, what was written comes first: it was written before it was put in line here. */
function inOneOrder(
  unplaced: readonly Unplaced<Change>[],
  witness: readonly WitnessLine[],
  cast: Cast,
): Order {
  const changes: Change[] = [];
  const starts: Start[] = [];
  const effects: Effect[] = [];
  let seq = 0;
  let next = 0;
  const write = (until: number): void => {
    for (let change = unplaced[next]; change !== undefined && change.at <= until; change = unplaced[next]) {
      seq += 1;
      next += 1;
      changes.push({ ...change, seq });
    }
  };
  for (const { kind, task, type, attempt, fence, pid, at, plan } of witness) {
    write(at);
    seq += 1;
    const worker = cast.workerOfPid(pid, at);
    const what = { seq, at, task: task as TaskId, attempt, fence, worker };
    if (kind === 'start') starts.push({ ...what, claimStood: null, deaf: isDeaf(plan) || null });
    if (kind === 'effect') effects.push(type === 'rerun' ? { ...what, compared: true } : what);
  }
  write(Number.POSITIVE_INFINITY);
  return { changes, starts, effects };
}

function isDeaf(plan = ''): boolean {
  return plan.split(', ').includes('deaf');
}

// What was broken.

/** In the checker's words. What is not here cannot part a worker from a task that it runs. */
const words: Readonly<Record<string, string>> = {
  'worker-kill': 'killed',
  'worker-freeze': 'freeze',
  'event-loop-blocked': 'freeze',
  'rolling-restart': 'retired',
  'black-hole': 'silent partition',
  'half-open': 'silent partition',
  'cut-inbound': 'silent partition',
  'cut-outbound': 'silent partition',
  'no-zookeeper': 'partition',
  latency: 'latency',
  'lost-replies': 'lost replies',
  'clock-jump': 'clock jump',
  'leader-kill': 'server fault',
  'leader-freeze': 'server fault',
  'follower-kill': 'server fault',
  'follower-freeze': 'server fault',
  'disk-full': 'server fault',
};

/** On each worker that it hit; on all, where it hit a server that any may be connected to. */
function faultsOf(fault: FaultLine, cast: Cast): Fault[] {
  const { on, from, to } = fault;
  const kind = words[fault.kind] ?? fault.kind;
  if (on.startsWith('zookeeper-')) return [{ kind, on: '*', from, to }];
  // What was ended never comes back: the process that was started in its place is another.
  const isEnd = kind === 'killed' || kind === 'retired';
  const hit = cast.hitBy(fault).filter(({ life }) => !isEnd || (life !== null && life.from <= from));
  if (hit.length === 0) return [{ kind, on, from, to }];
  return hit.map(({ id }) => ({ kind, on: id, from, to: isEnd ? Number.POSITIVE_INFINITY : to }));
}

// Trust.

/** What takes a process's time, or its clock's: then the lease is not what is asked about. */
const disturbances = ['freeze', 'killed', 'retired', 'clock jump'];
/** What keeps a process and the servers from hearing each other. */
const separations = ['silent partition', 'partition', 'server fault', 'lost replies', 'latency'];

/** Every session of a worker that the server let expire while the process lived and had said that it trusted it. */
function leasesOf({ run, trust, log }: Evidence, cast: Cast, faults: readonly Fault[]): LeaseEnd[] {
  const expired = log.steps.flatMap(({ transaction: { kind, session, at } }) =>
    kind === 'expired' ? [{ session, at }] : [],
  );
  return expired.flatMap(({ session, at }): LeaseEnd[] => {
    const worker = cast.workers.find(({ id }) => id === cast.writerOf(session));
    if (worker === undefined || (worker.life?.to ?? at + 1) <= at) return [];
    const said = trust.filter(({ pid }) => pid === worker.pid);
    // Trust may come and go in a session: what counts is the last doubt before its end, or the first after it.
    const lastTrust = said.findLastIndex((line) => line.session === session && line.trusted && line.at < at);
    if (lastTrust < 0) return [];
    const doubt = said.slice(lastTrust + 1).find((line) => !line.trusted || line.session !== session);
    // A session ends a timeout after it was last heard of; what kept it from being heard had begun before.
    const since = at - 2 * run.sessionTimeoutMs;
    const met = faults.filter(
      ({ on, from, to }) => (on === worker.id || on === '*') && from <= at && to >= since,
    );
    const purePartition =
      met.some(({ kind }) => separations.includes(kind)) &&
      !met.some(({ kind }) => disturbances.includes(kind));
    return [{ worker: worker.id, session, expiredAt: at, distrustedAt: doubt?.at ?? null, purePartition }];
  });
}

// The end.

/** The leader's next look at the claims; how long an abandoned handler is waited for; what stalled deliveries take to come again. */
const lookMs = 500;
const settleMs = 2_000;
const redeliveryMs = 30_000;

/**
 * I12: the session timeout, the grace and a look, until what was lost is known; a handler's limit, and what it is given to
 * settle, for what still ran; once, the time in which a delivery that was lost comes again; and for the task that took the
 * most of it: a handler's limit for each attempt that began since, and every delay that it was put off by.
 */
function settlingOf(
  { run }: Evidence,
  records: ReadonlyMap<TaskId, TaskRecord>,
  changes: readonly Change[],
): Settling {
  const { healedAt, settledAt, sessionTimeoutMs, graceMs, handlerMsMax } = run;
  const since = new Map<TaskId, number>();
  for (const { id, at, after } of changes) {
    if (at < healedAt || after === null || !records.has(id)) continue;
    const began = after.state === 'running' ? handlerMsMax + settleMs : 0;
    const putOff = after.state !== 'running' ? Math.max(0, (after.notBefore ?? at) - at) : 0;
    since.set(id, (since.get(id) ?? 0) + began + putOff);
  }
  const retriesMs = Math.max(0, ...since.values());
  return {
    withinMs: sessionTimeoutMs + graceMs + lookMs + handlerMsMax + settleMs + redeliveryMs + retriesMs,
    tookMs: settledAt === null ? null : settledAt - healedAt,
  };
}
