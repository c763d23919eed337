// key-ring.ts: all API keys in the memory of a process that checks them, so that no request waits for ZooKeeper. It follows
// their list: a key that was revoked is gone as soon as ZooKeeper says so. While ZooKeeper is away, those last known count.

import { type Watch, watchChildren } from './coordination/index.js';
import { type ApiKey, ClaimkeeperError, type KeyId } from './domain/index.js';
import { readKeys } from './keys.js';
import { keysPath, type LedgerContext } from './ledger/index.js';
import { type Service, within } from './runtime/index.js';

export class KeyRing implements Service {
  readonly #ctx: Pick<LedgerContext, 'session' | 'runtime'>;
  readonly #readMsMax: number;
  #keys: ReadonlyMap<string, ApiKey> = new Map();
  #watch: Watch | null = null;

  /** `readMsMax`: how long the first reading may take. */
  constructor(ctx: Pick<LedgerContext, 'session' | 'runtime'>, readMsMax: number) {
    this.#ctx = ctx;
    this.#readMsMax = readMsMax;
  }

  /** Resolves once the keys are known. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
  async start(): Promise<void> {
    const { session, runtime } = this.#ctx;
    const known = new Promise<void>((resolve) => {
      const follow = async (ids: readonly string[]): Promise<void> => {
        await this.#follow(ids);
        resolve();
      };
      this.#watch = watchChildren(session, keysPath, follow, runtime);
    });
    if ((await within(runtime.clock, this.#readMsMax, known)) !== null) return;
    throw new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', 'the API keys could not be read in time');
  }

  async stop(): Promise<void> {
    await this.#watch?.stop();
  }

  get size(): number {
    return this.#keys.size;
  }

  find(id: KeyId): ApiKey | null {
    return this.#keys.get(id) ?? null;
  }

  /** A key never changes: only those that are new are read. Those that are gone go first, whatever the reading brings. */
  async #follow(ids: readonly string[]): Promise<void> {
    const kept = new Map([...this.#keys].filter(([id]) => ids.includes(id)));
    this.#keys = kept;
    const fresh = await readKeys(
      this.#ctx,
      ids.filter((id) => !kept.has(id)),
    );
    this.#keys = new Map([...kept, ...fresh.map((key): [string, ApiKey] => [key.id, key])]);
  }
}
