// undertaker.ts: sees to it that nothing of a chaos run outlives its driver, however that ends. Runs in a session of its own;
// its standard input is a pipe whose other end only the driver holds. Lines in: `pid N` and `gone N` for processes that are to
// be killed in the end (a frozen one, too), `mount PATH` and `unmounted PATH`. ZooKeeper and Redis have infra/guard.mjs.

import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

const pids = new Set<number>();
const mounts = new Set<string>();

function bury(): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  }
  for (const path of mounts) spawnSync('umount', ['--lazy', path], { stdio: 'ignore' });
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [what, name = ''] = line.split(' ');
    if (what === 'pid') pids.add(Number(name));
    if (what === 'gone') pids.delete(Number(name));
    if (what === 'mount') mounts.add(name);
    if (what === 'unmounted') mounts.delete(name);
  })
  .once('close', bury);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
