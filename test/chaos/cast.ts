// cast.ts: who is who in a chaos run: which process had which session and which worker id, as the ensemble's log and the
// run's processes say it. Owns the mapping alone.

import type { FaultLine, ProcessLife } from './evidence.js';
import type { Evidence } from './evidence-reader.js';

export type CastWorker = {
  readonly id: string;
  readonly pid: number;
  /** When it first announced itself. */
  readonly from: number;
  readonly concurrency: number;
  /** The life of the process that it was; null: no process of the run has its pid. */
  readonly life: ProcessLife | null;
};

export class Cast {
  /** Under which the product's tree stands. */
  readonly chroot: string;
  readonly workers: readonly CastWorker[];
  readonly #workerOfSession: ReadonlyMap<string, string>;
  readonly #schedulerSessions: ReadonlySet<string>;

  constructor({ run, log }: Evidence) {
    this.chroot = chrootOf(log.steps);
    const workers = new Map<string, CastWorker>();
    const workerOfSession = new Map<string, string>();
    const schedulerSessions = new Set<string>();
    for (const { transaction, changes } of log.steps) {
      for (const { path, before, after } of changes) {
        if (before !== null || after === null || !path.startsWith(this.chroot)) continue;
        const [, parent, name = ''] = path.slice(this.chroot.length).split('/');
        if (parent === 'leader' && name.startsWith('candidate-')) schedulerSessions.add(transaction.session);
        if (parent !== 'workers' || name === '') continue;
        workerOfSession.set(transaction.session, name);
        if (!workers.has(name)) workers.set(name, announced(name, after.data, transaction.at, run.processes));
      }
    }
    this.workers = [...workers.values()];
    this.#workerOfSession = workerOfSession;
    this.#schedulerSessions = schedulerSessions;
  }

  /** A worker's id, `scheduler`, or `desk` for whoever else: those who submit and operate. */
  writerOf(session: string): string {
    return (
      this.#workerOfSession.get(session) ?? (this.#schedulerSessions.has(session) ? 'scheduler' : 'desk')
    );
  }

  /** The id of the worker that had this pid then; a name of its own when none is known. */
  workerOfPid(pid: number, at: number): string {
    const ofPid = this.workers.filter((worker) => worker.pid === pid);
    return (ofPid.findLast(({ from }) => from <= at) ?? ofPid[0])?.id ?? `pid ${pid}`;
  }

  /** The workers that a fault was laid on: those that the process of that name was while it lasted. */
  hitBy({ on, from, to }: Pick<FaultLine, 'on' | 'from' | 'to'>): CastWorker[] {
    return this.workers.filter(({ life }) => {
      if (life === null || (on !== life.name && on !== `${life.role}s`)) return false;
      return life.from <= to && (life.to ?? Number.POSITIVE_INFINITY) >= from;
    });
  }
}

function chrootOf(steps: Evidence['log']['steps']): string {
  const end = '/leader/term';
  for (const { changes } of steps) {
    const term = changes.find(({ path }) => path.endsWith(end));
    if (term !== undefined) return term.path.slice(0, -end.length);
  }
  throw new Error(`the ensemble has no ${end}: it was not the product's`);
}

function announced(id: string, data: Buffer, from: number, processes: readonly ProcessLife[]): CastWorker {
  const { pid, concurrency } = JSON.parse(data.toString()) as { pid: number; concurrency: number };
  const lives = processes.filter((life) => life.role === 'worker' && life.pid === pid);
  return {
    id,
    pid,
    from,
    concurrency,
    life: lives.findLast((life) => life.from <= from) ?? lives[0] ?? null,
  };
}
