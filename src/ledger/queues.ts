// queues.ts: what operators have said of queues, in /config/queues. Owns how a pause is written and read; who keeps to it is the
// workers. A queue that nobody has said anything of is not paused.

import type { EpochMs, Name } from '../domain/index.js';
import type { LedgerContext } from './context.js';
import { again, drive, type Until } from './drive.js';
import { queuePath, queuesPath } from './paths.js';
import { refuseHalted, unavailable } from './unavailable.js';

/** `since`: when it was last paused or resumed; null: never. */
export type QueueSetting = { readonly paused: boolean; readonly since: EpochMs | null };

const untouched: QueueSetting = { paused: false, since: null };

export function decodeQueueSetting(data: Buffer): QueueSetting {
  const { paused, since } = JSON.parse(data.toString()) as Partial<QueueSetting>;
  return { paused: paused === true, since: since ?? null };
}

/**
 * Pauses a queue or lets it go on; as it is already, nothing is written.
 * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED`
 */
export async function setPaused(
  ctx: LedgerContext,
  queue: Name,
  paused: boolean,
  until: Until,
): Promise<QueueSetting> {
  const [what, verb] = [`the queue ${queue}`, paused ? 'paused' : 'resumed'];
  refuseHalted(ctx, what, verb);
  const path = queuePath(queue);
  const since = ctx.runtime.clock.now();
  const data = Buffer.from(JSON.stringify({ paused, since }));
  let sent = false;
  const outcome = await drive<QueueSetting>(ctx.runtime, until, async () => {
    const session = ctx.session.sessionId;
    await ctx.session.sync(); // That nothing is to be done is not said upon the word of a server that may lag behind.
    const node = await ctx.session.read(path);
    const now = node === null ? untouched : decodeQueueSetting(node.data);
    if (now.paused === paused) return now;
    const written = await ctx.commits.commit(
      [
        node === null
          ? { kind: 'create', path, data, mode: 'persistent' }
          : { kind: 'set', path, data, version: node.stat.version },
      ],
      { lane: 'write', session },
    );
    if (written.kind === 'applied') return { paused, since };
    if (written.kind === 'unknown') sent = true;
    return again;
  });
  if (outcome !== null) return outcome;
  throw unavailable(what, verb, { halted: ctx.commits.halted, sent });
}

/** Of every queue that something was said of. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
export async function queueSettings(ctx: LedgerContext): Promise<Map<Name, QueueSetting>> {
  const names = ((await ctx.session.children(queuesPath)) ?? []) as Name[];
  const nodes = await ctx.session.readAll(names.map(queuePath));
  const found = new Map<Name, QueueSetting>();
  for (const [i, name] of names.entries()) {
    const node = nodes[i] ?? null;
    if (node !== null) found.set(name, decodeQueueSetting(node.data));
  }
  return found;
}
