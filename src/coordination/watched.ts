// watched.ts: a znode's value as it changes. Owns re-reading: when the watch fires, which it also does when the session is
// lost, and after a read that failed. Changes in quick succession may show as one; the last is never missed.

import { delay, type Runtime } from '../runtime/index.js';
import type { Session } from './port.js';

export type Watch = { stop(): void };

const retryMs = 500;

/** Calls `onValue` with the value now, and after every change; null: there is no such node. Never concurrently. */
export function watchNode<T>(
  session: Session,
  path: string,
  decode: (data: Buffer, version: number) => T,
  onValue: (value: T | null) => void,
  runtime: Runtime,
): Watch {
  const stopped = new AbortController();
  const follow = async (): Promise<void> => {
    while (!stopped.signal.aborted && session.state !== 'closed') {
      try {
        let fired = (): void => undefined;
        const changed = new Promise<void>((resolve) => {
          fired = resolve;
        });
        const node = await session.read(path, fired);
        if (stopped.signal.aborted) return;
        onValue(node === null ? null : decode(node.data, node.stat.version));
        await Promise.race([changed, aborted(stopped.signal)]);
      } catch (error) {
        runtime.log.debug({ err: error, path }, 'a watched node could not be read; trying again');
        await delay(runtime.clock, retryMs, stopped.signal);
      }
    }
  };
  void follow();
  return { stop: () => stopped.abort() };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
