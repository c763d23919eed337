// generation.ts: whether the ensemble still holds the data this process knows (P11). Owns /generation and the newest zxid
// seen. A tree that was wiped has another generation; one restored from a backup has the same generation and an older
// zxid. Either stops this process's writes until an operator confirms the restore.
//
//   unproven --(new session: sync, read, compare)--> proven --(other generation, or zxid went back)--> halted
//   halted --(an operator's generation accepts the one we hold)--> unproven, in a new session
//
// A version is compared in the session in which it was read, and no session is of two generations: with the one that an
// operator confirms begins another, so that nothing read before the restore is written upon.

import { ClaimkeeperError } from '../domain/index.js';
import { Emitter, type Runtime, type Unsubscribe } from '../runtime/index.js';
import type { Session, SessionId, WriteOp, Znode } from './port.js';

const generationPath = '/generation';
const retryMs = 500;

/** `accepts`: the generations whose holders an operator allows to go on with this one. */
type GenerationData = { readonly id: string; readonly accepts: readonly string[] };

type GenerationEvents = {
  halted: { readonly held: string; readonly found: string | null; readonly why: string };
  proven: { readonly id: string };
};

export class Generation {
  readonly #session: Session;
  readonly #runtime: Runtime;
  readonly #events = new Emitter<GenerationEvents>();
  #held: { id: string; version: number; zxidSeen: bigint } | null = null;
  #provenIn: SessionId | null = null;
  #halted = false;
  #proving: Promise<void> | null = null;
  readonly #unsubscribe: Unsubscribe;
  /** One listener, so that the proofs of many reconnects do not pile up as watches. */
  readonly #onChange = (): void => void this.prove();

  constructor(session: Session, runtime: Runtime) {
    this.#session = session;
    this.#runtime = runtime;
    this.#unsubscribe = session.on('state', ({ state }) => {
      if (state === 'connected') void this.prove();
    });
  }

  get id(): string | null {
    return this.#held?.id ?? null;
  }

  get halted(): boolean {
    return this.#halted;
  }

  on<Kind extends keyof GenerationEvents>(
    kind: Kind,
    listener: (event: GenerationEvents[Kind]) => void,
  ): Unsubscribe {
    return this.#events.on(kind, listener);
  }

  /** The operation that heads every multi; null while nothing may be written: unproven in this session, or halted. */
  guard(): WriteOp | null {
    if (this.#halted || this.#held === null || this.#provenIn !== this.#session.sessionId) return null;
    return { kind: 'check', path: generationPath, version: this.#held.version };
  }

  /** The zxid of an answer: the ensemble may not be older later. */
  saw(zxid: bigint): void {
    if (this.#held !== null && zxid > this.#held.zxidSeen) this.#held.zxidSeen = zxid;
  }

  /** Compares the ensemble with what is held; resolves when done, also when it could not be read (it is tried again). */
  async prove(): Promise<void> {
    this.#proving ??= this.#proveNow().finally(() => {
      this.#proving = null;
    });
    return this.#proving;
  }

  close(): void {
    this.#unsubscribe();
  }

  async #proveNow(): Promise<void> {
    const session = this.#session.sessionId;
    const seenBefore = this.#held?.zxidSeen ?? 0n; // Writes answered from here on may be newer than the sync.
    try {
      const zxid = await this.#session.sync();
      const node = (await this.#session.read(generationPath, this.#onChange)) ?? (await this.#createIfNew());
      if (this.#session.sessionId !== session) return await this.#proveNow(); // A new session meanwhile: it is to be proven.
      this.#compare(node, { zxid, seenBefore }, session);
    } catch (error) {
      this.#runtime.log.warn({ err: error }, 'the generation could not be read; trying again');
      this.#runtime.clock.after(retryMs, () => {
        // Also in a session that was proven: whoever waits for `proven` since its reconnect waits for this one.
        if (this.#session.state === 'connected') void this.prove();
      });
    }
  }

  #compare(
    node: Znode | null,
    { zxid, seenBefore }: { readonly zxid: bigint; readonly seenBefore: bigint },
    session: SessionId | null,
  ): void {
    const held = this.#held;
    if (node === null) return held === null ? undefined : this.#halt(null, 'the ensemble was wiped');
    const data = decodeGeneration(node.data);
    const accepted = held !== null && data.id !== held.id && data.accepts.includes(held.id);
    if (held !== null && !accepted) {
      if (data.id !== held.id) return this.#halt(data.id, 'the ensemble holds another generation');
      if (zxid < seenBefore) return this.#halt(data.id, 'the ensemble went back to an older state');
    }
    const zxidSeen = held === null || accepted || zxid > held.zxidSeen ? zxid : held.zxidSeen;
    this.#held = { id: data.id, version: node.stat.version, zxidSeen };
    this.#halted = false;
    if (accepted) {
      this.#provenIn = null;
      this.#session.abandon(`generation ${data.id} takes the place of ${held.id}`);
      return;
    }
    this.#provenIn = session;
    this.#events.emit('proven', { id: data.id });
  }

  /** Only a process that holds no generation makes one: to any other a missing node means that the tree was wiped. */
  async #createIfNew(): Promise<Znode | null> {
    if (this.#held !== null) return null;
    const data = encodeGeneration({ id: this.#runtime.random.uuid(), accepts: [] });
    await this.#session.write([{ kind: 'create', path: generationPath, data, mode: 'persistent' }]);
    return this.#session.read(generationPath, this.#onChange);
  }

  #halt(found: string | null, why: string): void {
    if (this.#halted || this.#held === null) return;
    this.#halted = true;
    const held = this.#held.id;
    this.#runtime.log.error(
      { code: 'GENERATION_CHANGED', held, found, why },
      'stopped: confirm the restore to go on',
    );
    this.#events.emit('halted', { held, found, why });
  }
}

/**
 * The operator's word that the ensemble's data, as it is now, is to be gone on with: a new generation that accepts the one
 * found and `held`, the one that stopped processes named in their logs.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`
 */
export async function confirmRestore(
  session: Session,
  held: readonly string[],
  runtime: Runtime,
): Promise<string> {
  await session.sync();
  const node = await session.read(generationPath);
  const found = node === null ? [] : [decodeGeneration(node.data).id];
  const next = { id: runtime.random.uuid(), accepts: [...new Set([...found, ...held])] };
  const data = encodeGeneration(next);
  const outcome = await session.write([
    node === null
      ? { kind: 'create', path: generationPath, data, mode: 'persistent' }
      : { kind: 'set', path: generationPath, data, version: node.stat.version },
  ]);
  if (outcome.kind === 'applied') return next.id;
  throw new ClaimkeeperError(
    outcome.kind === 'unknown' ? 'OUTCOME_UNKNOWN' : 'ZOOKEEPER_UNAVAILABLE',
    `the generation was not confirmed (${outcome.kind}): look at ${generationPath} and try again`,
  );
}

function encodeGeneration(data: GenerationData): Buffer {
  return Buffer.from(JSON.stringify(data));
}

function decodeGeneration(data: Buffer): GenerationData {
  return JSON.parse(data.toString()) as GenerationData;
}
