// steps.ts: the steps of the protocol, each by the protocol's own word, and how a victim is brought to stand at it.

import type { TaskRecord } from '../../src/domain/index.js';
import { recordPath } from '../../src/ledger/index.js';
import type { Place } from './outside.js';
import type { RedisRequest } from './redis-wire.js';
import type { Stage } from './stage.js';
import type { Hold } from './tap.js';
import type { ZooKeeperOp, ZooKeeperRequest } from './zookeeper-wire.js';

/** A victim at its failpoint. */
export type Struck = {
  readonly hold: Hold;
  /** Where the failpoint is: what is lost with the session, and what is not. */
  readonly on: 'zookeeper' | 'redis' | 'outside';
  /** Lets go on what the step held back beside its failpoint. */
  readonly afterwards?: () => void | Promise<void>;
};

export type Step = {
  readonly reach: (stage: Stage) => Promise<Struck>;
  /** When the rest of the fleet begins to run tasks: as soon as the fault is there unless set. */
  readonly restWorks?: 'after the answer';
  /** For a step that is reached only once a session, or a deadline of its length, is over. */
  readonly sessionTimeoutMs?: number;
  /** Is about who leads, or needs a tree that nobody leads yet. */
  readonly isAlone?: boolean;
  readonly dedupWindowMs?: number;
};

type Op = (op: ZooKeeperOp) => boolean;

function multi(...wanted: readonly Op[]): (asked: ZooKeeperRequest) => boolean {
  return (asked) => asked.kind === 'multi' && wanted.every((each) => asked.ops.some(each));
}

const sets =
  (stage: Stage, state: TaskRecord['state']): Op =>
  (op) =>
    op.kind === 'set' && op.path === recordPath(stage.id) && op.state === state;

const at =
  (wanted: ZooKeeperOp['kind'], pattern: RegExp): Op =>
  ({ kind, path }) =>
    kind === wanted && pattern.test(path);

const claimNode = /^\/claims\/[^/]+\/claim-/;
const term = at('check', /^\/leader\/term$/);

async function onLedger(stage: Stage, which: (asked: ZooKeeperRequest) => boolean): Promise<Struck> {
  return { hold: await stage.zookeeper.arm(stage.options.side, which), on: 'zookeeper' };
}

async function onRedis(stage: Stage, which: (asked: RedisRequest) => boolean): Promise<Struck> {
  return { hold: await stage.redis.arm(stage.options.side, which), on: 'redis' };
}

async function onOutside(stage: Stage, place: Place): Promise<Struck> {
  return { hold: await stage.outside.arm(place, stage.id, stage.options.side), on: 'outside' };
}

/** One of BullMQ's scripts, by the number of its keys and the name of the first. */
function script(keys: number, first: string): (asked: RedisRequest) => boolean {
  return ({ words: [verb = '', , count, key = ''] }) =>
    /^eval/i.test(verb) && count === String(keys) && key.endsWith(first);
}
const taking = script(11, ':wait');
const removing = script(14, ':wait');

function delivers(stage: Stage): (asked: RedisRequest) => boolean {
  return ({ words }) => words.some((word) => word.startsWith(`{"ids":["${stage.id}"`));
}

type Arm = (stage: Stage) => Promise<Struck>;

/** A worker that takes the task and comes to the failpoint on its way. */
function working(arm: Arm, plan: readonly string[] = [], proves = false): Step['reach'] {
  return async (stage) => {
    await stage.submitted(plan, proves);
    const victim = await stage.victim();
    const struck = arm(stage);
    await stage.work(victim);
    return struck;
  };
}

/** A leader at work on a task whose worker is gone. */
function leading(arm: Arm): Step['reach'] {
  return async (stage) => {
    await stage.abandoned({ effect: stage.options.policy === 'park' });
    const victim = await stage.victim();
    const struck = arm(stage);
    void victim.ask('lead');
    return struck;
  };
}

/** An operator's order about a task that `prepare` has brought to where it is given. */
function operating(
  order: 'replay' | 'resolve' | 'cancel',
  state: TaskRecord['state'],
  prepare: (stage: Stage) => Promise<Pick<Struck, 'afterwards'>>,
): Step['reach'] {
  return async (stage) => {
    const more = await prepare(stage);
    const victim = await stage.victim();
    const struck = onLedger(stage, multi(sets(stage, state)));
    stage.answer = victim.ask(order, stage.id);
    return { ...(await struck), ...more };
  };
}

function submitting(arm: Arm): Step['reach'] {
  return async (stage) => {
    const victim = await stage.victim();
    const struck = arm(stage);
    stage.answer = victim.ask('submit', stage.submission());
    return struck;
  };
}

/** A worker that has run the task and is told to stop. */
function stopping(which: (asked: ZooKeeperRequest) => boolean): Step['reach'] {
  return async (stage) => {
    await stage.submitted();
    const victim = await stage.victim();
    await stage.work(victim);
    await stage.reaches('completed');
    const struck = onLedger(stage, which);
    void victim.ask('close');
    return struck;
  };
}

/** A worker that learns of the claim it made only once it has been told to stop. */
async function claimedAndStopping(stage: Stage): Promise<Struck> {
  await stage.submitted();
  const victim = await stage.victim();
  const claimed = stage.zookeeper.arm('after', multi(at('create', claimNode), sets(stage, 'running')));
  await stage.work(victim);
  const reply = await claimed;
  void victim.ask('close');
  await victim.host.begun();
  const struck = onLedger(stage, multi(sets(stage, 'waiting')));
  reply.release();
  return struck;
}

/** A worker that is told to stop while it records a failure which it would have tried again in place. */
async function stoppingBeforeRetry(stage: Stage): Promise<Struck> {
  await stage.submitted(['fail soon']);
  const victim = await stage.victim();
  const failed = stage.zookeeper.arm('after', multi(sets(stage, 'waiting')));
  await stage.work(victim);
  const reply = await failed;
  void victim.ask('close');
  await victim.host.begun();
  const struck = onLedger(stage, multi(at('delete', claimNode)));
  reply.release();
  return struck;
}

async function draining(stage: Stage): Promise<Struck> {
  await stage.submitted();
  const victim = await stage.victim();
  const struck = onOutside(stage, 'effect');
  await stage.work(victim);
  const reached = await struck;
  void victim.ask('close');
  await victim.host.begun();
  return reached;
}

async function readopting(stage: Stage): Promise<Struck> {
  await stage.submitted();
  const victim = await stage.victim();
  const effect = stage.outside.arm('effect', stage.id, 'after');
  await stage.work(victim);
  const { release } = await effect;
  await stage.freezeVictim();
  await stage.zookeeper.closedByServer();
  const struck = onLedger(stage, multi(at('create', claimNode), sets(stage, 'running')));
  stage.thawVictim();
  return { ...(await struck), afterwards: release };
}

/**
 * A worker whose claim was made, and which ZooKeeper leaves without an answer until it gives the claim up as unknown: it
 * then lets its delivery go, and the audit of its own claims finds what became of it.
 */
function auditing(which: (stage: Stage) => (asked: ZooKeeperRequest) => boolean): Step['reach'] {
  return async (stage) => {
    await stage.submitted();
    const victim = await stage.victim();
    const claimed = stage.zookeeper.arm('after', multi(at('create', claimNode), sets(stage, 'running')));
    const givenUp = stage.redis.arm('before', removing);
    await stage.work(victim);
    const reply = await claimed;
    const delivery = await givenUp;
    const struck = onLedger(stage, which(stage));
    reply.release();
    delivery.release();
    return struck;
  };
}

function verifying(arm: Arm, { effect }: { readonly effect: boolean }): Step['reach'] {
  return async (stage) => {
    await stage.abandoned({ effect });
    await stage.restLeads();
    await stage.delivered();
    const victim = await stage.victim();
    const struck = arm(stage);
    await stage.work(victim);
    return struck;
  };
}

/** A leader whose finished task is past its dedup window. */
function retiring(arm: Arm): Step['reach'] {
  return async (stage) => {
    await stage.submitted();
    await stage.restWorks();
    await stage.reaches('completed');
    const victim = await stage.victim();
    const struck = arm(stage);
    void victim.ask('lead');
    return struck;
  };
}

const alone =
  (...wanted: readonly Op[]) =>
  (asked: ZooKeeperRequest): boolean =>
    multi(...wanted)(asked) && asked.kind === 'multi' && asked.ops.every(({ kind }) => kind !== 'set');

export const steps = {
  accepted: {
    reach: submitting((stage) =>
      onLedger(
        stage,
        multi(({ kind, path }) => kind === 'create' && path === recordPath(stage.id)),
      ),
    ),
  },
  'delivery sent': { reach: submitting((stage) => onRedis(stage, delivers(stage))) },
  announced: {
    async reach(stage) {
      await stage.submitted();
      const victim = await stage.victim();
      const struck = onLedger(stage, multi(at('create', /^\/workers\//)));
      void stage.work(victim);
      return struck;
    },
  },
  'delivery taken': { reach: working((stage) => onRedis(stage, taking)) },
  'record read': {
    reach: working((stage) =>
      onLedger(stage, (asked) => asked.kind === 'read' && asked.path === recordPath(stage.id)),
    ),
  },
  claimed: {
    reach: working((stage) => onLedger(stage, multi(at('create', claimNode), sets(stage, 'running')))),
  },
  'delivery done': {
    async reach(stage) {
      await stage.submitted();
      const victim = await stage.victim();
      const entered = stage.outside.arm('entered', stage.id, 'after');
      const struck = onRedis(stage, removing);
      await stage.work(victim);
      const { release } = await entered;
      return { ...(await struck), afterwards: release };
    },
  },
  'handler called': { reach: working((stage) => onOutside(stage, 'entered')) },
  'ownership asked': {
    async reach(stage) {
      await stage.submitted([], true);
      const victim = await stage.victim();
      const entered = stage.outside.arm('entered', stage.id, 'after');
      await stage.work(victim);
      const { release } = await entered;
      const struck = onLedger(stage, (asked) => asked.kind === 'read' && asked.path === recordPath(stage.id));
      release();
      return struck;
    },
  },
  'effect done': { reach: working((stage) => onOutside(stage, 'effect')) },
  succeeded: { reach: working((stage) => onLedger(stage, multi(sets(stage, 'completed')))) },
  'attemptFailed, retry later': {
    reach: working((stage) => onLedger(stage, multi(sets(stage, 'waiting'))), ['fail, later']),
  },
  'attemptFailed for good': {
    reach: working((stage) => onLedger(stage, multi(sets(stage, 'failed'))), ['refuse']),
  },
  'claimed again in place': {
    reach: working(
      (stage) => onLedger(stage, multi(at('check', claimNode), sets(stage, 'running'))),
      ['fail soon'],
    ),
  },
  released: { reach: claimedAndStopping },
  'claim deleted': { reach: stoppingBeforeRetry },
  readopted: { reach: readopting, sessionTimeoutMs: 3_000, isAlone: true },
  'stray given back': {
    reach: auditing((stage) => multi(sets(stage, 'waiting'))),
    sessionTimeoutMs: 3_000,
  },
  'stray claim deleted': {
    reach: auditing(() => alone(at('delete', claimNode))),
    sessionTimeoutMs: 3_000,
  },
  'verify asked': {
    reach: verifying((stage) => onOutside(stage, 'asked'), { effect: true }),
  },
  'verified completed': {
    reach: verifying((stage) => onLedger(stage, multi(sets(stage, 'completed'))), { effect: true }),
  },
  'verified notExecuted': {
    reach: verifying((stage) => onLedger(stage, multi(sets(stage, 'waiting'))), { effect: false }),
  },
  'candidate made': {
    reach: leading((stage) => onLedger(stage, multi(at('create', /^\/leader\/candidate-/)))),
    isAlone: true,
  },
  'term raised': {
    reach: leading((stage) => onLedger(stage, multi(at('set', /^\/leader\/term$/)))),
    isAlone: true,
  },
  'claims looked at': {
    reach: leading((stage) =>
      onLedger(stage, (asked) => asked.kind === 'children' && asked.path === '/claims'),
    ),
    isAlone: true,
  },
  interrupted: {
    reach: leading((stage) =>
      onLedger(
        stage,
        multi(
          term,
          ({ kind, path, state }) => kind === 'set' && path === recordPath(stage.id) && state !== 'running',
        ),
      ),
    ),
    isAlone: true,
  },
  redelivered: {
    async reach(stage) {
      await stage.undelivered();
      const victim = await stage.victim();
      const struck = onRedis(stage, delivers(stage));
      void victim.ask('lead');
      return struck;
    },
    isAlone: true,
  },
  'history kept': {
    reach: retiring((stage) =>
      onRedis(stage, ({ words: [verb = '', key = ''] }) => /^set$/i.test(verb) && key.endsWith(stage.id)),
    ),
    dedupWindowMs: 4_000,
    isAlone: true,
  },
  retired: {
    reach: retiring((stage) =>
      onLedger(
        stage,
        multi(term, ({ kind, path }) => kind === 'delete' && path === recordPath(stage.id)),
      ),
    ),
    dedupWindowMs: 4_000,
    isAlone: true,
  },
  replayed: {
    reach: operating('replay', 'waiting', async (stage) => {
      await stage.submitted(['refuse']);
      await stage.restWorks();
      await stage.reaches('failed');
      return {};
    }),
  },
  resolved: {
    reach: operating('resolve', 'completed', async (stage) => {
      await stage.abandoned({ effect: true });
      await stage.restLeads();
      await stage.reaches('uncertain');
      return {};
    }),
  },
  cancelled: {
    reach: operating('cancel', 'cancelled', async (stage) => {
      await stage.submitted();
      return {};
    }),
    restWorks: 'after the answer',
  },
  cancelRequested: {
    reach: operating('cancel', 'running', async (stage) => {
      await stage.submitted();
      const entered = stage.outside.arm('entered', stage.id, 'after');
      await stage.restWorks();
      const { release } = await entered;
      const isFlagged = async (): Promise<boolean> => (await stage.record())?.cancelRequested === true;
      return {
        async afterwards() {
          await stage.answer?.catch(() => undefined);
          if (!(await isFlagged())) release(); // Else its signal aborts.
        },
      };
    }),
  },
  'stopping: handler runs': { reach: draining },
  'stopping: withdrawn': { reach: stopping(multi(at('delete', /^\/workers\//))) },
  'stopping: claims closed': { reach: stopping(multi(at('delete', /^\/claims\/[^/]+$/))) },
  'stopping: session closed': { reach: stopping((asked) => asked.kind === 'closeSession') },
} as const satisfies Readonly<Record<string, Step>>;

export type StepName = keyof typeof steps;
