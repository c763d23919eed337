// zookeeper.ts: what is asked of a ZooKeeper server from outside: how many transactions it has committed, and how much of its heap
// is alive.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ask, type LocalServer } from '../infra/local-server.js';

/** Since the servers' first start, those of sessions among them; they must not have elected a leader since. */
export async function transactionsOf({ port }: LocalServer): Promise<number> {
  const zxid = /^Zxid: 0x([0-9a-f]+)$/m.exec(await ask(port, 'srvr'))?.[1];
  if (zxid === undefined) throw new Error('ZooKeeper did not say its zxid');
  return Number(BigInt.asUintN(32, BigInt(`0x${zxid}`)));
}

/** After a full collection, in bytes; null where there is no jcmd, which comes with a JDK. */
export async function liveHeapOf({ pid }: LocalServer): Promise<number | null> {
  try {
    const { stdout } = await promisify(execFile)('jcmd', [String(pid), 'GC.class_histogram'], {
      maxBuffer: 64 * 1024 * 1024,
    });
    return Number(/^Total\s+\d+\s+(\d+)/m.exec(stdout)?.[1] ?? Number.NaN);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
