// faults.ts: lays the planned faults on the installation and mends them. Owns how each kind is done, that one process has one
// fault at a time, and the line that says when it really began and ended.

import { setMaxListeners } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../infra/local-server.js';
import type { LocalServer } from '../../infra/servers.js';
import { eventually } from '../support/eventually.js';
import type { FaultyNetwork } from '../support/proxy.js';
import type { Oddity } from './behaviour.js';
import { setClock } from './clock-setting.js';
import { fillDisk } from './disk.js';
import type { EvidenceWriter } from './evidence-writer.js';
import type { Installation } from './installation.js';
import type { Load } from './load.js';
import type { Member } from './member.js';
import { type FaultKind, fillable, type KindSpec, kinds, type PlannedFault } from './plan.js';
import { cutUnfinished } from './transaction-log.js';

/** Who has the fault, if the plan's word for it was not a name. */
type Laid = { readonly on?: string; readonly note?: string };
/** Laid on one process, or server, or task. */
type SingleKind = Exclude<FaultKind, 'rolling-restart'>;
type Lay = (fault: PlannedFault, member: () => Member) => Promise<Laid | undefined>;

/** Replies to an operation that are swallowed before the connection is cut. */
const lostRepliesMax = 5;
const mendedMsMax = 30_000;
const mendingsMax = 3;

export class Faults {
  readonly #installation: Installation;
  readonly #evidence: EvidenceWriter;
  readonly #load: Load;
  readonly #signal: AbortSignal;
  /** Of a process, or of a group: the end of the fault that it has. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(installation: Installation, evidence: EvidenceWriter, load: Load, signal: AbortSignal) {
    this.#installation = installation;
    this.#evidence = evidence;
    this.#load = load;
    this.#signal = signal;
    setMaxListeners(0, signal); // One per fault that waits for its time.
  }

  /** Each at its time, or as soon as its turn comes; resolves once all are mended. */
  async run(plan: readonly PlannedFault[]): Promise<void> {
    const begin = performance.now();
    await Promise.all(
      plan.map(async (fault) => {
        await this.#wait(fault.atMs - (performance.now() - begin));
        if (!this.#signal.aborted) await this.#lay(fault);
      }),
    );
  }

  async #lay(fault: PlannedFault): Promise<void> {
    const { kind, on } = fault;
    if (kind === 'rolling-restart') return this.#restartOneByOne(on);
    const spec: KindSpec = kinds[kind];
    await this.#inTurn(spec.apart?.group ?? on, () => this.#note(fault, kind));
  }

  async #note(fault: PlannedFault, kind: SingleKind): Promise<void> {
    const { on } = fault;
    const from = Date.now();
    const laid = await this.#ways[kind](fault, () => this.#installation.member(on));
    if (laid !== undefined) this.#evidence.fault({ kind, on, from, to: Date.now(), ...laid });
  }

  async #inTurn(who: string, work: () => Promise<void>): Promise<void> {
    const before = this.#turns.get(who);
    const turn = (async () => {
      await before?.catch(() => undefined);
      if (!this.#signal.aborted) await work();
    })();
    if (who !== 'tasks') this.#turns.set(who, turn);
    await turn;
  }

  readonly #ways: Readonly<Record<SingleKind, Lay>> = {
    'worker-kill': (fault, member) => this.#killed(fault, member()),
    'scheduler-kill': (fault, member) => this.#killed(fault, member()),
    'api-kill': (fault, member) => this.#killed(fault, member()),
    'worker-freeze': (fault, member) => this.#frozen(fault, member()),
    'scheduler-freeze': (fault, member) => this.#frozen(fault, member()),
    'api-freeze': (fault, member) => this.#frozen(fault, member()),
    'black-hole': (fault, member) =>
      this.#network(fault, member().network.behind, (proxy, on) => proxy.blackhole(on)),
    'cut-inbound': (fault, member) =>
      this.#network(fault, member().network.behind, (proxy, on) => proxy.hold('client', on)),
    'cut-outbound': (fault, member) =>
      this.#network(fault, member().network.behind, (proxy, on) => proxy.hold('server', on)),
    'half-open': (fault, member) => {
      const survivor = fault.forMs % 2 === 0 ? 'client' : 'server';
      return this.#network(
        fault,
        member().network.behind,
        (proxy, on) => (on ? proxy.halfOpen(survivor) : proxy.cut()),
        `the ${survivor} is not told`,
      );
    },
    latency: (fault, member) => {
      const ms = 20 + (fault.forMs % 400);
      return this.#network(
        fault,
        member().network.behind,
        (proxy, on) => proxy.latency(on ? ms : 0),
        `${ms} ms`,
      );
    },
    'no-zookeeper': (fault, member) => {
      const { zookeeper } = member().network;
      const isSilent = fault.forMs % 2 === 0;
      return isSilent
        ? this.#network(fault, zookeeper, (proxy, on) => proxy.blackhole(on), 'silent')
        : this.#network(fault, zookeeper, away, 'refused');
    },
    'no-redis': (fault, member) => this.#network(fault, [member().network.redis], away),
    'lost-replies': (fault, member) => this.#lostReplies(fault, member().network.zookeeper),
    'lost-answers': async ({ forMs }, member) => {
      const { front } = member().network;
      front?.hold('client', true);
      await this.#wait(forMs);
      front?.cut();
      front?.hold('client', false);
      return {};
    },
    'clock-jump': async ({ on, forMs }) => {
      // Not far ahead: what is retried then is due only when the other clocks are there, too.
      const seconds = forMs % 2 === 0 ? 2 + (forMs % 5) : -5 - (forMs % 60);
      const file = this.#installation.clockFile(on);
      await setClock(file, seconds);
      await this.#wait(forMs);
      await setClock(file, 0);
      return { note: `${seconds} s` };
    },
    'leader-kill': async (fault) => this.#serverKilled(fault, await this.#leader()),
    'leader-freeze': async (fault) => this.#serverFrozen(fault, await this.#leader()),
    'follower-kill': async (fault) => this.#serverKilled(fault, await this.#follower(fault)),
    'follower-freeze': async (fault) => this.#serverFrozen(fault, await this.#follower(fault)),
    'disk-full': (fault) => this.#diskFull(fault),
    flushall: async () => {
      await this.#installation.redis.flush();
      return {};
    },
    'redis-restart': async ({ forMs }) => {
      await this.#installation.redis.restartEmpty(forMs);
      return {};
    },
    'redis-failover': async ({ forMs }) => {
      await this.#installation.redis.failOver(forMs);
      return { note: `to a replica ${forMs} ms behind` };
    },
    'event-loop-blocked': () => this.#odd('event-loop-blocked'),
    'handler-hangs': () => this.#odd('handler-hangs'),
    'handler-ignores-abort': () => this.#odd('handler-ignores-abort'),
    'handler-throws-oddly': () => this.#odd('handler-throws-oddly'),
    'submit-storm': async () => ({ on: await this.#load.storm() }),
  };

  async #killed({ forMs }: PlannedFault, member: Member): Promise<Laid> {
    await member.kill();
    await this.#wait(forMs);
    if (!this.#signal.aborted) await member.start();
    return {};
  }

  async #frozen({ forMs }: PlannedFault, member: Member): Promise<Laid> {
    member.freeze();
    await this.#wait(forMs);
    member.thaw();
    return {};
  }

  async #network(
    { forMs }: PlannedFault,
    proxies: readonly FaultyNetwork[],
    lay: (proxy: FaultyNetwork, on: boolean) => unknown,
    note?: string,
  ): Promise<Laid> {
    for (const proxy of proxies) await lay(proxy, true);
    await this.#wait(forMs);
    for (const proxy of proxies) await lay(proxy, false);
    return note === undefined ? {} : { note };
  }

  /** The writes are made; who made them is not told, and its connection goes. */
  async #lostReplies({ forMs }: PlannedFault, proxies: readonly FaultyNetwork[]): Promise<Laid> {
    const count = 1 + (forMs % lostRepliesMax);
    const lost = proxies.map((proxy) => proxy.dropReplies(count));
    await Promise.race([...lost, this.#wait(forMs)]);
    for (const proxy of proxies) {
      proxy.cut();
      await proxy.dropReplies(0);
    }
    return { note: `up to ${count} replies` };
  }

  async #restartOneByOne(which: string): Promise<void> {
    for (const member of this.#installation.all) {
      if (`${member.role}s` !== which) continue;
      await this.#inTurn(member.name, async () => {
        const from = Date.now();
        await member.stop();
        await member.start();
        this.#evidence.fault({ kind: 'rolling-restart', on: member.name, from, to: Date.now() });
      });
    }
  }

  /** Noted once it is known when the handlers were called (aftermath.ts). */
  async #odd(kind: Oddity): Promise<undefined> {
    await this.#load.oddTasks(kind);
  }

  async #serverKilled({ forMs }: PlannedFault, server: LocalServer): Promise<Laid> {
    await server.kill();
    await this.#wait(forMs);
    await this.#whole();
    return { on: this.#nameOf(server) };
  }

  async #serverFrozen({ forMs }: PlannedFault, server: LocalServer): Promise<Laid> {
    server.freeze();
    await this.#wait(forMs);
    server.thaw();
    await this.#whole();
    return { on: this.#nameOf(server) };
  }

  async #diskFull({ forMs }: PlannedFault): Promise<Laid | undefined> {
    const { disk } = this.#installation;
    if (disk === null) return undefined;
    const filler = join(disk, 'filler');
    await fillDisk(filler);
    await this.#wait(forMs);
    await rm(filler, { force: true });
    await this.#whole();
    return { on: fillable };
  }

  /** All three servers serve; those that have ended, or serve no more, are started again. */
  async #whole(): Promise<void> {
    for (const [n, server] of this.#installation.ensemble.servers.entries()) {
      await mended(server, this.#installation.dataFolderOf(n));
    }
    await this.#installation.pruneSnapshots();
  }

  async #leader(): Promise<LocalServer> {
    return eventually(
      async () => {
        const leader = await this.#installation.ensemble.leader();
        if (leader === null) throw new Error('nobody leads');
        return leader;
      },
      { what: 'a ZooKeeper server leads', deadlineMs: mendedMsMax },
    );
  }

  async #follower({ forMs }: PlannedFault): Promise<LocalServer> {
    const leader = await this.#leader();
    const followers = this.#installation.ensemble.servers.filter((server) => server !== leader);
    return followers[forMs % followers.length] ?? leader;
  }

  #nameOf(server: LocalServer): string {
    return `zookeeper-${this.#installation.ensemble.servers.indexOf(server) + 1}`;
  }

  /** Cut short when the run is given up. */
  async #wait(ms: number): Promise<void> {
    await sleep(Math.max(0, ms), undefined, { signal: this.#signal }).catch(() => undefined);
  }
}

async function away(proxy: FaultyNetwork, on: boolean): Promise<void> {
  await proxy.refuse(on);
  if (on) proxy.cut();
}

/** Until it has what the leader has: with another one gone before that, the ensemble is beyond what three servers bear. */
async function mended(server: LocalServer, dataFolder: string): Promise<void> {
  const serves = async (): Promise<void> => {
    if (!(await ask(server.port, 'srvr')).includes('Mode: ')) throw new Error('it does not serve');
  };
  for (let tries = 1; ; tries += 1) {
    if (!runs(server)) await restarted(server, dataFolder);
    try {
      return await eventually(serves, { what: 'a ZooKeeper server serves again', deadlineMs: mendedMsMax });
    } catch (error) {
      if (tries === mendingsMax) throw error;
      // It may have given up on itself without ending, as for want of a disk.
      if (runs(server)) await server.kill();
    }
  }
}

/** With its log, or, where the server itself refuses that, with what it had finished writing. */
async function restarted(server: LocalServer, dataFolder: string): Promise<void> {
  try {
    await server.restart();
  } catch (error) {
    if (!String(error).includes('CRC check failed')) throw error;
    await cutUnfinished(dataFolder);
    await server.restart();
  }
}

function runs(server: LocalServer): boolean {
  try {
    return server.pid > 0;
  } catch {
    return false;
  }
}
