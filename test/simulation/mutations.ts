// mutations.ts: broken protocols, each one rule short, put between the product's own parts. The simulation must find every one.

import { withMethods } from '../support/crew.js';
import type { Mutation } from './machine.js';

/** P1, P9: a worker's lease is always trusted. */
const blindTrust: Mutation = {
  session: (session, role) =>
    role === 'worker' ? withMethods(session, { trusted: () => true, prove: async () => true }) : session,
};

/** P2: records are written at any version (as node-zookeeper-client sends version 0). */
const noFence: Mutation = {
  commit: (send) => (ops, options) =>
    send(
      ops.map((op) => (op.kind === 'set' ? { ...op, version: null } : op)),
      options,
    ),
};

/** P3, P7: a submit that was not answered counts as accepted. */
const hopefulSubmits: Mutation = {
  commit: (send, role) => async (ops, options) => {
    const outcome = await send(ops, options);
    const [op] = ops;
    if (role !== 'desk' || op?.kind !== 'create' || outcome.kind === 'refused') return outcome;
    return { kind: 'applied', results: [{ kind: 'created', path: op.path }], zxid: 0n };
  },
};

/** P4: the leader does not see the claims that stand. */
const blindLeader: Mutation = {
  session: (session, role) =>
    role === 'scheduler'
      ? withMethods(session, {
          children: (path, watcher) =>
            path.startsWith('/claims/') ? Promise.resolve([]) : session.children(path, watcher),
        })
      : session,
};

/** P4: what runs under a claim that is gone is interrupted at once. */
const noGrace: Mutation = { graceMs: 0 };

export const mutations: readonly (readonly [rule: string, mutation: Mutation])[] = [
  ['P1: the lease is not looked at', blindTrust],
  ['P2: writes carry no version', noFence],
  ['P3: a submit that was not answered counts as accepted', hopefulSubmits],
  ['P4: the leader does not see the claims that stand', blindLeader],
  ['P4: there is no grace', noGrace],
];
