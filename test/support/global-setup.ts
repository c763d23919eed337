// global-setup.ts: one ZooKeeper and one Redis for the whole run, shared by all test files. Their addresses reach the tests
// through servers.ts; a test that breaks servers starts its own.

import type { TestProject } from 'vitest/node';
import { acquireServers } from '../../infra/servers.js';

declare module 'vitest' {
  interface ProvidedContext {
    zookeeperUrl: string;
    redisUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const servers = await acquireServers();
  project.provide('zookeeperUrl', servers.zookeeperUrl);
  project.provide('redisUrl', servers.redisUrl);
  return servers.stop;
}
