// processes.ts: what processes and the machine have used, as Linux counts it in /proc.

import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second. */
const msPerTick = 10;

type Used = { readonly parent: number; readonly ms: number; readonly reapedMs: number };

/** All processes at one moment. */
export class Processes {
  readonly #used = new Map<number, Used>();
  readonly #children = new Map<number, number[]>();

  constructor() {
    for (const name of readdirSync('/proc')) {
      const pid = Number(name);
      const used = Number.isInteger(pid) ? usedBy(pid) : null;
      if (used === null) continue;
      this.#used.set(pid, used);
      const siblings = this.#children.get(used.parent);
      if (siblings === undefined) this.#children.set(used.parent, [pid]);
      else siblings.push(pid);
    }
  }

  /** CPU time in ms that a process and its descendants have used, those that have ended among them. */
  cpuMs(pid: number): number {
    const used = this.#used.get(pid);
    if (used === undefined) return 0;
    return (this.#children.get(pid) ?? []).reduce(
      (sum, child) => sum + this.cpuMs(child),
      used.ms + used.reapedMs,
    );
  }

  /** Resident memory of a process and its descendants in MiB; what several share counts once. */
  memoryMib(pid: number): number {
    return (this.#children.get(pid) ?? []).reduce((sum, child) => sum + this.memoryMib(child), pssMib(pid));
  }
}

function usedBy(pid: number): Used | null {
  const text = read(`/proc/${pid}/stat`);
  if (text === null) return null;
  // The name before it is in parentheses, and may hold any character.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [, parent = 0] = fields;
  const [user = 0, system = 0, reapedUser = 0, reapedSystem = 0] = fields.slice(11, 15);
  return { parent, ms: (user + system) * msPerTick, reapedMs: (reapedUser + reapedSystem) * msPerTick };
}

function pssMib(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1];
  return Number(kib ?? 0) / 1_024;
}

export type MachineTime = {
  readonly busyMs: number;
  /** What other guests of the same host took while we would have run. */
  readonly stolenMs: number;
  readonly totalMs: number;
};

/** Interrupts are left out of what is busy: most are our own disk's and network's. */
export function machineTime(): MachineTime {
  const line = (read('/proc/stat') ?? '').split('\n')[0] ?? '';
  const columns = line
    .split(/\s+/)
    .slice(1, 9)
    .map((text) => Number(text) * msPerTick);
  const [user = 0, nice = 0, system = 0] = columns;
  return {
    busyMs: user + nice + system,
    stolenMs: columns[7] ?? 0,
    totalMs: columns.reduce((sum, ms) => sum + ms, 0),
  };
}

/** It has ended, or is not ours to look at. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
