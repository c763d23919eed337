// server.ts: one server of the memory twin's ensemble: its copy of the tree, and the watches that were set on it. The leader
// applies a transaction at once; a follower learns of it late, in order, and is what makes a read stale.

import type { Clock } from '../../runtime/index.js';
import type { Znode } from '../port.js';
import { type LatencyMs, Pipe } from './link.js';
import type { Watch } from './session.js';
import { type TreeSnapshot, type WatchKey, ZnodeTree } from './tree.js';

/** Applies a transaction to a copy of the tree; returns the watches that fire. The same on every copy. */
export type Transaction = (tree: ZnodeTree) => readonly WatchKey[];

export class Server {
  readonly tree = new ZnodeTree();
  readonly #fire: (watch: Watch) => void;
  readonly #watches = new Map<WatchKey, Set<Watch>>();

  constructor(fire: (watch: Watch) => void) {
    this.#fire = fire;
  }

  get zxid(): bigint {
    return this.tree.zxid;
  }

  apply(transaction: Transaction): void {
    for (const key of transaction(this.tree)) {
      const waiting = this.#watches.get(key);
      if (waiting === undefined) continue;
      this.#watches.delete(key);
      for (const watch of waiting) this.#fire(watch);
    }
  }

  read(path: string, watch: Watch | null): Znode | null {
    if (watch !== null) this.register(watch);
    return this.tree.read(path);
  }

  children(path: string, watch: Watch | null): string[] | null {
    const names = this.tree.children(path);
    if (names !== null && watch !== null) this.register(watch);
    return names;
  }

  register(watch: Watch): void {
    const waiting = this.#watches.get(watch.key);
    if (waiting === undefined) this.#watches.set(watch.key, new Set([watch]));
    else waiting.add(watch);
  }

  forget(watch: Watch): void {
    const waiting = this.#watches.get(watch.key);
    waiting?.delete(watch);
    if (waiting?.size === 0) this.#watches.delete(watch.key);
  }

  restore(snapshot: TreeSnapshot): void {
    this.#watches.clear();
    this.tree.restore(snapshot);
  }
}

export class Follower extends Server {
  readonly #clock: Clock;
  readonly #lagMs: LatencyMs;
  #log: Pipe;

  constructor(clock: Clock, lagMs: LatencyMs, fire: (watch: Watch) => void) {
    super(fire);
    this.#clock = clock;
    this.#lagMs = lagMs;
    this.#log = new Pipe(clock, lagMs);
  }

  follow(transaction: Transaction): void {
    this.#log.send(() => this.apply(transaction));
  }

  /** All that the leader has: before it answers a write or a sync of its own. */
  catchUp(): void {
    this.#log.hasten();
  }

  override restore(snapshot: TreeSnapshot): void {
    this.#log.cut();
    this.#log = new Pipe(this.#clock, this.#lagMs);
    super.restore(snapshot);
  }
}
