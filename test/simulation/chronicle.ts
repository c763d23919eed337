// chronicle.ts: collects a simulation's story while it happens: what the ensemble applied, what handlers did, what was
// broken. Owns the order of things and the transcript; it judges nothing.

import { MemoryEnsemble } from '../../src/coordination/index.js';
import { decodeRecord, type TaskId, type TaskRecord } from '../../src/domain/index.js';
import { claimOfName, claimsOf, claimsPath } from '../../src/ledger/index.js';
import type { Clock, Logger } from '../../src/runtime/index.js';
import type { Change, Effect, Fault, Start } from '../invariants/story.js';

type Client = Parameters<MemoryEnsemble['write']>[0];
type Told<T> = Omit<T, 'seq' | 'at'>;

const recordPattern = /^\/tasks\/[0-9a-f]{2}\/(.+)$/;

export class Chronicle {
  readonly #clock: Clock;
  #seq = 0;
  readonly changes: Change[] = [];
  readonly starts: Start[] = [];
  readonly effects: Effect[] = [];
  readonly faults: Fault[] = [];
  readonly defects: string[] = [];
  readonly transcript: string[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get at(): number {
    return this.#clock.monotonic();
  }

  changed(change: Told<Change>): void {
    this.changes.push({ ...change, ...this.#stamp() });
    const { by, id, version, before, after } = change;
    this.say(by, `${id} @${version}: ${shortly(before)} → ${shortly(after)}`);
  }

  started(start: Told<Start>): void {
    this.starts.push({ ...start, ...this.#stamp() });
    this.say(start.worker, `${start.task} attempt ${start.attempt} starts, fence ${start.fence}`);
  }

  took(effect: Told<Effect>): void {
    this.effects.push({ ...effect, ...this.#stamp() });
    this.say(effect.worker, `${effect.task} attempt ${effect.attempt} HAS ITS EFFECT`);
  }

  /** A fault begins; its end is told by the result. */
  broke(kind: string, on: string): () => void {
    const fault: Fault = { kind, on, from: this.at, to: Number.POSITIVE_INFINITY };
    this.faults.push(fault);
    this.say(on, `FAULT ${kind}`);
    return () => {
      fault.to = this.at;
      this.say(on, `${kind} is over`);
    };
  }

  say(who: string, what: string): void {
    this.transcript.push(`${(this.at / 1_000).toFixed(3).padStart(8)} ${who.padEnd(6)} ${what}`);
  }

  /** The product's log of one process; an error there is a defect. */
  logOf(who: string): Logger {
    const note = (level: string) => (fields: object, message: string) => {
      const { err, error, task } = fields as { err?: unknown; error?: unknown; task?: unknown };
      const why = err ?? error;
      const line = `${level}: ${message}${task === undefined ? '' : ` (${task})`}${why === undefined ? '' : `: ${why}`}`;
      this.say(who, line);
      if (level === 'error') this.defects.push(`${who} ${line}`);
    };
    const log: Logger = {
      debug: () => undefined,
      info: note('info'),
      warn: note('warn'),
      error: note('error'),
      child: () => log,
    };
    return log;
  }

  #stamp(): { seq: number; at: number } {
    this.#seq += 1;
    return { seq: this.#seq, at: this.at };
  }
}

/** The ensemble, with every change of a record told to the chronicle. */
export class ObservedEnsemble extends MemoryEnsemble {
  readonly #chronicle: Chronicle;
  readonly #names = new Map<Client, string>();
  /** When the claims that are gone were first seen to be, by nonce. */
  readonly #gone = new Map<string, number>();
  #standing: ReadonlySet<string> = new Set();
  /** Called with the client whose write was just applied, before its reply leaves. */
  onApplied: (client: Client) => void = () => undefined;

  constructor(clock: Clock, latencyMs: () => number, chronicle: Chronicle) {
    super(clock, latencyMs);
    this.#chronicle = chronicle;
  }

  name(client: Client, name: string): void {
    this.#names.set(client, name);
  }

  override write(...args: Parameters<MemoryEnsemble['write']>): ReturnType<MemoryEnsemble['write']> {
    const [client, , ops] = args;
    this.lookAtClaims();
    const paths = [...new Set(ops.filter(({ kind }) => kind !== 'check').map(({ path }) => path))];
    const before = new Map(
      paths.filter((path) => recordPattern.test(path)).map((path) => [path, this.#at(path)]),
    );
    const standing = this.#standing;
    const reply = super.write(...args);
    this.lookAtClaims();
    for (const [path, was] of before) {
      const is = this.#at(path);
      if (is?.version === was?.version && (is === null) === (was === null)) continue;
      this.#chronicle.changed({
        id: (recordPattern.exec(path)?.[1] ?? '') as TaskId,
        by: this.#names.get(client) ?? '?',
        version: is?.version ?? -1,
        before: was?.record ?? null,
        after: is?.record ?? null,
        guarded: ops.some(({ kind, path: checked }) => kind === 'check' && checked === '/leader/term'),
        claimGoneMs: this.#goneMs(was?.record ?? null, standing),
        claimStands: this.stands(is?.record ?? null),
      });
    }
    if (reply?.kind === 'applied') this.onApplied(client);
    return reply;
  }

  stands(record: TaskRecord | null): boolean {
    return record?.claim !== undefined && this.#standing.has(record.claim.nonce);
  }

  /** The paths of all claims. */
  claims(): string[] {
    const workers = (super.children(claimsPath, null) ?? []) as Parameters<typeof claimsOf>[0][];
    return workers.flatMap((worker) =>
      (super.children(claimsOf(worker), null) ?? []).map((name) => `${claimsOf(worker)}/${name}`),
    );
  }

  lookAtClaims(): void {
    const standing = new Set(
      this.claims().map((path) => {
        const [, , worker, name] = path.split('/');
        return claimOfName(worker as Parameters<typeof claimsOf>[0], name ?? '')?.nonce ?? path;
      }),
    );
    for (const nonce of this.#standing) {
      if (!standing.has(nonce)) this.#gone.set(nonce, this.#chronicle.at);
    }
    this.#standing = standing;
  }

  #goneMs(record: TaskRecord | null, standing: ReadonlySet<string>): number | null {
    const nonce = record?.claim?.nonce;
    if (nonce === undefined || standing.has(nonce)) return null;
    return this.#chronicle.at - (this.#gone.get(nonce) ?? 0);
  }

  #at(path: string): { readonly record: TaskRecord; readonly version: number } | null {
    const node = super.read(path, null);
    return node === null ? null : { record: decodeRecord(node.data, path), version: node.stat.version };
  }
}

function shortly(record: TaskRecord | null): string {
  if (record === null) return 'nothing';
  const last = record.attempts?.at(-1);
  const claim =
    record.state === 'running' ? ` ${record.claim?.worker} ${record.claim?.nonce.slice(0, 4)}` : '';
  const due = record.notBefore === undefined ? '' : ' later';
  const asked = record.cancelRequested ? ' cancelling' : '';
  return `${record.state} ${record.attempt}${claim}${due}${asked}${last === undefined ? '' : ` [${last.n} ${last.outcome}]`}`;
}
