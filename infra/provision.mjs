// provision.mjs: what set-ups share: the packages of a lock file, Debian's packages, and how a program is run. Needs nothing
// but Node; silent when there is nothing to do.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Packages of `folder`'s lock file, unless they are there. */
export function providePackages(folder) {
  if (packagesAreCurrent(folder)) return;
  announce('Installing the packages of package-lock.json (npm ci)');
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    orFail: 'npm could not install the packages',
  });
}

/** Whether there is a point in trying: only root may, and only where there is apt-get. */
export function canInstallDebianPackages() {
  return process.getuid?.() === 0 && onPath('apt-get');
}

export function installDebianPackages(packages) {
  announce(`Installing ${packages.join(', ')} with apt-get (once)`);
  withoutServiceStarts(() => {
    // Where one list of packages cannot be had, those that there are may do.
    run('apt-get', ['update']);
    run('apt-get', ['install', '-y', '--no-install-recommends', ...packages]);
  });
}

/** Whether the command succeeded; what it printed is shown only when it did not. */
export function run(command, args, { cwd, orFail } = {}) {
  const done = attempt(command, args, cwd);
  if (done.status === 0) return true;
  process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}\n`);
  if (orFail !== undefined) fail(orFail);
  return false;
}

export function onPath(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}

export function announce(line) {
  console.log(`claimkeeper: ${line} …`);
}

export function fail(message) {
  console.error(`claimkeeper: ${message}`);
  process.exit(1);
}

/**
 * Compares what npm says it installed, and what is there, with what the lock file asks for: times say little after a
 * checkout.
 */
function packagesAreCurrent(folder) {
  const installed = installedPackages(folder);
  const wanted = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    const found = installed[path];
    if (path === '') return true;
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && existsSync(join(folder, path, 'package.json'));
  });
}

/** None where npm has not been, or was cut short. */
function installedPackages(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return {};
  }
}

/** Only the programs are wanted: a policy of 101 ("forbidden") keeps the packages from starting their services. */
function withoutServiceStarts(install) {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    install();
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

function attempt(command, args, cwd) {
  return spawnSync(command, args, {
    cwd,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    shell: process.platform === 'win32', // npm is a script there
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
