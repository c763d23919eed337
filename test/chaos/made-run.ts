// made-run.ts: a small chaos run made up: an ensemble's log, a witness and answers that fit together, so that tests can spoil
// one of them and see it noticed. Time goes as the test says.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ClaimRef,
  type EpochMs,
  encodeRecord,
  type Nonce,
  newRecord,
  type OnInterrupted,
  parseSubmission,
  type RecordEvent,
  resolvePolicy,
  type TaskId,
  type TaskRecord,
  transition,
  type WorkerId,
} from '../../src/domain/index.js';
import { recordPath } from '../../src/ledger/index.js';
import type {
  AnswerLine,
  FaultLine,
  LedgerLine,
  ProcessLife,
  RunFacts,
  TrustLine,
  WitnessLine,
} from './evidence.js';
import { logFile, type Written } from './log-writer.js';
import type { LoggedOp } from './transaction-log.js';

export const root = '/made';
export const sessionTimeoutMs = 4_000;
export const graceMs = 1_000;
const began = 1_800_000_000_000;

type Process = { readonly life: ProcessLife; readonly session: string; readonly worker: WorkerId };
type Held = { record: TaskRecord; version: number; claim: string | null };

export class MadeRun {
  /** Since the run's begin, in ms. */
  now = 0;
  epoch = 1;
  readonly answers: AnswerLine[] = [];
  readonly witness: WitnessLine[] = [];
  readonly faults: FaultLine[] = [];
  readonly trust: TrustLine[] = [];
  readonly processes: ProcessLife[] = [];
  readonly written: Written[] = [];
  /** What the run says of itself otherwise than it is made. */
  facts: Partial<RunFacts> = {};
  readonly #held = new Map<string, Held>();
  #counter = 0;
  #serial = 0;

  constructor() {
    this.write('desk', [made(`${root}/generation`), made(`${root}/leader/term`)]);
  }

  /** The moment now, and `afterMs` more. */
  at(afterMs = 0): number {
    return began + this.now + afterMs;
  }

  process(name: string, role: ProcessLife['role'], pid: number): Process {
    const life: ProcessLife = { name, role, pid, from: this.at(), to: null, end: 'running' };
    this.processes.push(life);
    const process = { life, session: sessionOf(name, pid), worker: `${pid}-made` as WorkerId };
    const said = Buffer.from(JSON.stringify({ pid, concurrency: 4 }));
    if (role === 'worker') {
      this.write(process.session, [made(`${root}/workers/${process.worker}`, said, true)]);
      this.trust.push({ pid, session: process.session, trusted: true, at: this.at() });
    }
    if (role === 'scheduler')
      this.write(process.session, [
        made(`${root}/leader/candidate-x-${String(pid).padStart(10, '0')}`, said, true),
      ]);
    return process;
  }

  write(session: string, ops: readonly LoggedOp[], kind: Written['kind'] = 'writes'): void {
    this.#counter += 1;
    const zxid = (BigInt(this.epoch) << 32n) | BigInt(this.#counter);
    const id = session === 'desk' ? sessionOf('desk', 1) : session;
    this.written.push({ zxid, at: this.at(), session: id, ops, ...(kind === undefined ? {} : { kind }) });
  }

  fault(kind: string, on: string, lastsMs: number): void {
    this.faults.push({ id: this.faults.length + 1, kind, on, from: this.at(), to: this.at(lastsMs) });
  }

  submit(id: string, onInterrupted: OnInterrupted = 'park'): void {
    const task = parseSubmission({ id, type: onInterrupted, onInterrupted }, this.at() as EpochMs);
    const record = newRecord(task, this.#nonce(), this.at() as EpochMs);
    this.#held.set(id, { record, version: 0, claim: null });
    this.write('desk', [made(this.#path(id), encodeRecord(record))]);
    this.answers.push({
      call: 'submit',
      task: id,
      body: `body of ${id}`,
      at: this.at(),
      until: this.at(5),
      status: 201,
    });
  }

  claim({ session, worker, life }: Process, id: string): void {
    const ref: ClaimRef = { worker, nonce: this.#nonce() };
    this.#serial += 1;
    const path = `${root}/claims/${worker}/claim-${ref.nonce}-${String(this.#serial).padStart(10, '0')}`;
    const policy = resolvePolicy(null, this.#of(id).record.wishes ?? null);
    const event = {
      kind: 'claimed',
      at: this.at() as EpochMs,
      nonce: ref.nonce,
      claim: ref,
      policy,
    } as const;
    this.move(session, id, event, [made(path, Buffer.from('{}'), true)]);
    this.#of(id).claim = path;
    this.tell('start', id, life.pid);
  }

  tell(kind: WitnessLine['kind'], id: string, pid: number): void {
    const { record, version } = this.#of(id);
    const { type, attempt } = record;
    this.witness.push({
      kind,
      task: id,
      type,
      attempt,
      fence: version,
      pid,
      sentAt: this.at(),
      at: this.at(),
    });
  }

  /** Its effect, and its end. */
  complete({ session, life }: Process, id: string): void {
    this.tell('effect', id, life.pid);
    const { record } = this.#of(id);
    this.move(
      session,
      id,
      {
        kind: 'succeeded',
        at: this.at() as EpochMs,
        nonce: record.nonce,
        result: { value: 'done' },
      },
      this.#claimDropped(id),
    );
  }

  fail({ session }: Process, id: string): void {
    const { nonce } = this.#of(id).record;
    const at = this.at() as EpochMs;
    const error = { code: 'HANDLER_FAILED', message: 'it broke' };
    this.move(session, id, { kind: 'attemptFailed', at, nonce, error, retryAt: at }, this.#claimDropped(id));
  }

  interrupt({ session }: Process, id: string): void {
    const { claim } = this.#of(id).record;
    if (claim === undefined) throw new Error(`${id} has no claim`);
    const term: LoggedOp = { kind: 'check', path: `${root}/leader/term` };
    this.move(session, id, { kind: 'interrupted', at: this.at() as EpochMs, claim }, [term]);
  }

  /** The server ends the session, with the worker's announcement and the claims of these tasks. */
  expire({ session, worker }: Process, ids: readonly string[] = []): void {
    const claims = ids.flatMap((id) => this.#claimDropped(id));
    this.write(session, [{ kind: 'delete', path: `${root}/workers/${worker}` }, ...claims], 'expired');
  }

  move(session: string, id: string, event: RecordEvent, more: readonly LoggedOp[]): void {
    const held = this.#of(id);
    const next = transition(held.record, event);
    if (next.kind === 'refused') throw new Error(`the table refuses ${event.kind} of ${id}: ${next.why}`);
    held.record = next.record;
    held.version += 1;
    const data = encodeRecord(held.record);
    this.write(session, [...more, { kind: 'set', path: this.#path(id), data, version: held.version }]);
  }

  /** Three servers, of which the last has skipped some by a snapshot. */
  async save(folder: string): Promise<void> {
    const all = this.written;
    const skipped = all.filter((_, i) => i < 4 || i > 6);
    for (const [i, log] of [all, all, skipped].entries()) {
      const path = join(folder, 'zookeeper', String(i + 1), 'version-2');
      await mkdir(path, { recursive: true });
      await writeFile(join(path, 'log.100000001'), Buffer.concat([logFile(log), Buffer.alloc(4_096)]));
    }
    const { answers, witness, faults, trust } = this;
    const ledger = [...this.#held.values()].map(({ record, version }): LedgerLine => ({ record, version }));
    for (const [name, lines] of Object.entries({ answers, witness, faults, trust, ledger }))
      await writeFile(
        join(folder, `${name}.ndjson`),
        lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
      );
    const run: RunFacts = {
      seed: 7,
      command: 'npm run chaos -- --minutes 1 --seed 7',
      from: began,
      healedAt: this.at(),
      settledAt: this.at(2_000),
      to: this.at(4_000),
      sessionTimeoutMs,
      graceMs,
      dedupWindowMs: 604_800_000,
      handlerMsMax: 1_000,
      processes: this.processes,
      versions: { node: 'v20', zookeeper: '3.8' },
      leftOver: [],
      ...this.facts,
    };
    await writeFile(join(folder, 'run.json'), JSON.stringify(run));
  }

  #of(id: string): Held {
    const held = this.#held.get(id);
    if (held === undefined) throw new Error(`${id} was not submitted`);
    return held;
  }

  #claimDropped(id: string): LoggedOp[] {
    const held = this.#of(id);
    const path = held.claim;
    held.claim = null;
    return path === null ? [] : [{ kind: 'delete', path }];
  }

  #path(id: string): string {
    return `${root}${recordPath(id as TaskId)}`;
  }

  #nonce(): Nonce {
    this.#serial += 1;
    return `nonce${this.#serial}` as Nonce;
  }
}

function made(path: string, data: Buffer = Buffer.alloc(0), ephemeral = false): LoggedOp {
  return { kind: 'create', path, data, ephemeral };
}

function sessionOf(name: string, pid: number): string {
  return Buffer.from(`${name}${pid}`).toString('hex').padStart(16, '0').slice(-16);
}
