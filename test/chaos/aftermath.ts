// aftermath.ts: what follows upon the last fault: waiting until everything is over, and taking down what is then there. Owns
// what "over" means: every task has ended, no claim stands, Redis holds no delivery.

import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../infra/local-server.js';
import { openSession, type Session } from '../../src/coordination/index.js';
import { decodeRecord, type TaskRecord } from '../../src/domain/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { handlerMsMax, type Oddity, timeoutMs } from './behaviour.js';
import type { FaultLine, LedgerLine, WitnessLine } from './evidence.js';
import { type Installation, sessionTimeoutMs } from './installation.js';
import { calmPlan } from './witness-process.js';

export type Aftermath = {
  /** Null: not within the time. */
  readonly settledAt: number | null;
  readonly ledger: readonly LedgerLine[];
  readonly leftOver: readonly string[];
};

type Entry = LedgerLine & { readonly record: TaskRecord };

const readsAtOnce = 64;
const lookAgainMs = 200;
const deliveryLists = ['wait', 'active', 'paused'];
const deliverySets = ['delayed', 'prioritized'];

/** The ledger, read by a session of its own. */
export class Reader {
  readonly #session: Session;

  constructor(zookeeper: string) {
    const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
    const timeoutMs = 2 * sessionTimeoutMs;
    this.#session = openSession({ servers: zookeeper, chroot: '/claimkeeper', timeoutMs }, runtime);
  }

  async names(path: string): Promise<string[]> {
    return (await this.#session.children(path)) ?? [];
  }

  async records(paths: readonly string[]): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let from = 0; from < paths.length; from += readsAtOnce) {
      const nodes = await Promise.all(
        paths.slice(from, from + readsAtOnce).map((path) => this.#session.read(path)),
      );
      nodes.forEach((node, i) => {
        if (node === null) return;
        entries.push({
          version: node.stat.version,
          record: decodeRecord(node.data, paths[from + i] as string),
        });
      });
    }
    return entries;
  }

  /** Up to date with the leader. */
  async recordPaths(): Promise<string[]> {
    await this.#session.sync();
    const buckets = await this.names('/tasks');
    const ids = await Promise.all(buckets.map((bucket) => this.names(`/tasks/${bucket}`)));
    return buckets.flatMap((bucket, i) => (ids[i] ?? []).map((id) => `/tasks/${bucket}/${id}`));
  }

  async claims(): Promise<string[]> {
    const workers = await this.names('/claims');
    const claims = await Promise.all(workers.map((worker) => this.names(`/claims/${worker}`)));
    return workers.flatMap((worker, i) => (claims[i] ?? []).map((claim) => `/claims/${worker}/${claim}`));
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

/** Waits, then stops the product's processes, then looks at what they left. */
export async function aftermath(
  installation: Installation,
  waitMsMax: number,
  signal: AbortSignal,
): Promise<Aftermath> {
  const reader = new Reader(installation.ensemble.url);
  try {
    const settledAt = await settled(installation, reader, waitMsMax, signal);
    const leftOver = settledAt === null ? await unsettled(installation, reader) : [];
    const killed = await installation.stopMembers();
    const ledger = await reader.records(await reader.recordPaths());
    leftOver.push(...killed.map((name) => `${name} did not end when it was stopped`));
    leftOver.push(...(await ephemeralsLeft(reader)));
    return { settledAt, ledger, leftOver };
  } finally {
    await reader.close();
  }
}

/** When the last thing was over; null: not within `waitMsMax`, or the run was given up. */
async function settled(
  installation: Installation,
  reader: Reader,
  waitMsMax: number,
  signal: AbortSignal,
): Promise<number | null> {
  const what = 'all is over';
  try {
    return await eventually(
      async () => {
        if (signal.aborted) return null;
        const open = await unsettled(installation, reader);
        if (open.length === 0) return Date.now();
        await sleep(lookAgainMs);
        throw new Error(`${open.length} left, of them ${open[0]}`);
      },
      { what, deadlineMs: waitMsMax },
    );
  } catch {
    return null;
  }
}

async function unsettled(installation: Installation, reader: Reader): Promise<string[]> {
  const deliveries = await deliveriesIn(installation.redis.port);
  if (deliveries.length > 0) return deliveries;
  const claims = await reader.claims();
  if (claims.length > 0) return claims;
  const records = await reader.records(await reader.recordPaths());
  return records
    .filter(({ record }) => record.state === 'waiting' || record.state === 'running')
    .map(({ record }) => `${record.id} is ${record.state}`);
}

async function deliveriesIn(port: number): Promise<string[]> {
  const asked = [...deliveryLists.map((key) => ['LLEN', key]), ...deliverySets.map((key) => ['ZCARD', key])];
  const counts = await Promise.all(
    asked.map(async ([command, key]) => {
      const answer = await ask(port, `${command} chaos:default:${key}\r\n`);
      if (!answer.startsWith(':')) throw new Error(`Redis answers ${answer || 'nothing'}`);
      return `${answer.slice(1).trim()} deliveries ${key}`;
    }),
  );
  return counts.filter((count) => !count.startsWith('0 '));
}

/** Everybody has closed its session: whatever was ephemeral is gone with it. */
async function ephemeralsLeft(reader: Reader): Promise<string[]> {
  const left = async (): Promise<string[]> => {
    const candidates = (await reader.names('/leader')).filter((name) => name.startsWith('candidate-'));
    const members = await reader.names('/workers');
    return [...candidates, ...members, ...(await reader.claims())];
  };
  try {
    await eventually(
      async () => {
        if ((await left()).length > 0) throw new Error('there are some left');
      },
      { what: 'no ephemeral is left', deadlineMs: 2 * sessionTimeoutMs },
    );
    return [];
  } catch {
    return left();
  }
}

/** The faults that handlers were, once they were called: on the worker that stood still, else on the task. */
export async function oddFaults(
  folder: string,
  oddities: ReadonlyMap<string, Oddity>,
  nameOf: (pid: number) => string,
): Promise<Omit<FaultLine, 'id'>[]> {
  const faults: Omit<FaultLine, 'id'>[] = [];
  for await (const text of createInterface({ input: createReadStream(join(folder, 'witness.ndjson')) })) {
    const line = JSON.parse(text) as WitnessLine;
    const kind = oddities.get(line.task);
    if (kind === undefined || line.kind !== 'start' || line.attempt !== 1 || line.plan === calmPlan) continue;
    const lastsMs = kind === 'handler-throws-oddly' ? timeoutMs.usual : handlerMsMax;
    const on = kind === 'event-loop-blocked' ? nameOf(line.pid) : line.task;
    const note = `${line.task}: ${line.plan}`;
    faults.push({ kind, on, from: line.at, to: line.at + lastsMs, note });
  }
  return faults;
}
