// quorum.test.ts: the API on an ensemble that loses its quorum: submits are answered 503 in time while two of three servers are
// frozen or dead, are accepted again soon after the ensemble serves again, and nothing that was acknowledged is missing.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ensemble, startEnsemble } from '../../infra/ensemble.js';
import { ClaimkeeperClient } from '../../src/client/index.js';
import { type Api, createApi } from '../../src/http/index.js';
import { type Claimkeeper, connect } from '../../src/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { eventually } from '../support/eventually.js';
import { openToAll } from '../support/open-to-all.js';
import { checkEveryAnswer } from '../support/openapi-answers.js';
import { redisUrl, uniqueChroot, uniquePrefix } from '../support/servers.js';

checkEveryAnswer();
const requestMsMax = 2_000;
/** Beyond the deadline: two cores, and three servers on them. */
const slackMs = 1_000;
const acceptedAgainMsMax = 2_000;

let ensemble: Ensemble;
let keeper: Claimkeeper;
let api: Api;
let url: string;

beforeAll(async () => {
  ensemble = await startEnsemble();
  keeper = await connect({
    zookeeper: ensemble.url,
    redis: redisUrl(),
    chroot: uniqueChroot(),
    prefix: uniquePrefix(),
    sessionTimeoutMs: 4_000,
    requestMsMax,
    log: silentLogger,
  });
  api = createApi({
    ...openToAll,
    tasks: keeper,
    runtime: { clock: systemClock, random: systemRandom, log: silentLogger },
  });
  url = await api.listen({ host: '127.0.0.1', port: 0 });
}, 120_000);
afterAll(async () => {
  await api?.close();
  await keeper?.close();
  await ensemble?.stop();
});

type Submit = {
  readonly id: string;
  readonly status: number;
  readonly retryAfter: string | null;
  readonly at: number;
  readonly tookMs: number;
};

/** Submits without a pause, one after the other in each of eight, until it is stopped. */
function startLoad(name: string): { readonly submits: Submit[]; stop(): Promise<void> } {
  const submits: Submit[] = [];
  let going = true;
  const one = async (lane: number): Promise<void> => {
    for (let n = 0; going; n += 1) {
      const id = `${name}-${lane}-${n}`;
      const from = performance.now();
      const body = JSON.stringify({ id, type: 't' });
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${url}/v1/tasks`, { method: 'POST', headers, body });
      await response.arrayBuffer();
      const at = performance.now();
      submits.push({
        id,
        status: response.status,
        retryAfter: response.headers.get('retry-after'),
        at,
        tookMs: at - from,
      });
    }
  };
  const lanes = [0, 1, 2, 3, 4, 5, 6, 7].map(one);
  return {
    submits,
    async stop() {
      going = false;
      await Promise.all(lanes);
    },
  };
}

test.each(['frozen', 'killed'] as const)(
  'two of three servers %s',
  async (how) => {
    const leader = await eventually(
      async () => {
        const found = await ensemble.leader();
        if (found === null) throw new Error('nobody leads');
        return found;
      },
      { what: 'somebody leads', deadlineMs: 30_000 },
    );
    const follower = ensemble.servers.find((server) => server !== leader);
    const lost = [leader, ...(follower === undefined ? [] : [follower])];
    expect(lost).toHaveLength(2);
    const load = startLoad(how);
    await eventually(() => expect(load.submits.length).toBeGreaterThan(50), { what: 'submits are accepted' });
    expect(load.submits.every(({ status }) => status === 201)).toBe(true);

    const lostAt = performance.now();
    if (how === 'frozen') for (const server of lost) server.freeze();
    else await Promise.all(lost.map((server) => server.kill()));
    const refused = (): Submit[] => load.submits.filter(({ status, at }) => at > lostAt && status !== 201);
    await eventually(() => expect(refused().length).toBeGreaterThanOrEqual(24), {
      what: 'submits are refused',
      deadlineMs: 40_000,
    });
    if (how === 'frozen') for (const server of lost) server.thaw();
    else await Promise.all(lost.map((server) => server.restart()));
    await eventually(async () => expect(await ensemble.leader()).not.toBeNull(), {
      what: 'somebody leads again',
      deadlineMs: 30_000,
    });
    const servesAt = performance.now();
    const again = await eventually(
      () => {
        const first = load.submits.find(({ status, at }) => status === 201 && at > servesAt);
        if (first === undefined) throw new Error('none yet');
        return first;
      },
      { what: 'submits are accepted again', deadlineMs: 30_000 },
    );
    await load.stop();

    const answers = load.submits.filter(({ status }) => status !== 201);
    expect(answers.filter(({ status, retryAfter }) => status !== 503 || retryAfter === null)).toEqual([]);
    expect(answers.filter(({ tookMs }) => tookMs > requestMsMax + slackMs)).toEqual([]);
    expect(again.at - servesAt).toBeLessThan(acceptedAgainMsMax);
    const acknowledged = load.submits.filter(({ status }) => status === 201).map(({ id }) => id);
    expect(acknowledged.length).toBeGreaterThan(50);
    const client = new ClaimkeeperClient({ url });
    const missing: string[] = [];
    for (const id of acknowledged) {
      const found = await client.get(id).catch(() => null);
      if (found?.id !== id) missing.push(id);
    }
    expect(missing).toEqual([]);
  },
  180_000,
);
