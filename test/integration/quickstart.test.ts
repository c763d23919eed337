// quickstart.test.ts: the README's example as it is built, on servers of its own: it uses the default names.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startRedis, startZooKeeper } from '../../infra/servers.js';

const example = fileURLToPath(new URL('../../dist/examples/quickstart/main.js', import.meta.url));

test('the example runs its task, and knows it when it is run again', async () => {
  const [zookeeper, redis] = await Promise.all([startZooKeeper(), startRedis()]);
  onTestFinished(async () => {
    await Promise.all([zookeeper.stop(), redis.stop()]);
  });
  const runExample = async (): Promise<string> => {
    const env = {
      PATH: process.env.PATH,
      CLAIMKEEPER_ZOOKEEPER: zookeeper.url,
      CLAIMKEEPER_REDIS: redis.url,
    };
    return (await promisify(execFile)(process.execPath, [example], { env, timeout: 25_000 })).stdout;
  };
  const result = "completed { value: { sentTo: 'ada@example.org', key: 'welcome:17' } }\n";
  expect(await runExample()).toBe(`accepted waiting\n${result}`);
  expect(await runExample()).toBe(`known completed\n${result}`);
});
