// member.ts: one process of a contestant's: its submitter, a worker, what answers HTTP, or a helper. Does what it is asked over its
// channel to the benchmark (crew.ts), and ends with it.

import { setTimeout as pause } from 'node:timers/promises';
import type { Contestant, Place } from './contestants/contestant.js';
import { type EntrantName, entrants } from './contestants/index.js';
import { openFront } from './front.js';
import { atPace, inBulk, oneByOne, overHttp } from './load.js';
import { Tally } from './tally.js';
import type { Batch } from './task.js';

export type WorkerSettings = {
  readonly slots: number;
  /** How long the handler takes; 0: nothing at all. */
  readonly handlerMs: number;
  /** Tasks of the run, the warm-up's among them. */
  readonly tasks: number;
};

async function submitterRole(contestant: Contestant, place: Place) {
  const submitter = await contestant.submitter(place);
  return {
    bulk: (batch: Batch, again: number) => inBulk(submitter, batch, again),
    oneByOne: (batch: Batch, atOnce: number) => oneByOne(submitter, batch, atOnce),
    overHttp: (url: string, batch: Batch, connections: number) => overHttp(url, batch, connections),
    atPace: (batch: Batch, perSecond: number) => atPace(submitter, batch, perSecond),
    left: (submitted: number) => submitter.left(submitted),
    operations: () => submitter.operations?.() ?? 0,
  };
}

async function workerRole(contestant: Contestant, place: Place, settings: WorkerSettings) {
  const { slots, handlerMs, tasks } = settings;
  const tally = new Tally(tasks);
  const worker = await contestant.worker(place, {
    slots,
    handle(n) {
      tally.start(n);
      if (handlerMs > 0) return pause(handlerMs);
    },
    completed: (n) => tally.complete(n),
  });
  return {
    start: () => worker.start(),
    total: () => tally.total,
    counts: () => tally.counts,
    operations: () => worker.operations?.() ?? 0,
  };
}

async function frontRole(contestant: Contestant, place: Place) {
  const front = await (contestant.front?.(place) ?? openFront(await contestant.submitter(place)));
  return {
    url: () => front.url,
    operations: () => front.operations?.() ?? 0,
  };
}

async function helperRole(contestant: Contestant, place: Place) {
  const helper = await contestant.helper?.(place);
  return { operations: () => helper?.operations?.() ?? 0 };
}

export type Orders = {
  submitter: Awaited<ReturnType<typeof submitterRole>>;
  worker: Awaited<ReturnType<typeof workerRole>>;
  front: Awaited<ReturnType<typeof frontRole>>;
  helper: Awaited<ReturnType<typeof helperRole>>;
};

export type Role = keyof Orders;

export type Enlistment = {
  readonly entrant: EntrantName;
  readonly role: Role;
  readonly place: Place;
  readonly settings: WorkerSettings;
};

export type Order = { readonly serial: number; readonly name: string; readonly args: readonly unknown[] };
export type Reply = { readonly serial: number; readonly value?: unknown; readonly error?: string };

async function enlist({ entrant, role, place, settings }: Enlistment): Promise<void> {
  const contestant = await entrants[entrant].load();
  const roles = { submitter: submitterRole, worker: workerRole, front: frontRole, helper: helperRole };
  const orders: Readonly<Record<string, (...args: never[]) => unknown>> = await roles[role](
    contestant,
    place,
    settings,
  );
  const reply = (message: Reply): void => void process.send?.(message);
  process.on('message', async ({ serial, name, args }: Order) => {
    try {
      reply({ serial, value: await orders[name]?.(...(args as never[])) });
    } catch (error) {
      reply({ serial, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
  reply({ serial: 0 }); // It is ready.;
}

// However the benchmark ends, this ends too.
process.once('disconnect', () => process.exit(0));
process.on('SIGINT', () => undefined);
await enlist(JSON.parse(process.argv[2] ?? ''));
