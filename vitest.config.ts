// vitest.config.ts: how the tests run. `main` is what `npm test` runs, `failpoints` a run of its own. The servers that tests share
// are test/support/global-setup.ts.

import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

const main = ['unit', 'contract', 'invariants', 'simulation', 'chaos', 'integration'];

function project(name: string, folders: readonly string[]): TestProjectInlineConfiguration {
  const include = folders.map((folder) => `test/${folder}/**/*.test.ts`);
  // Not at the root: it would be run there once more.
  return { extends: true, test: { name, include, globalSetup: ['test/support/global-setup.ts'] } };
}

export default defineConfig({
  test: {
    projects: [project('main', main), project('failpoints', ['failpoints'])],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    retry: 0,
  },
});
