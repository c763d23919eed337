// api-keys.test.ts: API keys from the command line to the API, as processes on real ZooKeeper: the first key is made without
// one, lets in, and is refused within a second of its revocation; while ZooKeeper is away, keys count as they did.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalServer, startZooKeeper } from '../../infra/servers.js';
import { main, type Running, startProgram } from '../support/built-program.js';
import { eventually } from '../support/eventually.js';
import { redisUrl, uniquePrefix } from '../support/servers.js';

type Ran = { readonly code: number | null; readonly out: string; readonly err: string };

describe('an API that requires keys', () => {
  let zookeeper: LocalServer;
  let env: Record<string, string>;
  let api: Running;
  let url = '';

  beforeAll(async () => {
    zookeeper = await startZooKeeper();
    env = {
      CLAIMKEEPER_ZOOKEEPER: zookeeper.url,
      CLAIMKEEPER_REDIS: redisUrl(),
      CLAIMKEEPER_PREFIX: uniquePrefix(),
      CLAIMKEEPER_PORT: '0',
      CLAIMKEEPER_LOG_LEVEL: 'debug',
      CLAIMKEEPER_SESSION_TIMEOUT_MS: '4000',
    };
    api = startProgram(['api', '--require-keys', 'always'], env);
    url = await api.url();
  });
  afterAll(async () => {
    api.process.kill('SIGKILL');
    await zookeeper.stop();
  });

  function keys(...args: string[]): Promise<Ran> {
    const child = spawn(process.execPath, [main, 'keys', ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said.out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said.err += text;
    });
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...said })));
  }

  async function made(...args: string[]): Promise<{ id: string; key: string; expiresAt: string | null }> {
    const { code, out } = await keys('create', '--name', 'test', ...args);
    expect(code).toBe(0);
    return JSON.parse(out) as { id: string; key: string; expiresAt: string | null };
  }

  async function statusWith(key: string | null): Promise<number> {
    const headers = key === null ? {} : { authorization: `Bearer ${key}` };
    return (await fetch(`${url}/v1/tasks/none`, { headers })).status;
  }

  test('says that there is no key yet, and lets nobody in but those who watch over it', async () => {
    expect(api.said()).toContain('make one with');
    expect(await statusWith(null)).toBe(401);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  // Each command is a process of its own.
  const commandsMsMax = 90_000;

  test(
    'lets in whoever has a key, until it is revoked: within a second',
    async () => {
      const { id, key } = await made('--scopes', 'read');
      await eventually(async () => expect(await statusWith(key)).toBe(404), {
        what: 'it lets in',
        deadlineMs: 1_000,
      });
      const listed = await keys('list');
      expect(listed.out.split('\n').filter((line) => line.includes(id))).toHaveLength(1);
      expect(listed.out).not.toContain(key.split('_').at(-1));
      expect(await keys('revoke', id)).toMatchObject({ code: 0 });
      await eventually(async () => expect(await statusWith(key)).toBe(401), {
        what: 'it is out',
        deadlineMs: 1_000,
      });
      const again = await keys('revoke', id);
      expect([again.code, again.err]).toEqual([3, expect.stringContaining('[KEY_NOT_FOUND]')]);
    },
    commandsMsMax,
  );

  test(
    'a key has the end that was asked for',
    async () => {
      const { expiresAt } = await made('--scopes', 'read', '--expires-in', '90d');
      expect(Math.abs(Date.parse(expiresAt ?? '') - Date.now() - 90 * 86_400_000)).toBeLessThan(60_000);
      expect((await keys('create', '--name', 'x', '--scopes', 'read', '--expires-in', '9 days')).code).toBe(
        2,
      );
      expect((await keys('create', '--name', 'x', '--scopes', 'reed')).err).toContain('scopes');
    },
    commandsMsMax,
  );

  test(
    'while ZooKeeper is away keys count as they did, and no secret is ever logged',
    async () => {
      const { key } = await made('--scopes', 'read', '--queues', 'mail-*,default');
      await eventually(async () => expect(await statusWith(key)).toBe(404), { what: 'it lets in' });
      await zookeeper.kill();
      const ready = async (): Promise<number> => (await fetch(`${url}/readyz`)).status;
      await eventually(async () => expect(await ready()).toBe(503), { what: 'ZooKeeper is away' });
      const submit = (given: string): Promise<Response> =>
        fetch(`${url}/v1/tasks`, {
          method: 'POST',
          headers: { authorization: `Bearer ${given}`, 'content-type': 'application/json' },
          body: '{"id":"a","type":"t"}',
        });
      const [own, forged] = [await submit(key), await submit(key.replace(/....$/, 'AAAA'))];
      expect([own.status, ((await own.json()) as { code: string }).code]).toEqual([403, 'SCOPE_MISSING']);
      expect(forged.status).toBe(401);
      await zookeeper.restart();
      await eventually(async () => expect(await ready()).toBe(200), {
        what: 'it is back',
        deadlineMs: 20_000,
      });
      expect(await statusWith(key)).toBe(404);
      expect(api.said()).not.toContain(key.split('_').at(-1));
    },
    commandsMsMax,
  );
});
