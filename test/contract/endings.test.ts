// endings.test.ts: waiting for tasks to end, on the memory twin and on real ZooKeeper: one watch per task however many wait,
// none once it has ended, and an end is noticed whatever becomes of the connection.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Session } from '../../src/coordination/index.js';
import { ClaimkeeperError, type EpochMs, parseSubmission, type TaskId } from '../../src/domain/index.js';
import { accept, cancel, Endings } from '../../src/ledger/index.js';
import { join, type Party, withMethods } from '../support/crew.js';
import { memoryWorld } from '../support/memory-world.js';
import type { World } from '../support/world.js';
import { zookeeperWorld } from '../support/zookeeper-world.js';

const until = { deadlineMs: 10_000 };
const never = new AbortController().signal;

describe.each([
  ['the memory twin', memoryWorld],
  ['ZooKeeper', zookeeperWorld],
])('endings on %s', (_name, makeWorld) => {
  let world: World;
  let party: Party;
  let other: Party;
  let endings: Endings;
  /** Set, and not taken back. */
  let watched = 0;
  let onWatched: () => void;
  let failing = false;
  let serial = 0;

  beforeAll(async () => {
    world = await makeWorld();
    const counting = (session: Session): Session =>
      withMethods(session, {
        read: async (path, watcher) => {
          if (failing) throw new ClaimkeeperError('ZOOKEEPER_UNAVAILABLE', 'a fault');
          const node = await session.read(path, watcher);
          if (watcher !== undefined && path.startsWith('/tasks/')) {
            watched += 1;
            onWatched();
          }
          return node;
        },
        unwatch: (path, watcher) => {
          watched -= 1;
          session.unwatch(path, watcher);
        },
      });
    party = await join(world, () => undefined, counting);
    other = await join(world, () => undefined);
    endings = new Endings(party.ctx);
  });
  afterAll(() => world.close());

  const isWatched = (): Promise<void> =>
    new Promise((resolve) => {
      onWatched = resolve;
    });

  async function task(): Promise<TaskId> {
    serial += 1;
    const submission = parseSubmission({ id: `e${serial}`, type: 't' }, 0 as EpochMs);
    await accept(other.ctx, submission, until);
    await party.ctx.session.sync();
    watched = 0;
    onWatched = () => undefined;
    return submission.id;
  }

  test('a task that another process ends wakes all who wait for it, by one watch', async () => {
    const id = await task();
    const set = isWatched();
    const waits = Array.from({ length: 50 }, () => endings.until(id, new AbortController().signal));
    await set;
    await cancel(other.ctx, id, until);
    await Promise.all(waits);
    expect(watched).toBe(1);
  });

  test('one that has ended, or is not there, is not waited for', async () => {
    const id = await task();
    await cancel(party.ctx, id, until);
    await endings.until(id, never);
    expect(watched).toBe(0);
    await endings.until('none' as TaskId, never);
  });

  test('only tasks that are waited for count: any number may be waited for one after the other', async () => {
    const few = new Endings(party.ctx, 2);
    for (let n = 0; n < 5; n += 1) {
      const id = await task();
      const set = isWatched();
      const waiting = few.until(id, never);
      await set;
      await cancel(other.ctx, id, until);
      await waiting;
    }
    const open = [await task(), await task(), await task()] as const;
    const waiting = [few.until(open[0], never), few.until(open[1], never)];
    await expect(few.until(open[2], never)).rejects.toMatchObject({ code: 'WAITS_EXHAUSTED' });
    for (const id of open) await cancel(other.ctx, id, until);
    await Promise.all(waiting);
  });

  test('who waits when the connection is closed is told so', async () => {
    const closing = new Endings(party.ctx);
    const id = await task();
    const set = isWatched();
    const waiting = closing.until(id, never);
    await set;
    closing.close();
    await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(closing.until(id, never)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('who gives up is let go at once, and those who come after set no other watch', async () => {
    const id = await task();
    const set = isWatched();
    for (let i = 0; i < 20; i += 1) {
      const giveUp = new AbortController();
      const waiting = endings.until(id, giveUp.signal);
      await party.ctx.session.sync();
      giveUp.abort();
      await waiting;
    }
    await set;
    const last = endings.until(id, never);
    await cancel(other.ctx, id, until);
    await last;
    expect(watched).toBe(1);
  });

  test('an end is noticed over a broken connection', async () => {
    const id = await task();
    const set = isWatched();
    const waiting = endings.until(id, never);
    await set;
    party.peer.interrupt();
    await cancel(other.ctx, id, until);
    await waiting;
  });

  test('where ZooKeeper does not answer, that is said, and the next one asks anew', async () => {
    const id = await task();
    failing = true;
    await expect(endings.until(id, never)).rejects.toMatchObject({ code: 'ZOOKEEPER_UNAVAILABLE' });
    failing = false;
    const waiting = endings.until(id, never);
    await cancel(other.ctx, id, until);
    await waiting;
  });
});
