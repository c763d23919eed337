// installation.ts: everything a chaos run has running: three ZooKeeper servers, Redis and its replica, the product's processes
// behind networks of their own, and the witness, which no fault touches. Owns their start and their end.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Ensemble, startEnsemble } from '../../infra/ensemble.js';
import { freePort } from '../../infra/local-server.js';
import { type Claimkeeper, connect } from '../../src/index.js';
import { createLogger } from '../../src/runtime/index.js';
import type { FaultyNetwork } from '../support/proxy.js';
import { startProxy } from '../support/proxy.js';
import { fakedTime } from './clock-setting.js';
import type { Role } from './evidence.js';
import type { EvidenceWriter } from './evidence-writer.js';
import type { Legacy } from './legacy.js';
import { Member } from './member.js';
import { Network } from './network.js';
import { clockSettable, fillable, members } from './plan.js';
import { RedisPair } from './redis-pair.js';

export const sessionTimeoutMs = 4_000;
export const graceMs = 1_000;
const drainMsMax = 3_000;
const concurrency = 16;
const prefix = 'chaos';
const snapshotsKept = 3;
/**
 * A server that comes back is given a snapshot, which it keeps before it counts. Given the transactions that it lacks, a server of
 * ZooKeeper 3.8.0 that is interrupted then keeps a hole in its log, and may lead with it (docs/guarantees.md).
 */
const syncBySnapshot = '-Dzookeeper.forceSnapshotSync=true';

export type Means = {
  /** The folder of the fillable server's transactions is a disk of its own. */
  readonly disk: { readonly sizeMb: number } | null;
  /** The library that lets a clock be set; null: there is none. */
  readonly faketime: string | null;
};

const taskModule = fileURLToPath(new URL('./tasks.js', import.meta.url));
const witnessProgram = fileURLToPath(new URL('./witness-process.js', import.meta.url));

export class Installation {
  readonly ensemble: Ensemble;
  readonly redis: RedisPair;
  readonly members: ReadonlyMap<string, Member>;
  /** The driver's own, over which no fault is laid. */
  readonly keeper: Claimkeeper;
  readonly #parts: Parts;

  private constructor(parts: Parts & { readonly keeper: Claimkeeper }) {
    this.ensemble = parts.ensemble;
    this.redis = parts.redis;
    this.members = new Map(parts.members.map((member) => [member.name, member]));
    this.keeper = parts.keeper;
    this.#parts = parts;
  }

  static async start(evidence: EvidenceWriter, means: Means, legacy: Legacy): Promise<Installation> {
    const { folder } = evidence;
    const dataDir = join(folder, 'zookeeper');
    if (means.disk !== null) {
      await mkdir(diskOf(dataDir), { recursive: true });
      await legacy.mount(diskOf(dataDir), means.disk.sizeMb);
    }
    const begun: Begun = { stop: [] };
    try {
      const parts = await Installation.#begin(evidence, means, legacy, dataDir, begun);
      return new Installation(parts);
    } catch (error) {
      for (const stop of begun.stop.reverse()) await stop().catch(() => undefined);
      throw error;
    }
  }

  static async #begin(
    evidence: EvidenceWriter,
    means: Means,
    legacy: Legacy,
    dataDir: string,
    begun: Begun,
  ): Promise<Parts & { readonly keeper: Claimkeeper }> {
    const ensemble = await startEnsemble({ dataDir, heapMb: 512, properties: [syncBySnapshot] });
    begun.stop.push(() => ensemble.stop());
    const redis = await RedisPair.start();
    begun.stop.push(() => redis.stop());
    const witness = await startWitness(join(evidence.folder, 'witness.ndjson'), legacy);
    const own = await startProxy(redis.port);
    begun.stop.push(() => own.stop());
    const errors: string[] = [];
    const logs = join(evidence.folder, 'logs');
    await mkdir(logs, { recursive: true });
    const context: MakeContext = { ensemble, redis, evidence, means, legacy, logs, witness, errors };
    const started: Member[] = [];
    for (const [role, names] of Object.entries(members) as [Role, readonly string[]][]) {
      for (const name of names) started.push(await makeMember(name, role, context));
    }
    begun.stop.push(async () => {
      await Promise.all(started.map((member) => member.kill()));
      await Promise.all(started.map((member) => member.network.stop()));
    });
    redis.onPrimary = (port) => {
      for (const proxy of [own, ...started.map(({ network }) => network.redis)]) {
        proxy.retarget(port);
        proxy.cut();
      }
    };
    const keeper = await connect({
      zookeeper: ensemble.url,
      redis: `redis://${own.url}`,
      prefix,
      sessionTimeoutMs,
      graceMs,
      requestMsMax: 10_000,
      log: createLogger('silent'),
    });
    begun.stop.push(() => keeper.close());
    await Promise.all(started.map((member) => member.start()));
    return { ensemble, redis, members: started, keeper, errors, witness, own, dataDir, legacy, means };
  }

  get all(): readonly Member[] {
    return this.#parts.members;
  }

  member(name: string): Member {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`there is no ${name}`);
    return member;
  }

  /** Of the process that had this pid. */
  nameOf(pid: number): string {
    return this.all.find(({ lives }) => lives.some((life) => life.pid === pid))?.name ?? '*';
  }

  /** What processes logged as errors: no fault excuses one. */
  get errors(): readonly string[] {
    return this.#parts.errors;
  }

  of(role: Role): readonly Member[] {
    return this.all.filter((member) => member.role === role);
  }

  /** Where the API processes are asked. */
  get fronts(): readonly string[] {
    return this.of('api').map(({ network }) => `http://${network.front?.url}`);
  }

  /** The folder on the disk that can be filled. */
  get disk(): string | null {
    return this.#parts.means.disk === null ? null : diskOf(this.#parts.dataDir);
  }

  /** Of a ZooKeeper server, by its place in the ensemble. */
  dataFolderOf(server: number): string {
    return join(this.#parts.dataDir, String(server + 1));
  }

  /** Leaves each server its newest snapshots; its transactions are all kept, for they are the evidence. */
  async pruneSnapshots(): Promise<void> {
    for (const n of this.ensemble.servers.keys()) {
      const folder = join(this.dataFolderOf(n), 'version-2');
      const zxids = (await readdir(folder)).flatMap(
        (name) => /^snapshot\.([0-9a-f]+)$/.exec(name)?.[1] ?? [],
      );
      const oldestFirst = zxids.sort((a, b) => Number.parseInt(a, 16) - Number.parseInt(b, 16));
      for (const zxid of oldestFirst.slice(0, -snapshotsKept))
        await rm(join(folder, `snapshot.${zxid}`), { force: true });
    }
  }

  /** Where a worker's wall clock is set. */
  clockFile(name: string): string {
    return clockFileOf(this.#parts.dataDir, name);
  }

  /** From now on handlers do their work, and hooks know. */
  calmHandlers(): void {
    this.#parts.witness.child.send('calm');
  }

  /** Stops the product's processes, as a deploy does; returns the names of those that had to be killed. */
  async stopMembers(): Promise<string[]> {
    const ended = await Promise.all(this.all.map((member) => member.close()));
    return this.all.filter((_, i) => !ended[i]).map(({ name }) => name);
  }

  /** Ends everything else, and leaves the servers' data in the run's folder. */
  async close(): Promise<void> {
    const { ensemble, redis, members: all, keeper, witness, own, dataDir, legacy, means } = this.#parts;
    await Promise.all(all.map((member) => member.kill()));
    await keeper.close();
    await Promise.all([own.stop(), ...all.map(({ network }) => network.stop())]);
    await Promise.all([redis.stop(), ensemble.stop(), endWitness(witness.child)]);
    if (means.disk !== null) await keepDisk(diskOf(dataDir), legacy);
  }
}

type Begun = { readonly stop: (() => Promise<unknown>)[] };
type Witness = { readonly child: ChildProcess; readonly url: string };
type Parts = {
  readonly ensemble: Ensemble;
  readonly redis: RedisPair;
  readonly members: readonly Member[];
  readonly keeper: Claimkeeper;
  readonly errors: string[];
  readonly witness: Witness;
  readonly own: FaultyNetwork;
  readonly dataDir: string;
  readonly legacy: Legacy;
  readonly means: Means;
};
type MakeContext = Pick<Parts, 'ensemble' | 'redis' | 'errors' | 'witness' | 'legacy' | 'means'> & {
  readonly evidence: EvidenceWriter;
  readonly logs: string;
};

async function makeMember(name: string, role: Role, context: MakeContext): Promise<Member> {
  const { ensemble, redis, evidence, means, legacy, logs, witness, errors } = context;
  const port = role === 'api' ? await freePort() : null;
  const network = await Network.open({
    zookeeper: ensemble.servers.map((server) => server.port),
    redis: redis.port,
    front: port,
  });
  const env: Record<string, string> = {
    CLAIMKEEPER_ZOOKEEPER: network.zookeeperUrl,
    CLAIMKEEPER_REDIS: network.redisUrl,
    CLAIMKEEPER_PREFIX: prefix,
    CLAIMKEEPER_SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
    CLAIMKEEPER_GRACE_MS: String(graceMs),
    CLAIMKEEPER_DRAIN_MS_MAX: String(drainMsMax),
    CLAIMKEEPER_CONCURRENCY: String(concurrency),
    CLAIMKEEPER_LOG_LEVEL: 'info',
    WITNESS_URL: witness.url,
    ...(port === null ? {} : { CLAIMKEEPER_PORT: String(port) }),
  };
  if (means.faketime !== null && clockSettable.includes(name)) {
    const file = clockFileOf(join(evidence.folder, 'zookeeper'), name);
    await writeFile(file, '+0\n');
    Object.assign(env, fakedTime(means.faketime, file));
  }
  const args = role === 'worker' ? [taskModule] : [];
  return new Member(
    { name, role, args, env, network, logFile: join(logs, `${name}.log`) },
    {
      legacy,
      onTrust: (line) => evidence.trust(line),
      onError: (who, line) => errors.push(`${who} logged ${line}`),
    },
  );
}

function diskOf(dataDir: string): string {
  return join(dataDir, fillable.slice(-1), 'version-2');
}

function clockFileOf(dataDir: string, name: string): string {
  return join(dataDir, '..', 'logs', `${name}.clock`);
}

async function startWitness(file: string, legacy: Legacy): Promise<Witness> {
  const child = fork(witnessProgram, [file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  legacy.add(child);
  const [url] = (await once(child, 'message')) as [string];
  return { child, url };
}

async function endWitness(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.disconnect();
  await exited;
}

/** What is on a disk of our own goes with it: it is copied to where it was mounted. */
async function keepDisk(path: string, legacy: Legacy): Promise<void> {
  const copy = `${path}.copy`;
  await cp(path, copy, { recursive: true });
  await legacy.unmount(path);
  await rm(path, { recursive: true, force: true });
  await rename(copy, path);
}
