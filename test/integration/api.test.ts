// api.test.ts: the HTTP API over the real ledger, with a real worker process behind it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, createApi, type TaskView } from '../../src/http/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { type Fleet, startFleet } from '../support/fleet.js';
import { openToAll } from '../support/open-to-all.js';
import { checkEveryAnswer } from '../support/openapi-answers.js';

checkEveryAnswer();

describe('the API', () => {
  let fleet: Fleet;
  let api: Api;
  let url: string;

  beforeAll(async () => {
    fleet = await startFleet({ requestMsMax: 2_000 });
    const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
    api = createApi({ ...openToAll, tasks: fleet.keeper, runtime });
    url = await api.listen({ host: '127.0.0.1', port: 0 });
    await fleet.startWorker();
  });
  afterAll(async () => {
    await api.close();
    await fleet.close();
  });

  const post = (path: string, body: unknown): Promise<Response> =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  test('the same id submitted 1 000 times at once is one task, run once, and every answer says the same id', async () => {
    const task = { id: 'once:only', type: 'effect', payload: { amount: 12 } };
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => post('/v1/tasks', task)));
    const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as { id: string }[];
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(999);
    expect(new Set(bodies.map(({ id }) => id))).toEqual(new Set(['once:only']));
    await fleet.settled(['once:only']);
    expect(fleet.witness.of('once:only')).toHaveLength(1);
    const conflict = await post('/v1/tasks', { ...task, payload: { amount: 13 } });
    expect([conflict.status, await conflict.json()]).toMatchObject([409, { code: 'TASK_CONFLICT' }]);
  }, 60_000);

  test('shows the attempts of a task, and replays one that failed', async () => {
    const task = { id: 'flaky-1', type: 'flaky', payload: { failures: 1 }, retry: { attempts: 1 } };
    expect((await post('/v1/tasks', task)).status).toBe(201);
    await fleet.settled(['flaky-1'], ['failed']);
    const view = (await (await fetch(`${url}/v1/tasks/flaky-1`)).json()) as TaskView;
    expect(view).toMatchObject({
      state: 'failed',
      attempts: [{ n: 1, outcome: 'failed', error: { code: 'HANDLER_FAILED' } }],
    });
    const replayed = await post('/v1/tasks/flaky-1/replay', undefined);
    expect([replayed.status, await replayed.json()]).toMatchObject([200, { attempt: 2, replays: 1 }]);
    await fleet.settled(['flaky-1']);
    expect((await post('/v1/tasks/flaky-1/replay', undefined)).status).toBe(409);
    expect((await fetch(`${url}/v1/tasks/no-such-task`)).status).toBe(404);
  }, 60_000);

  test('shows how far a running task says it is', async () => {
    fleet.witness.hold('showing');
    expect((await post('/v1/tasks', { id: 'showing', type: 'effect', payload: 'half' })).status).toBe(201);
    const view = async (): Promise<TaskView> =>
      (await fetch(`${url}/v1/tasks/showing`)).json() as Promise<TaskView>;
    await eventually(
      async () => expect(await view()).toMatchObject({ state: 'running', progress: { doing: 'half' } }),
      {
        what: 'its progress is shown',
      },
    );
    fleet.witness.release('showing');
    await fleet.settled(['showing']);
    expect(await view()).toMatchObject({ state: 'completed', progress: null });
  }, 60_000);

  test('a request that waits for a task is answered when a worker in another process has ended it', async () => {
    fleet.witness.hold('awaited');
    expect((await post('/v1/tasks', { id: 'awaited', type: 'effect' })).status).toBe(201);
    let answered = false;
    const waiting = fetch(`${url}/v1/tasks/awaited?wait=30`).then(async (response) => {
      answered = true;
      return (await response.json()) as TaskView;
    });
    const state = async (): Promise<string> =>
      ((await (await fetch(`${url}/v1/tasks/awaited`)).json()) as TaskView).state;
    await eventually(async () => expect(await state()).toBe('running'), { what: 'it runs' });
    expect(answered).toBe(false);
    fleet.witness.release('awaited');
    expect(await waiting).toMatchObject({ id: 'awaited', state: 'completed' });
  }, 60_000);

  test('a schedule is made, run and removed; the fleet is shown with its worker', async () => {
    const schedule = { id: 'yearly', cron: '0 0 1 1 *', task: { type: 'effect', payload: 1 } };
    expect((await post('/v1/schedules', schedule)).status).toBe(201);
    const run = await post('/v1/schedules/yearly/run', { key: 'now' });
    expect([run.status, run.headers.get('location')]).toEqual([201, '/v1/tasks/yearly@run-now']);
    await fleet.settled(['yearly@run-now']);
    const list = await (await fetch(`${url}/v1/schedules`)).json();
    expect(list).toMatchObject({ schedules: [{ id: 'yearly', paused: false, last: null }], cursor: null });
    const { workers } = (await (await fetch(`${url}/v1/workers`)).json()) as { workers: object[] };
    expect(workers).toMatchObject([{ types: expect.arrayContaining(['effect']), tasks: [] }]);
    expect((await fetch(`${url}/v1/schedules/yearly`, { method: 'DELETE' })).status).toBe(204);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(
      /^claimkeeper_commit_transactions_total [1-9]/m,
    );
  }, 60_000);

  test('answers 503 in time while ZooKeeper is away, is not ready, and has every acknowledged task afterwards', async () => {
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    await fleet.zookeeper.kill();
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(503), {
      what: 'it is not ready',
    });
    const ids = Array.from({ length: 20 }, (_, i) => `away-${i}`);
    const answers = await Promise.all(ids.map((id) => post('/v1/tasks', { id, type: 'effect' })));
    expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 503));
    expect(answers.every(({ headers }) => headers.has('retry-after'))).toBe(true);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    await fleet.zookeeper.restart();
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), {
      what: 'it is ready again',
    });
    const again = await Promise.all(ids.map((id) => post('/v1/tasks', { id, type: 'effect' })));
    expect(again.filter(({ status }) => status !== 201 && status !== 200)).toEqual([]);
    await fleet.settled(ids);
    expect(ids.filter((id) => fleet.witness.of(id).length !== 1)).toEqual([]);
  }, 60_000);
});
