// observed-ensemble.ts: the memory twin with every change of a record told to the chronicle, and the claims that stand kept
// in view. Owns what is known of the tree without asking a session for it.

import { MemoryEnsemble, type SessionId } from '../../src/coordination/index.js';
import { decodeRecord, type Held, type TaskId, type TaskRecord } from '../../src/domain/index.js';
import type { Clock } from '../../src/runtime/index.js';
import type { Chronicle } from './chronicle.js';

export type Client = Parameters<MemoryEnsemble['write']>[0];
type WriteOps = Parameters<MemoryEnsemble['write']>[2];

const recordsPath = '/tasks/';
const recordPathLength = '/tasks/00/'.length;
const claimPattern = /^data:\/claims\/[^/]+\/claim-(.+)-\d{10}$/;

export class ObservedEnsemble extends MemoryEnsemble {
  readonly #chronicle: Chronicle;
  readonly #names = new Map<Client, string>();
  /** Of the claims, by nonce; each claim is made once. */
  readonly #standing = new Map<string, string>();
  /** When the claims that are gone went, by nonce. */
  readonly #gone = new Map<string, number>();
  /** A buffer of the tree holds the same for as long as it is there. */
  readonly #decoded = new WeakMap<Buffer, TaskRecord>();
  /** Called with the client whose write was just applied, before its reply leaves. */
  onApplied: (client: Client, ops: WriteOps) => void = () => undefined;
  onExpired: (id: SessionId) => void = () => undefined;

  constructor(clock: Clock, latencyMs: () => number, lagMs: (() => number) | null, chronicle: Chronicle) {
    super(clock, latencyMs, lagMs);
    this.#chronicle = chronicle;
  }

  name(client: Client, name: string): void {
    this.#names.set(client, name);
  }

  override write(client: Client, id: SessionId, ops: WriteOps): ReturnType<MemoryEnsemble['write']> {
    const paths = recordsIn(ops);
    const before = paths.map((path) => this.#at(path));
    const gone = before.map((held) => this.#goneMs(held?.record ?? null));
    const reply = super.write(client, id, ops);
    if (reply.kind === 'refused') return reply;
    for (const [i, path] of paths.entries()) {
      const was = before[i] ?? null;
      const is = this.#at(path);
      this.#chronicle.changed({
        id: path.slice(recordPathLength) as TaskId,
        by: this.#names.get(client) ?? '?',
        version: is?.version ?? -1,
        before: was?.record ?? null,
        after: is?.record ?? null,
        guarded: ops.some((op) => op.kind === 'check' && op.path === '/leader/term'),
        claimGoneMs: gone[i] ?? null,
        claimStands: this.stands(is?.record ?? null),
      });
    }
    this.onApplied(client, ops);
    return reply;
  }

  stands(record: TaskRecord | null): boolean {
    return record?.claim !== undefined && this.#standing.has(record.claim.nonce);
  }

  /** The paths of all claims. */
  claims(): string[] {
    return [...this.#standing.values()];
  }

  held(path: string): Held | null {
    return this.#at(path);
  }

  /** Every record that stands, as it is. */
  ledger(): Map<TaskId, Held> {
    const ledger = new Map<TaskId, Held>();
    for (const bucket of this.list('/tasks') ?? []) {
      for (const id of this.list(`${recordsPath}${bucket}`) ?? []) {
        const held = this.#at(`${recordsPath}${bucket}/${id}`);
        if (held !== null) ledger.set(id as TaskId, held);
      }
    }
    return ledger;
  }

  /** After a restore: the claims are those of the snapshot. */
  lookAtClaims(): void {
    const before = [...this.#standing.keys()];
    this.#standing.clear();
    for (const worker of this.list('/claims') ?? []) {
      for (const name of this.list(`/claims/${worker}`) ?? []) this.#look(`data:/claims/${worker}/${name}`);
    }
    for (const nonce of before) if (!this.#standing.has(nonce)) this.#gone.set(nonce, this.#chronicle.at);
  }

  protected override applied(touched: readonly string[]): void {
    for (const key of touched) {
      if (key.startsWith('data:/claims/')) this.#look(key);
    }
  }

  protected override expired(id: SessionId): void {
    this.onExpired(id);
  }

  #look(key: string): void {
    const nonce = claimPattern.exec(key)?.[1];
    if (nonce === undefined) return;
    const path = key.slice('data:'.length);
    if (this.peek(path) !== null) {
      this.#standing.set(nonce, path);
      this.#gone.delete(nonce);
    } else if (this.#standing.delete(nonce)) {
      this.#gone.set(nonce, this.#chronicle.at);
      this.#chronicle.say('*', () => `claim ${nonce.slice(0, 4)} is gone`);
    }
  }

  #goneMs(record: TaskRecord | null): number | null {
    const nonce = record?.claim?.nonce;
    if (nonce === undefined || this.#standing.has(nonce)) return null;
    return this.#chronicle.at - (this.#gone.get(nonce) ?? 0);
  }

  #at(path: string): Held | null {
    const node = this.peek(path);
    if (node === null) return null;
    const known = this.#decoded.get(node.data);
    const record = known ?? decodeRecord(node.data, path);
    if (known === undefined) this.#decoded.set(node.data, record);
    return { record, version: node.stat.version };
  }
}

function recordsIn(ops: WriteOps): string[] {
  const paths: string[] = [];
  for (const { kind, path } of ops) {
    if (
      kind !== 'check' &&
      path.length > recordPathLength &&
      path.startsWith(recordsPath) &&
      !paths.includes(path)
    )
      paths.push(path);
  }
  return paths;
}
