// setup.mjs: makes a checkout ready to start, to test and to attack: Node, packages, build, servers. Runs before `npm start`,
// `npm test` and each attack of docs/reliability.md, with nothing but Node; silent and quick when there is nothing to do.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const nodeMin = { major: 20, minor: 19 };

checkNode();
if (!packagesAreCurrent()) {
  announce('Installing the packages of package-lock.json (npm ci)');
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    orFail: 'npm could not install the packages',
  });
}
if (!buildIsCurrent()) {
  announce('Building (npm run build)');
  run('npm', ['run', '--silent', 'build'], { orFail: 'The build failed' });
}
await provideServers();

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const { major: majorMin, minor: minorMin } = nodeMin;
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return;
  fail(`Claimkeeper needs Node.js ${majorMin}.${minorMin} or newer; this is ${process.version}.`);
}

/**
 * Compares what npm says it installed, and what is there, with what the lock file asks for: times say little after a
 * checkout.
 */
function packagesAreCurrent() {
  const installed = installedPackages();
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    const found = installed[path];
    if (path === '') return true;
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && existsSync(join(root, path, 'package.json'));
  });
}

/** None where npm has not been, or was cut short. */
function installedPackages() {
  try {
    return JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return {};
  }
}

/** Each file by itself: a build that was cut short leaves some behind. */
function buildIsCurrent() {
  const settings = ['package.json', 'tsconfig.json', 'tsconfig.build.json'];
  const settingsMs = Math.max(...settings.map((name) => modifiedMs(join(root, name))));
  const { include } = JSON.parse(readFileSync(join(root, 'tsconfig.build.json'), 'utf8'));
  const folders = include.map((pattern) => pattern.replace('/**/*.ts', ''));
  const sources = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, name)),
  );
  return sources
    .filter((name) => name.endsWith('guard.mjs') || /(?<!\.d|\.test)\.ts$/.test(name))
    .every((name) => {
      const builtMs = modifiedMs(join(root, 'dist', name.replace(/ts$/, 'js')));
      return builtMs > 0 && builtMs >= Math.max(settingsMs, modifiedMs(join(root, name)));
    });
}

function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** In this order: the environment, programs on this machine, Debian packages, Docker Compose. */
async function provideServers() {
  const { findServers } = await import('../dist/infra/servers.js');
  const missing = () => {
    const found = findServers();
    return {
      zookeeper: !process.env.ZOOKEEPER_URL && found.zookeeper === null,
      redis: !process.env.REDIS_URL && found.redis === null,
    };
  };
  const needed = (servers) => Object.keys(servers).filter((name) => servers[name]);
  if (needed(missing()).length === 0) return;
  if (process.getuid?.() === 0 && onPath('apt-get')) installDebianPackages(missing());
  const services = needed(missing());
  if (services.length === 0 || composeUp(services)) return;
  fail(
    [
      `${services.map((name) => (name === 'redis' ? 'Redis' : 'ZooKeeper')).join(' and ')} not found. One of these helps:`,
      '  Debian, Ubuntu   sudo apt-get install libzookeeper-java default-jre-headless redis-server',
      '  macOS            brew install zookeeper redis',
      '  Docker           start the engine, and run this again',
      '  elsewhere        set ZOOKEEPER_URL=host:port and REDIS_URL=redis://host:port, or unpack a ZooKeeper release,',
      '                   name it in CLAIMKEEPER_ZOOKEEPER_HOME, and have java and redis-server on the PATH',
    ].join('\n'),
  );
}

function installDebianPackages(missing) {
  const packages = [
    ...(missing.zookeeper ? ['libzookeeper-java', 'default-jre-headless'] : []),
    ...(missing.redis ? ['redis-server'] : []),
  ];
  announce(`Installing ${packages.join(', ')} with apt-get (once)`);
  withoutServiceStarts(() => {
    // Where one list of packages cannot be had, those that there are may do.
    run('apt-get', ['update']);
    run('apt-get', ['install', '-y', '--no-install-recommends', ...packages]);
  });
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

/** Whether the services of compose.yaml run; dist/infra/servers.js knows their ports. */
function composeUp(services) {
  if (!onPath('docker') || spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 }).status !== 0)
    return false;
  announce(`Starting ${services.join(' and ')} with Docker Compose (infra/compose.yaml)`);
  return run('docker', [
    'compose',
    '-f',
    join(root, 'infra', 'compose.yaml'),
    'up',
    '-d',
    '--wait',
    ...services,
  ]);
}

function onPath(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Whether the command succeeded; what it printed is shown only when it did not. */
function run(command, args, { orFail } = {}) {
  const done = attempt(command, args);
  if (done.status === 0) return true;
  process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}\n`);
  if (orFail !== undefined) fail(orFail);
  return false;
}

function attempt(command, args) {
  return spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    shell: process.platform === 'win32', // npm is a script there
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function announce(line) {
  console.log(`claimkeeper: ${line} …`);
}

function fail(message) {
  console.error(`claimkeeper: ${message}`);
  process.exit(1);
}
