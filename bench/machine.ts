// machine.ts: on what the figures were measured.

import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { now } from './clock.js';
import { quantile } from './figures.js';

export type Machine = Readonly<Record<string, string>>;

const tmpfs = 0x01021994;
const syncs = 200;

export function describeMachine(): Machine {
  const folder = mkdtempSync(join(tmpdir(), 'claimkeeper-bench-'));
  try {
    if (statfsSync(folder).type === tmpfs) {
      throw new Error(
        `${tmpdir()} is in memory, where a sync costs nothing: set TMPDIR to a folder on a disk`,
      );
    }
    return {
      processor: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
      memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
      'fsync of 4 KiB, median': `${fsyncMs(folder).toFixed(2)} ms`,
      kernel: `Linux ${release()}`,
      'Node.js': process.version,
      Java: firstLineOf('java', ['-version']),
      Redis: firstLineOf('redis-server', ['--version']),
      PostgreSQL: firstLineOf('psql', ['--version']),
      commit: firstLineOf('git', ['describe', '--always', '--dirty']),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function fsyncMs(folder: string): number {
  const file = openSync(join(folder, 'synced'), 'w');
  const block = Buffer.alloc(4_096, 1);
  const took = Array.from({ length: syncs }, () => {
    const from = now();
    writeSync(file, block);
    fsyncSync(file);
    return now() - from;
  });
  closeSync(file);
  return quantile(took, 0.5);
}

function firstLineOf(command: string, args: readonly string[]): string {
  try {
    // Java tells its version on standard error.
    const text = execFileSync('sh', ['-c', '"$0" "$@" 2>&1', command, ...args], { encoding: 'utf8' });
    return text.split('\n')[0] ?? '';
  } catch {
    return 'unknown';
  }
}
