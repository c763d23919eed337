// chronicle.ts: collects a simulation's story while it happens: what was written, what handlers did, what was broken. Owns
// the order of things, the count of what really happened to somebody, and the transcript; it judges nothing. The transcript
// costs more than all the rest: it is kept when somebody will read it.

import type { Held, TaskId, TaskRecord } from '../../src/domain/index.js';
import type { Clock, Logger } from '../../src/runtime/index.js';
import type { Change, Effect, Fault, LeaseEnd, Start, Submit } from '../invariants/story.js';

/** From and to: places in the story. */
export type Halt = { readonly by: string; readonly from: number; to: number };

type Told<T> = Omit<T, 'seq' | 'at'>;

export class Chronicle {
  readonly #clock: Clock;
  #seq = 0;
  readonly changes: Change[] = [];
  readonly starts: Start[] = [];
  readonly effects: Effect[] = [];
  readonly faults: Fault[] = [];
  /** The place of the handler's call, by the place of its effect: after a restore two calls may look alike. */
  readonly startOf = new Map<number, number>();
  readonly submits: Submit[] = [];
  readonly leases: LeaseEnd[] = [];
  readonly defects: string[] = [];
  /** When processes had stopped writing, for the ensemble's data was not what they knew. */
  readonly halts: Halt[] = [];
  /** As they were last written. */
  readonly records = new Map<TaskId, TaskRecord>();
  /** Records that are in the ledger. */
  readonly standing = new Set<TaskId>();
  /** Faults that happened to somebody, by their kind. */
  readonly counts = new Map<string, number>();
  /** Null: not kept. */
  readonly transcript: string[] | null;

  constructor(clock: Clock, transcript: boolean) {
    this.#clock = clock;
    this.transcript = transcript ? [] : null;
  }

  get at(): number {
    return this.#clock.monotonic();
  }

  changed(change: Told<Change>): void {
    this.changes.push({ ...change, ...this.#stamp() });
    const { by, id, version, before, after } = change;
    if (after === null) this.standing.delete(id);
    else {
      this.records.set(id, after);
      this.standing.add(id);
    }
    this.say(by, () => `${id} @${version}: ${shortly(before)} → ${shortly(after)}`);
  }

  /** Its place in the story is the result. */
  started(start: Told<Start>): number {
    const stamp = this.#stamp();
    this.starts.push({ ...start, ...stamp });
    this.say(start.worker, () => `${start.task} attempt ${start.attempt} starts, fence ${start.fence}`);
    return stamp.seq;
  }

  /** `startSeq`: of the call that it is an effect of. */
  took(effect: Told<Effect>, startSeq: number): void {
    const stamp = this.#stamp();
    this.effects.push({ ...effect, ...stamp });
    this.startOf.set(stamp.seq, startSeq);
    this.say(effect.worker, () => `${effect.task} attempt ${effect.attempt} HAS ITS EFFECT`);
  }

  halted(by: string): void {
    this.halts.push({ by, from: this.#stamp().seq, to: Number.POSITIVE_INFINITY });
    this.say(by, () => 'has stopped writing');
  }

  proven(by: string): void {
    const halt = this.halts.find((each) => each.by === by && each.to === Number.POSITIVE_INFINITY);
    if (halt !== undefined) halt.to = this.#stamp().seq;
  }

  /** The ensemble was set back. */
  restored(ledger: ReadonlyMap<TaskId, Held>): number {
    this.records.clear();
    this.standing.clear();
    for (const [id, { record }] of ledger) {
      this.records.set(id, record);
      this.standing.add(id);
    }
    this.say('*', () => `--- restored, with ${[...ledger.keys()].join(', ') || 'nothing'} ---`);
    return this.#stamp().seq;
  }

  /** A fault begins, whoever notices it; its end is told by the result. */
  broke(kind: string, on: string): () => void {
    const fault: Fault = { kind, on, from: this.at, to: Number.POSITIVE_INFINITY };
    this.faults.push(fault);
    this.say(on, () => `FAULT ${kind}`);
    return () => {
      fault.to = this.at;
      this.say(on, () => `${kind} is over`);
    };
  }

  /** A fault of that kind has really happened to somebody. */
  hit(kind: string, on: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.say(on, () => `met by: ${kind}`);
  }

  say(who: string, what: () => string): void {
    this.transcript?.push(`${(this.at / 1_000).toFixed(3).padStart(8)} ${who.padEnd(6)} ${what()}`);
  }

  /** The product's log of one process; an error there is a defect, unless it is of a code that is `expected`. */
  logOf(who: string, expected: readonly string[] = []): Logger {
    const note = (level: string) => (fields: object, message: string) => {
      const isDefect = level === 'error' && !expected.includes((fields as { code?: string }).code ?? '');
      if (!isDefect && this.transcript === null) return;
      const { err, error, task } = fields as { err?: unknown; error?: unknown; task?: unknown };
      const why = err ?? error;
      const line = `${level}: ${message}${task === undefined ? '' : ` (${task})`}${why === undefined ? '' : `: ${why}`}`;
      this.say(who, () => line);
      if (isDefect) this.defects.push(`${who} ${line}`);
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

function shortly(record: TaskRecord | null): string {
  if (record === null) return 'nothing';
  const last = record.attempts?.at(-1);
  const claim =
    record.state === 'running' ? ` ${record.claim?.worker} ${record.claim?.nonce.slice(0, 4)}` : '';
  const due = record.notBefore === undefined ? '' : ' later';
  const asked = record.cancelRequested ? ' cancelling' : '';
  return `${record.state} ${record.attempt}${claim}${due}${asked}${last === undefined ? '' : ` [${last.n} ${last.outcome}]`}`;
}
