// mutations.ts: broken protocols, each one rule short, put between the product's own parts. The simulation must find every
// one, and for the right reason: `breaks` is an invariant that it breaks by name.

import type {
  CommitOptions,
  OpResult,
  Session,
  WriteOp,
  WriteOutcome,
} from '../../src/coordination/index.js';
import { decodeRecord, encodeRecord, type Nonce, type ScheduleId, tickId } from '../../src/domain/index.js';
import { recordPath } from '../../src/ledger/index.js';
import type { InvariantName } from '../invariants/invariants.js';
import { withMethods } from '../support/crew.js';
import { tickOf } from '../support/ticks.js';
import type { Mutation } from './machine.js';
import type { Size } from './plan.js';

export type Mutant = {
  readonly rule: string;
  readonly mutation: Mutation;
  readonly breaks: InvariantName | 'P11 who has stopped writes nothing';
  /** Of the histories that show it; `small` ones unless said otherwise. */
  readonly size?: Size;
};

const durable = 'I3 an effect belongs to an attempt that was durable, and to no other effect';
const byTable = 'I8 a record moves by the table, by whom may move it';

/** P1: handlers start as soon as their claim is sent. */
const noIntent: Mutation = {
  commit: (send, role) => (ops, options) => {
    if (role !== 'worker' || options.lane !== 'claim') return send(ops, options);
    void send(ops, options);
    return Promise.resolve(asIfApplied(ops));
  },
};

/** P1, P9: a worker's lease is always trusted. */
const blindTrust: Mutation = {
  session: (session, role) =>
    role === 'worker' ? withMethods(session, { trusted: () => true, prove: async () => true }) : session,
};

/** P2: records are written at any version. */
const noFence: Mutation = { commit: (send) => (ops, options) => send(anyVersion(ops), options) };

/** P2: version 0 is sent as any version, as node-zookeeper-client does (trap 6). */
const zeroIsAny: Mutation = {
  commit: (send) => (ops, options) =>
    send(
      anyVersion(ops, ({ version }) => version === 0),
      options,
    ),
};

/** P2: the version is read and compared here, and the write goes out at any version. */
const fenceByReading: Mutation = {
  commit: (send, _role, session) => async (ops, options) => {
    for (const [index, op] of ops.entries()) {
      if (!isRecordSet(op)) continue;
      const version = await session.read(op.path).then(
        (node) => node?.stat.version,
        () => undefined,
      );
      if (version !== op.version) return { kind: 'refused', index, code: 'BAD_VERSION' };
    }
    return send(anyVersion(ops), options);
  },
};

/** P3: every write of a process carries the same nonce. */
const oneNonce: Mutation = {
  random: (random) => {
    const nonce: Nonce = random.nonce();
    return { roll: () => random.roll(), uuid: () => random.uuid(), nonce: () => nonce };
  },
};

/** P3, P7: a submit that was not answered counts as accepted. */
const hopefulSubmits: Mutation = {
  commit: (send, role) => async (ops, options) => {
    const outcome = await send(ops, options);
    const [op] = ops;
    return role !== 'desk' || op?.kind !== 'create' || outcome.kind === 'refused'
      ? outcome
      : asIfApplied(ops);
  },
};

/** P4: the leader does not see the claims that stand. */
const blindLeader: Mutation = {
  session: (session, role) =>
    role === 'scheduler'
      ? withMethods(session, {
          children: (path, watcher) =>
            path.startsWith('/claims/') ? Promise.resolve([]) : session.children(path, watcher),
          childrenOfAll: (paths) =>
            paths.some((path) => path.startsWith('/claims/'))
              ? Promise.resolve(paths.map(() => []))
              : session.childrenOfAll(paths),
        })
      : session,
};

/** P4: what runs under a claim that is gone is interrupted at once. */
const noGrace: Mutation = { graceMs: 0 };

/** P5: what a worker has to say after a new session is written, whoever has moved the record on since. */
const staleOutcomes: Mutation = {
  commit: (send, role) => (ops, options) =>
    send(role === 'worker' && options.lane === 'write' ? anyVersion(ops) : ops, options),
};

/** P6: what was delivered is run, whether it could be claimed or not. */
const trustedDeliveries: Mutation = {
  commit: (send, role) => async (ops, options) => {
    const outcome = await send(ops, options);
    const refused = role === 'worker' && options.lane === 'claim' && outcome.kind === 'refused';
    return refused ? asIfApplied(ops) : outcome;
  },
};

/** P8: what a leader writes is not guarded by its term. */
const noTerm: Mutation = {
  commit: (send, role) => (ops, options) =>
    role === 'scheduler' ? sendWithout(ops, options, send, '/leader/term') : send(ops, options),
};

/** P8: a tick is named by the clock of the leader that fires it. */
const tickOfTheClock: Mutation = {
  commit: (send, role, _session, clock) => (ops, options) => {
    const now = tickId('every' as ScheduleId, clock.now());
    const renamed = (op: WriteOp): WriteOp => {
      if (op.kind !== 'create' || tickOf(op.path.split('/').at(-1) ?? '') === null) return op;
      const record = decodeRecord(op.data, op.path);
      return { ...op, path: recordPath(now), data: encodeRecord({ ...record, id: now }) };
    };
    return send(role === 'scheduler' ? ops.map(renamed) : ops, options);
  },
};

/** P10: a claim whose deletion was not answered counts as deleted, also when its worker looks for what it left behind. */
const forgottenClaims: Mutation = {
  session: (session, role) => {
    if (role !== 'worker') return session;
    const forgotten = new Set<string>();
    deletions.set(session, forgotten);
    return withMethods(session, {
      childrenOfAll: async (paths) => {
        const lists = await session.childrenOfAll(paths);
        return lists.map(
          (names, i) => names?.filter((name) => !forgotten.has(`${paths[i]}/${name}`)) ?? null,
        );
      },
    });
  },
  commit: (send, role, session) => async (ops, options) => {
    const outcome = await send(ops, options);
    const [op] = ops;
    const lost = outcome.kind === 'unknown' || outcome.kind === 'notSent';
    if (role !== 'worker' || !lost || ops.length > 1 || op?.kind !== 'delete') return outcome;
    deletions.get(session)?.add(op.path);
    return asIfApplied(ops);
  },
};

/** Of the claims of a worker: those that it believes to be gone. */
const deletions = new WeakMap<Session, Set<string>>();

/** P2: what an operator does is written over whatever stands there. */
const boldOperators: Mutation = {
  commit: (send, role) => (ops, options) => send(role === 'desk' ? anyVersion(ops) : ops, options),
};

/** P11: who has found other data than it knew goes on writing. */
const unstoppable: Mutation = {
  generation: (generation) => {
    let last: WriteOp | null = null;
    return new Proxy(generation, {
      get(target, key) {
        if (key === 'guard') return () => (last = target.guard() ?? last);
        if (key === 'halted') return false;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  },
};

export const mutants: readonly Mutant[] = [
  { rule: 'P1: the handler starts before its attempt is durable', mutation: noIntent, breaks: durable },
  {
    rule: 'P1, P9: the lease is not looked at',
    mutation: blindTrust,
    breaks: 'P1 a handler starts under a claim that stands',
  },
  { rule: 'P2: writes carry no version', mutation: noFence, breaks: byTable },
  { rule: 'P2: version 0 is any version', mutation: zeroIsAny, breaks: byTable },
  { rule: 'P2: the version is compared by reading', mutation: fenceByReading, breaks: byTable },
  { rule: 'P2: an operator writes over what stands there', mutation: boldOperators, breaks: byTable },
  { rule: 'P3: nonces are used again', mutation: oneNonce, breaks: byTable },
  {
    rule: 'P3, P7: a submit that was not answered counts as accepted',
    mutation: hopefulSubmits,
    breaks: 'I1 an acknowledged task ends, and its end is known',
  },
  { rule: 'P4: the leader does not see the claims that stand', mutation: blindLeader, breaks: byTable },
  { rule: 'P4: there is no grace', mutation: noGrace, breaks: byTable },
  { rule: 'P5: outcomes are written whatever has happened since', mutation: staleOutcomes, breaks: byTable },
  { rule: 'P6: deliveries are trusted', mutation: trustedDeliveries, breaks: durable },
  {
    rule: 'P8: a tick is named by the clock',
    mutation: tickOfTheClock,
    breaks: 'I10 one task per schedule and tick',
    size: 'scheduled',
  },
  { rule: 'P8: the term is not checked', mutation: noTerm, breaks: byTable },
  {
    rule: 'P10: a deletion that was not answered is not repeated',
    mutation: forgottenClaims,
    breaks: 'nothing is left over',
  },
  {
    rule: 'P11: who has stopped goes on writing',
    mutation: unstoppable,
    breaks: 'P11 who has stopped writes nothing',
    size: 'restored',
  },
];

/** Sets of records at any version; `which`: of those. */
function anyVersion(
  ops: readonly WriteOp[],
  which: (op: Extract<WriteOp, { kind: 'set' }>) => boolean = () => true,
): WriteOp[] {
  return ops.map((op) => (isRecordSet(op) && which(op) ? { ...op, version: null } : op));
}

function isRecordSet(op: WriteOp): op is Extract<WriteOp, { kind: 'set' }> {
  return op.kind === 'set' && op.path.startsWith('/tasks/');
}

async function sendWithout(
  ops: readonly WriteOp[],
  options: CommitOptions,
  send: (ops: readonly WriteOp[], options: CommitOptions) => Promise<WriteOutcome>,
  path: string,
): Promise<WriteOutcome> {
  const [first, ...rest] = ops;
  if (first?.kind !== 'check' || first.path !== path) return send(ops, options);
  const outcome = await send(rest, options);
  if (outcome.kind === 'applied') return { ...outcome, results: [{ kind: 'checked' }, ...outcome.results] };
  return outcome.kind === 'refused' ? { ...outcome, index: outcome.index + 1 } : outcome;
}

/** What is answered when all of `ops` apply. */
function asIfApplied(ops: readonly WriteOp[]): WriteOutcome {
  return { kind: 'applied', results: ops.map(resultOf), zxid: 0n };
}

function resultOf(op: WriteOp): OpResult {
  switch (op.kind) {
    case 'create':
      return { kind: 'created', path: op.mode.endsWith('sequential') ? `${op.path}0000000000` : op.path };
    case 'set':
      return { kind: 'set', version: (op.version ?? 0) + 1 };
    case 'delete':
      return { kind: 'deleted' };
    case 'check':
      return { kind: 'checked' };
  }
}
