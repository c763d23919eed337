// watches.ts: who waits for which znode to change. Owns the listeners of one session; the server knows one watch per path
// and kind, and we fan out (trap 20). Paths here are the server's.

import type { WatchListener } from '../port.js';
import { type Encoded, encodeSetWatches } from './wire.js';

/** `data`: of a node that is there; `exist`: of one that is not yet; `child`: of a node's list. */
export type WatchKind = 'data' | 'exist' | 'child';

/** A packet over 1 MiB would end the connection, again at every reconnect (trap 12). */
const setWatchesBytesMax = 100 * 1024;

const nodeCreated = 1;
const nodeDeleted = 2;
const dataChanged = 3;
const childrenChanged = 4;

const kindsOfEvent: ReadonlyMap<number, readonly WatchKind[]> = new Map<number, readonly WatchKind[]>([
  [nodeCreated, ['data', 'exist']],
  [dataChanged, ['data', 'exist']],
  [nodeDeleted, ['data', 'exist', 'child']],
  [childrenChanged, ['child']],
]);

export class Watches {
  readonly #listeners: Record<WatchKind, Map<string, Set<WatchListener>>> = {
    data: new Map(),
    exist: new Map(),
    child: new Map(),
  };

  add(kind: WatchKind, path: string, listener: WatchListener): void {
    const listeners = this.#listeners[kind];
    const atPath = listeners.get(path);
    if (atPath === undefined) listeners.set(path, new Set([listener]));
    else atPath.add(listener);
  }

  /** Takes out and returns the listeners that the server's event concerns; each is called once. */
  take(eventType: number, path: string): WatchListener[] {
    const taken: WatchListener[] = [];
    for (const kind of kindsOfEvent.get(eventType) ?? []) {
      taken.push(...(this.#listeners[kind].get(path) ?? []));
      this.#listeners[kind].delete(path);
    }
    return taken;
  }

  /** Whether `listener` waited for this node's data, or its coming to be, and nobody else does. */
  remove(path: string, listener: WatchListener): boolean {
    let [hasWaited, others] = [false, 0];
    for (const kind of ['data', 'exist'] as const) {
      const atPath = this.#listeners[kind].get(path);
      if (atPath?.delete(listener)) hasWaited = true;
      if (atPath?.size === 0) this.#listeners[kind].delete(path);
      others += atPath?.size ?? 0;
    }
    return hasWaited && others === 0;
  }

  takeAll(): WatchListener[] {
    const taken: WatchListener[] = [];
    for (const listeners of Object.values(this.#listeners)) {
      for (const atPath of listeners.values()) taken.push(...atPath);
      listeners.clear();
    }
    return taken;
  }

  /** The requests that set all of them again after a reconnect, for changes since `zxid`. */
  encode(zxid: Buffer): Encoded[] {
    const pieces: Encoded[] = [];
    let piece: Record<WatchKind, string[]> = { data: [], exist: [], child: [] };
    let bytes = 0;
    const flush = (): void => {
      if (bytes > 0) pieces.push(encodeSetWatches(zxid, piece));
      piece = { data: [], exist: [], child: [] };
      bytes = 0;
    };
    for (const kind of ['data', 'exist', 'child'] as const) {
      for (const path of this.#listeners[kind].keys()) {
        const pathBytes = 4 + Buffer.byteLength(path);
        if (bytes + pathBytes > setWatchesBytesMax) flush();
        piece[kind].push(path);
        bytes += pathBytes;
      }
    }
    flush();
    return pieces;
  }
}
