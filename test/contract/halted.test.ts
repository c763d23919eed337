// halted.test.ts: what is said to those who write while a restore waits to be confirmed (P11): at once, and without the advice
// to try again. A key that must go goes all the same.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClaimkeeperError, Name, ScheduleInput, TaskId } from '../../src/domain/index.js';
import { Keys } from '../../src/keys.js';
import { accept, cancel, replay, resolve, setPaused, unavailable } from '../../src/ledger/index.js';
import { Schedules } from '../../src/schedules.js';
import { join, type Party, submit, withMethods } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';

/** Beyond what a test may take: whoever drives a write until then fails it. */
const until = { deadlineMs: 120_000 };
const report: ScheduleInput = { id: 'report', cron: '0 6 * * *', task: { type: 'job' } };

describe('while a restore waits to be confirmed', () => {
  let world: World;
  let desk: Party;
  let id: TaskId;
  let keyIds: string[];

  beforeAll(async () => {
    world = await memoryWorld();
    desk = await join(world, () => undefined);
    id = await submit(desk, 'job');
    const schedules = new Schedules(desk.ctx, until, async () => undefined);
    await schedules.create(report);
    const keys = new Keys(desk.ctx, until);
    const made = [1, 2].map((n) => keys.create({ name: `k${n}`, scopes: ['read'] }));
    keyIds = (await Promise.all(made)).map((key) => key.id);
    const data = Buffer.from(JSON.stringify({ id: 'of another time', accepts: [] }));
    await desk.ctx.session.write([{ kind: 'set', path: '/generation', data, version: null }]);
    await eventually(() => expect(desk.generation.halted).toBe(true), { what: 'it is halted' });
  });
  afterAll(() => world.close());

  function schedules(): Schedules<unknown> {
    const run = (task: Parameters<typeof accept>[1]): Promise<unknown> => accept(desk.ctx, task, until);
    return new Schedules(desk.ctx, until, run);
  }

  test.each<[string, () => Promise<unknown>]>([
    ['was not replayed', () => replay(desk.ctx, id, until)],
    ['was not cancelled', () => cancel(desk.ctx, id, until)],
    ['was not resolved', () => resolve(desk.ctx, id, 'failed', 'so', until)],
    ['the queue mail was not paused', () => setPaused(desk.ctx, 'mail' as Name, true, until)],
    ['the queue mail was not resumed', () => setPaused(desk.ctx, 'mail' as Name, false, until)],
    ['schedule report was not created', () => schedules().create(report)],
    ['schedule report was not changed', () => schedules().pause('report')],
    ['schedule report was not removed', () => schedules().remove('report')],
    ['API key', () => new Keys(desk.ctx, until).create({ name: 'k', scopes: ['read'] })],
  ])('%s: it is refused at once', async (what, write) => {
    const error = (await write().catch((thrown: unknown) => thrown)) as ClaimkeeperError;
    expect(error).toMatchObject({ code: 'GENERATION_CHANGED', retryable: false });
    expect(error.message).toContain(what);
    expect(error.message).toContain('an operator must confirm the restore');
  });

  test('a key is revoked all the same', async () => {
    const keys = new Keys(desk.ctx, until);
    await keys.revoke(keyIds[0] ?? '');
    expect((await keys.list()).map((key) => key.id)).toEqual([keyIds[1]]);
  });

  test.each([
    ['unknown', 'OUTCOME_UNKNOWN', 'may have been revoked'],
    ['notSent', 'ZOOKEEPER_UNAVAILABLE', 'was not revoked'],
  ] as const)('a revocation that was %s is not blamed on the restore', async (kind, code, said) => {
    const session = withMethods(desk.ctx.session, { write: async () => ({ kind, why: 'a fault' }) });
    const revoked = new Keys({ ...desk.ctx, session }, { deadlineMs: 50 }).revoke(keyIds[1] ?? '');
    await expect(revoked).rejects.toMatchObject({ code, message: expect.stringContaining(said) });
  });
});

test.each([
  [true, true, 'GENERATION_CHANGED', 'may have been'],
  [true, false, 'GENERATION_CHANGED', 'was not'],
  [false, true, 'OUTCOME_UNKNOWN', 'may have been'],
  [false, false, 'ZOOKEEPER_UNAVAILABLE', 'was not'],
] as const)('halted: %s, sent: %s is %s, and the task %s accepted', (halted, sent, code, fate) => {
  const error = unavailable('task a', 'accepted', { halted, sent });
  expect(error).toMatchObject({ code });
  expect(error.message).toMatch(new RegExp(`^task a ${fate} accepted: `));
});
