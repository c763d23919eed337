// keys.ts: API keys as a program sees them: made, listed, revoked. Owns how they are kept: a znode each, written once and
// deleted when it is revoked. What a key is is domain/key.ts; those who check keys hold them in memory (key-ring.ts).

import type { WriteOutcome } from './coordination/index.js';
import {
  type ApiKey,
  ClaimkeeperError,
  decodeKey,
  type EpochMs,
  encodeKey,
  hashOfSecret,
  type KeyInput,
  type KeyScope,
  keyText,
  limits,
  newKey,
  parseKeyId,
  parseKeyInput,
} from './domain/index.js';
import {
  again,
  drive,
  keyPath,
  keysPath,
  type LedgerContext,
  refuseHalted,
  type Until,
  unavailable,
} from './ledger/index.js';

/** What may be shown of a key. Times are in ms since 1970. */
export type KeyView = {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly KeyScope[];
  readonly queues: readonly string[];
  readonly createdAt: EpochMs;
  /** Null: it does not expire. */
  readonly expiresAt: EpochMs | null;
};

/** `key` is what its holder presents. It is not kept, and cannot be shown again. */
export type CreatedKey = KeyView & { readonly key: string };

export class Keys {
  readonly #ctx: LedgerContext;
  readonly #until: Until;

  constructor(ctx: LedgerContext, until: Until) {
    this.#ctx = ctx;
    this.#until = until;
  }

  /**
   * Makes a key. After `OUTCOME_UNKNOWN` there may be one that nobody holds: {@link list} shows it, revoke it.
   * @throws ClaimkeeperError `KEY_INPUT_INVALID`, `KEY_LIMIT`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED`
   */
  async create(input: KeyInput): Promise<CreatedKey> {
    const { clock, random } = this.#ctx.runtime;
    const createdAt = clock.now();
    const content = parseKeyInput(input, createdAt);
    const { id, secret } = newKey(() => random.nonce());
    await this.#refuseWhenFull();
    const key: ApiKey = { id, ...content, hash: hashOfSecret(secret), createdAt };
    await this.#write(key);
    return { ...viewOf(key), key: keyText(id, secret) };
  }

  /** All that this version can read, the oldest first. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
  async list(): Promise<readonly KeyView[]> {
    await this.#ctx.session.sync();
    const ids = (await this.#ctx.session.children(keysPath)) ?? [];
    const keys = await readKeys(this.#ctx, ids);
    return keys.map(viewOf).sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  }

  /**
   * Ends a key for good: processes that serve the API refuse it as soon as ZooKeeper tells them, within a second.
   * @throws ClaimkeeperError `KEY_INPUT_INVALID`, `KEY_NOT_FOUND`, `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`
   */
  async revoke(id: string): Promise<void> {
    const keyId = parseKeyId(id);
    let sent = false;
    const outcome = await drive<'gone' | 'missing'>(this.#ctx.runtime, this.#until, async () => {
      // Not by group commit: a key that must go is to go also where the generation has changed.
      const written = await this.#ctx.session.write([
        { kind: 'delete', path: keyPath(keyId), version: null },
      ]);
      if (written.kind === 'applied') return 'gone';
      if (written.kind === 'refused' && written.code === 'NO_NODE') return sent ? 'gone' : 'missing';
      if (written.kind === 'unknown') sent = true;
      return again;
    });
    if (outcome === 'missing') {
      throw new ClaimkeeperError('KEY_NOT_FOUND', `there is no API key ${keyId}`, { field: 'id' });
    }
    if (outcome === null) throw unavailable(`API key ${keyId}`, 'revoked', { halted: false, sent });
  }

  async #refuseWhenFull(): Promise<void> {
    const there = await this.#ctx.session.read(keysPath);
    if ((there?.stat.numChildren ?? 0) < limits.keysMax) return;
    throw new ClaimkeeperError('KEY_LIMIT', `there are ${limits.keysMax} API keys: revoke some`);
  }

  async #write(key: ApiKey): Promise<void> {
    const what = `API key ${key.id}`;
    refuseHalted(this.#ctx, what, 'made');
    const path = keyPath(key.id);
    let sent = false;
    const outcome = await drive<'made'>(this.#ctx.runtime, this.#until, async () => {
      const written = await this.#ctx.commits.commit(
        [{ kind: 'create', path, data: encodeKey(key), mode: 'persistent' }],
        { lane: 'write' },
      );
      // The id is of 64 random bits: what stands there is what was sent before its reply was lost (P3).
      if (written.kind === 'applied' || (sent && isThere(written))) return 'made';
      if (written.kind === 'unknown') sent = true;
      return again;
    });
    if (outcome === null) throw unavailable(what, 'made', { halted: this.#ctx.commits.halted, sent });
  }
}

/** Those of them that are there and can be read by this version; others are logged and count for nothing. */
export async function readKeys(
  { session, runtime }: Pick<LedgerContext, 'session' | 'runtime'>,
  ids: readonly string[],
): Promise<ApiKey[]> {
  const nodes = await session.readAll(ids.map((id) => `${keysPath}/${id}`));
  return ids.flatMap((id, i) => {
    const node = nodes[i] ?? null;
    if (node === null) return [];
    const key = decodeKey(id, node.data);
    if (key === null) runtime.log.error({ key: id }, 'an API key cannot be read: it lets nobody in');
    return key === null ? [] : [key];
  });
}

function isThere(written: WriteOutcome): boolean {
  return written.kind === 'refused' && written.code === 'NODE_EXISTS';
}

function viewOf({ id, name, scopes, queues, createdAt, expiresAt }: ApiKey): KeyView {
  return { id, name, scopes, queues, createdAt, expiresAt };
}
