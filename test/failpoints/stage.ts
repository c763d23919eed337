// stage.ts: one cell's installation: a task, a queue and a victim of its own behind its taps, the rest of the fleet, and what
// the ledger, Redis and the world outside say in the end. Cells that are about leading have a tree of their own; the others
// share one.

import { randomBytes } from 'node:crypto';
import { Commits, Generation, openSession, type Session } from '../../src/coordination/index.js';
import { Deliveries } from '../../src/delivery/index.js';
import {
  decodeRecord,
  type Held,
  type OnInterrupted,
  parseName,
  parseSubmission,
  resolvePolicy,
  type SubmissionInput,
  type TaskId,
  type TaskRecord,
  type WorkerId,
} from '../../src/domain/index.js';
import type { ConnectOptions } from '../../src/index.js';
import { accept, claimsOf, type LedgerContext, recordPath, takeClaim } from '../../src/ledger/index.js';
import { type Runtime, silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import type { Host, Hosts, Party } from './hosts.js';
import type { Outside } from './outside.js';
import { type RedisRequest, redisWire } from './redis-wire.js';
import { type Side, startTap, type Tap } from './tap.js';
import { type ZooKeeperRequest, zookeeperWire } from './zookeeper-wire.js';

export const runtime: Runtime = { clock: systemClock, random: systemRandom, log: silentLogger };

/** Of those that no fault meets: never to be lost, however slow the machine. */
export const steadyTimeoutMs = 4_000;

/** A tree and its deliveries, and the part of the fleet that no fault meets. */
export type Grounds = {
  readonly name: string;
  readonly rest: Party;
  readonly deliveries: Deliveries;
};

/** What all cells share. */
export type Theatre = {
  readonly zookeeperUrl: string;
  readonly redisUrl: string;
  readonly outside: Outside;
  /** Victims. */
  readonly hosts: Hosts;
  /** Holds the rest of every cell's fleet. */
  readonly steady: Host;
  /** On the whole of ZooKeeper. */
  readonly session: Session;
};

export type StageOptions = {
  readonly policy: OnInterrupted;
  readonly side: Side;
  /** Of the victim, in ms. */
  readonly sessionTimeoutMs: number;
  readonly dedupWindowMs: number;
};

export function freshName(): string {
  return `f-${randomBytes(6).toString('hex')}`;
}

export async function openGrounds(theatre: Theatre, dedupWindowMs: number): Promise<Grounds> {
  const name = freshName();
  const deliveries = new Deliveries({ redisUrl: theatre.redisUrl, prefix: name }, runtime);
  const options = {
    ...settingsOf(name, dedupWindowMs),
    zookeeper: theatre.zookeeperUrl,
    redis: theatre.redisUrl,
    sessionTimeoutMs: steadyTimeoutMs,
    reconcileEveryMs: 2_000,
  };
  const [rest] = await Promise.all([theatre.steady.connect(name, options), deliveries.start()]);
  return { name, rest, deliveries };
}

function settingsOf(name: string, dedupWindowMs: number): Omit<ConnectOptions, 'zookeeper' | 'redis'> {
  return { chroot: `/${name}`, prefix: name, graceMs: 200, requestMsMax: 30_000, dedupWindowMs };
}

export class Stage {
  readonly id: TaskId;
  readonly options: StageOptions;
  readonly outside: Outside;
  readonly zookeeper: Tap<ZooKeeperRequest>;
  readonly redis: Tap<RedisRequest>;
  /** Of the victim, to what it was asked to do. */
  answer: Promise<unknown> | null = null;
  readonly #theatre: Theatre;
  readonly #name: string;
  readonly #grounds: Grounds;
  readonly #isOwn: boolean;
  /** Of {@link abandoned}. */
  readonly #goneWorker: WorkerId;
  #victim: Party | null = null;
  #victimPid = 0;
  #restWorker: unknown = null;
  #leads = false;

  private constructor(
    theatre: Theatre,
    options: StageOptions,
    grounds: { readonly grounds: Grounds; readonly isOwn: boolean },
    taps: { readonly zookeeper: Tap<ZooKeeperRequest>; readonly redis: Tap<RedisRequest> },
  ) {
    this.#theatre = theatre;
    this.#name = freshName();
    this.#goneWorker = `gone-${this.#name}` as WorkerId;
    this.id = `task-${this.#name}` as TaskId;
    this.options = options;
    this.outside = theatre.outside;
    this.#grounds = grounds.grounds;
    this.#isOwn = grounds.isOwn;
    this.zookeeper = taps.zookeeper;
    this.redis = taps.redis;
  }

  /** On `shared`, which has a leader; with null on grounds of its own, which have none yet. */
  static async open(theatre: Theatre, options: StageOptions, shared: Grounds | null): Promise<Stage> {
    const grounds = shared ?? (await openGrounds(theatre, options.dedupWindowMs));
    const [zookeeper, redis] = await Promise.all([
      startTap(portOf(theatre.zookeeperUrl), () => zookeeperWire(`/${grounds.name}`)),
      startTap(portOf(theatre.redisUrl), redisWire),
    ]);
    return new Stage(theatre, options, { grounds, isOwn: shared === null }, { zookeeper, redis });
  }

  /** The process that the fault meets, connected. */
  async victim(): Promise<Party> {
    const host = await this.#theatre.hosts.take();
    const { sessionTimeoutMs, dedupWindowMs } = this.options;
    this.#victimPid = host.pid;
    this.#victim = await host.connect(this.#name, {
      ...settingsOf(this.#grounds.name, dedupWindowMs),
      zookeeper: this.zookeeper.url,
      redis: `redis://${this.redis.url}`,
      sessionTimeoutMs,
      reconcileEveryMs: 500,
    });
    return this.#victim;
  }

  async killVictim(): Promise<void> {
    await this.#victim?.host.kill();
    this.#victim = null;
  }

  async freezeVictim(): Promise<void> {
    await this.#victim?.host.freeze();
  }

  thawVictim(): void {
    this.#victim?.host.thaw();
  }

  /** A worker on the cell's queue. */
  work(party: Party): Promise<unknown> {
    return party.ask('work', this.#name);
  }

  /** The rest of the fleet runs tasks too, from now on. */
  async restWorks(): Promise<void> {
    this.#restWorker ??= await this.work(this.#grounds.rest);
  }

  /** … leads, or waits to. */
  async restLeads(): Promise<void> {
    if (!this.#isOwn || this.#leads) return;
    this.#leads = true;
    await this.#grounds.rest.ask('lead');
  }

  submission(plan: readonly string[] = [], proves = false): SubmissionInput {
    const { policy } = this.options;
    return {
      id: this.id,
      type: 'work',
      queue: this.#name,
      payload: { plan, proves },
      onInterrupted: policy,
    };
  }

  /** By the rest of the fleet; resolves with its answer. */
  submit(plan: readonly string[] = [], proves = false): Promise<unknown> {
    return this.#grounds.rest.ask('submit', this.submission(plan, proves));
  }

  /** The task, accepted and delivered. */
  async submitted(plan: readonly string[] = [], proves = false): Promise<void> {
    await this.submit(plan, proves);
    await this.delivered();
  }

  async delivered(): Promise<void> {
    const look = async (): Promise<void> => {
      if ((await this.deliveriesLeft()).length === 0) throw new Error('there is no delivery');
    };
    await eventually(look, { deadlineMs: 20_000, pollMs: 50, what: `${this.id} is delivered` });
  }

  /** The task, accepted, and delivered to nobody: whoever accepted it died in between. */
  undelivered(): Promise<void> {
    return this.#asAnother(async (ctx) => void (await this.#accept(ctx)));
  }

  /** The task in its first attempt, whose worker has left without a word. `effect`: after its effect. */
  abandoned({ effect }: { readonly effect: boolean }): Promise<void> {
    return this.#asAnother(async (ctx) => {
      const held = await this.#accept(ctx);
      const policy = resolvePolicy(null, { onInterrupted: this.options.policy });
      const event = { kind: 'claimed', at: systemClock.now(), policy } as const;
      const { won } = await takeClaim(
        ctx,
        this.#goneWorker,
        [{ held, event: (claim) => ({ ...event, nonce: claim.nonce, claim }) }],
        { alone: false, doubted: new Set() },
      );
      if (won.length !== 1) throw new Error(`${this.id} could not be claimed`);
      if (effect) this.outside.note(this.id, { attempt: 1, fence: won[0]?.version ?? 0 });
    });
  }

  /** A process of its own in the ledger, which leaves at once: its claims go with it. */
  async #asAnother(act: (ctx: LedgerContext) => Promise<void>): Promise<void> {
    const session = openSession(
      {
        servers: this.#theatre.zookeeperUrl,
        chroot: `/${this.#grounds.name}`,
        timeoutMs: steadyTimeoutMs,
      },
      runtime,
    );
    const generation = new Generation(session, runtime);
    try {
      await session.connected(30_000);
      await generation.prove();
      const commits = new Commits(session, generation, runtime.clock);
      await act({ session, commits, deliver: () => undefined, note: () => undefined, runtime });
    } finally {
      generation.close();
      await session.close();
    }
  }

  async #accept(ctx: LedgerContext): Promise<Held> {
    const task = parseSubmission(this.submission(), systemClock.now());
    const outcome = await accept(ctx, task, { deadlineMs: 30_000 });
    if (outcome.kind !== 'created') throw new Error(`${this.id} was not accepted: ${outcome.kind}`);
    return { record: outcome.record, version: 0 };
  }

  async record(): Promise<TaskRecord | null> {
    const path = `/${this.#grounds.name}${recordPath(this.id)}`;
    const node = await this.#theatre.session.read(path);
    return node === null ? null : decodeRecord(node.data, path);
  }

  /** What the history has of the task. */
  async past(): Promise<TaskRecord | null> {
    const json = await this.#grounds.deliveries.getHistory(this.id);
    return json === null ? null : decodeRecord(Buffer.from(json), recordPath(this.id));
  }

  /** Resolves with the record once it is in `state`. */
  reaches(state: TaskRecord['state']): Promise<TaskRecord> {
    const look = async (): Promise<TaskRecord> => {
      const record = await this.record();
      if (record?.state === state) return record;
      throw new Error(`it is ${record?.state ?? 'missing'}`);
    };
    return eventually(look, { deadlineMs: 40_000, pollMs: 20, what: `${this.id} is ${state}` });
  }

  /** Claims of the cell's workers, and what a worker that has died leaves beside them. */
  async claimsLeft(): Promise<string[]> {
    const owners = (await this.#names('/claims')).filter((name) => this.#isOurs(name));
    const claims = await Promise.all(owners.map((owner) => this.#names(claimsOf(owner as WorkerId))));
    const isDead = (owner: string): boolean =>
      owner === this.#goneWorker || (owner !== this.#restWorker && this.#victim === null);
    return [...claims.flat(), ...owners.filter(isDead)];
  }

  async deliveriesLeft(): Promise<readonly string[]> {
    return [...(await this.#grounds.deliveries.pending(parseName(this.#name, 'queue')))];
  }

  /** What the cell's processes keep in the tree for as long as they live. */
  async membersLeft(): Promise<string[]> {
    const lists = await Promise.all(['/workers', '/claims'].map((path) => this.#names(path)));
    const candidates = this.#isOwn ? await this.#names('/leader') : [];
    return [
      ...lists.flat().filter((name) => this.#isOurs(name)),
      ...candidates.filter((name) => name !== 'term'),
    ];
  }

  /** Of a worker: its id begins with its process's. */
  #isOurs(worker: string): boolean {
    return (
      worker === this.#restWorker || worker === this.#goneWorker || worker.startsWith(`${this.#victimPid}-`)
    );
  }

  async #names(path: string): Promise<string[]> {
    return (await this.#theatre.session.children(`/${this.#grounds.name}${path}`)) ?? [];
  }

  /** In good order: what it was still about is done, or refused, when this resolves. */
  async closeVictim(): Promise<void> {
    await this.#victim?.ask('close');
  }

  /** As {@link closeVictim}. */
  async closeRest(): Promise<void> {
    const { rest } = this.#grounds;
    await (this.#isOwn ? rest.ask('close') : rest.ask('leave', this.#name));
  }

  /** `isSound`: all went well, and the victim's process may be another's. */
  async close(isSound: boolean): Promise<void> {
    if (isSound && this.#victim !== null) this.#theatre.hosts.giveBack(this.#victim.host);
    else await this.killVictim();
    if (!isSound) await this.closeRest();
    if (this.#isOwn) await this.#grounds.deliveries.stop();
    await Promise.all([this.zookeeper.stop(), this.redis.stop()]);
  }
}

function portOf(url: string): number {
  return Number(url.split(':').at(-1));
}
