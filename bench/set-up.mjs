// set-up.mjs: makes the benchmark ready to run: the peers' packages, its build, PostgreSQL. Runs before `npm run bench`, after
// infra/setup.mjs.

import { fileURLToPath } from 'node:url';
import {
  canInstallDebianPackages,
  fail,
  installDebianPackages,
  providePackages,
  run,
} from '../infra/provision.mjs';

const bench = fileURLToPath(new URL('.', import.meta.url));

if (process.platform !== 'linux') fail('The benchmark reads /proc: it needs Linux.');
providePackages(bench);
run(process.execPath, ['../node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'], {
  cwd: bench,
  orFail: 'The benchmark could not be built',
});

const { findPostgres } = await import('./dist/bench/postgres.js');
if (findPostgres() === null && canInstallDebianPackages()) installDebianPackages(['postgresql']);
if (findPostgres() === null) fail('PostgreSQL was not found: install it (on Debian: postgresql).');
