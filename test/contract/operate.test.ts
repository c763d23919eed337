// operate.test.ts: an operator's order counts once, also when its reply is lost and others are quicker than the reading back.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Session } from '../../src/coordination/index.js';
import { type Nonce, resolvePolicy, type TaskId, type WorkerId } from '../../src/domain/index.js';
import { cancel, move, readHeld, replay, resolve } from '../../src/ledger/index.js';
import { join, type Party, recordOf, signalled, submit, withMethods } from '../support/crew.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';

const until = { deadlineMs: 10_000 };

describe('an order whose reply was lost', () => {
  let world: World;
  let other: Party;
  beforeAll(async () => {
    world = await memoryWorld();
    other = await join(world, () => undefined);
  });
  afterAll(() => world.close());

  async function runs(id: TaskId, how: 'fails' | 'hangs'): Promise<void> {
    const claim = { worker: 'w' as WorkerId, nonce: world.runtime.random.nonce() };
    const at = world.runtime.clock.now();
    const nonce = claim.nonce as Nonce;
    const policy = resolvePolicy(null, null);
    await move(other.ctx, id, { kind: 'claimed', at, nonce, claim, policy }, { until });
    if (how === 'hangs') return;
    const error = { code: 'HANDLER_REFUSED', message: 'on purpose' };
    await move(other.ctx, id, { kind: 'attemptFailed', at, nonce, error, retryAt: null }, { until });
  }

  /** An operator whose next write applies without a word, and who reads it back only once `meanwhile` has happened. */
  async function operator(meanwhile: () => Promise<void>): Promise<Party> {
    const over = signalled();
    let sent = false;
    const patient = (session: Session): Session =>
      withMethods(session, {
        async read(path, watcher) {
          if (sent) await over.promise;
          return session.read(path, watcher);
        },
      });
    const party = await join(world, () => undefined, patient);
    party.commits.failNext('replyLost', () => true);
    party.commits.onOutcome = () => {
      sent = true;
      void meanwhile().then(() => over.resolve());
    };
    return party;
  }

  test('to replay: is not given again when the task has run and failed meanwhile', async () => {
    const id = await submit(other, 'work');
    await runs(id, 'fails');
    const { ctx } = await operator(() => runs(id, 'fails'));
    await expect(replay(ctx, id, until)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(await recordOf(other, id)).toMatchObject({ state: 'failed', attempt: 2, replays: 1 });
  });

  test('to cancel: is not called refused for what it has done itself', async () => {
    const id = await submit(other, 'work');
    await runs(id, 'hangs');
    const { record } = (await readHeld(other.ctx, id)) ?? {};
    const error = { code: 'ATTEMPT_CANCELLED', message: 'cancelled' };
    const { ctx } = await operator(async () => {
      const event = { kind: 'attemptFailed', at: world.runtime.clock.now(), error, retryAt: null } as const;
      await move(other.ctx, id, { ...event, nonce: record?.nonce as Nonce }, { until });
    });
    await expect(cancel(ctx, id, until)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(await recordOf(other, id)).toMatchObject({ state: 'cancelled' });
  });

  test('is known to have been obeyed when nobody was quicker', async () => {
    const id = await submit(other, 'work');
    await runs(id, 'fails');
    const { ctx } = await operator(async () => undefined);
    expect(await replay(ctx, id, until)).toMatchObject({ state: 'waiting', replays: 1 });
    await expect(resolve(ctx, id, 'completed', '', until)).rejects.toMatchObject({ code: 'MOVE_REFUSED' });
  });
});
