// examples.test.ts: each example does what its README says, as it is built, on real servers.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { startRedis, startZooKeeper } from '../../infra/servers.js';
import { ApiClient } from '../../src/cli/api-client.js';
import { startProgram } from '../support/built-program.js';
import { eventually } from '../support/eventually.js';
import { uniqueChroot, uniquePrefix } from '../support/servers.js';

const built = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));

/** Two runs of an example, a process each. */
const runsMsMax = 90_000;

let env: Record<string, string>;
beforeAll(async () => {
  const [zookeeper, redis] = await Promise.all([startZooKeeper(), startRedis()]);
  env = {
    PATH: process.env.PATH ?? '',
    CLAIMKEEPER_ZOOKEEPER: zookeeper.url,
    CLAIMKEEPER_REDIS: redis.url,
    ZOOKEEPER_URL: zookeeper.url,
    REDIS_URL: redis.url,
  };
  return async () => {
    await Promise.all([zookeeper.stop(), redis.stop()]);
  };
});

async function run(path: string, more: Record<string, string> = {}): Promise<string> {
  const options = { env: { ...env, ...more }, timeout: 40_000 };
  return (await promisify(execFile)(process.execPath, [built(path)], options)).stdout;
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test(
  'email: asked for three times at once, and again, it is sent once',
  async () => {
    const mails: string[] = [];
    const url = await serve((request, response) => {
      if (request.method === 'PUT') mails.push(String(request.url));
      request.resume().on('end', () => response.writeHead(204).end());
    });
    const result = "completed { value: { sentTo: 'ada@example.org' } }\n";
    expect(await run('examples/email/main.js', { MAIL_URL: url })).toBe(`accepted 1 of 3\n${result}`);
    expect(await run('examples/email/main.js', { MAIL_URL: url })).toBe(`accepted 0 of 3\n${result}`);
    expect(mails).toEqual(['/mails/order-17%3Aconfirmation']);
  },
  runsMsMax,
);

test(
  'email: without a mail service, one is played',
  async () => {
    const zookeeper = await startZooKeeper(); // In the other one the e-mail has been sent.
    onTestFinished(() => zookeeper.stop());
    const more = { CLAIMKEEPER_ZOOKEEPER: zookeeper.url };
    const result = "completed { value: { sentTo: 'ada@example.org' } }\n";
    expect(await run('examples/email/main.js', more)).toBe(`accepted 1 of 3\n${result}`);
  },
  runsMsMax,
);

test(
  'nightly report: the schedule is made once, and its run is one task',
  async () => {
    const first = (await run('examples/nightly-report/main.js')).split('\n');
    expect(first[0]).toMatch(/^made 0 2 \* \* \*, next \d{4}-\d\d-\d\dT0[01]:00:00.000Z$/);
    const result =
      "nightly-report@run-first completed { value: { report: 'yesterday', rows: 3, by: 'nightly-report@run-first' } }";
    const compact = (text: string): string => text.replace(/\s+/g, ' ').trim();
    expect(compact(first.slice(1).join(' '))).toBe(result);
    const second = (await run('examples/nightly-report/main.js')).split('\n');
    expect(second[0]).toMatch(/^there already, 0 2 \* \* \*/);
    expect(compact(second.slice(1).join(' '))).toBe(result);
  },
  runsMsMax,
);

test(
  'fan-out: a hundred webhooks arrive once each; announced again, none does',
  async () => {
    const run1 = await run('examples/fan-out/main.js');
    expect(run1).toBe('announced\n100 webhooks have arrived, 0 of them twice\n');
    expect(await run('examples/fan-out/main.js')).toBe(
      'announced before\n0 webhooks have arrived, 0 of them twice\n',
    );
  },
  runsMsMax,
);

test('worker: the module serves, and a task has the checksum of what it names', async () => {
  const text = 'x'.repeat(100_000);
  const url = await serve((request, response) => {
    response.writeHead(request.url === '/file' ? 200 : 404).end(text);
  });
  const place = { CLAIMKEEPER_CHROOT: uniqueChroot(), CLAIMKEEPER_PREFIX: uniquePrefix() };
  const module = built('examples/worker/tasks.js');
  const up = startProgram(['up', '--workers', '1', '--port', '0', '--module', module], { ...env, ...place });
  onTestFinished(async () => {
    up.process.kill('SIGTERM');
    await up.exited;
  });
  const client = new ApiClient(await up.url());
  await client.submit([
    { id: 'there', type: 'checksum', payload: { url: `${url}/file` } },
    { id: 'gone', type: 'checksum', payload: { url: `${url}/gone` } },
  ]);
  const over = async (id: string, state: string) =>
    eventually(
      async () => {
        const view = await client.get(id);
        expect(view.state).toBe(state);
        return view;
      },
      { what: `${id} is ${state}`, deadlineMs: 20_000 },
    );
  const sha256 = createHash('sha256').update(text).digest('hex');
  expect((await over('there', 'completed')).result).toEqual({ bytes: 100_000, sha256 });
  expect((await over('gone', 'failed')).attempts).toMatchObject([{ error: { code: 'HANDLER_REFUSED' } }]);
}, 60_000);
