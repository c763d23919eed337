// setup.mjs: makes a checkout ready to start, to test and to attack: Node, packages, build, servers. Runs before `npm start`,
// `npm test` and each attack of docs/reliability.md, with nothing but Node; silent and quick when there is nothing to do.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  announce,
  canInstallDebianPackages,
  fail,
  installDebianPackages,
  onPath,
  providePackages,
  run,
} from './provision.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const nodeMin = { major: 20, minor: 19 };

checkNode();
providePackages(root);
if (!buildIsCurrent()) {
  announce('Building (npm run build)');
  run('npm', ['run', '--silent', 'build'], { cwd: root, orFail: 'The build failed' });
}
await provideServers();

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const { major: majorMin, minor: minorMin } = nodeMin;
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return;
  fail(`Claimkeeper needs Node.js ${majorMin}.${minorMin} or newer; this is ${process.version}.`);
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
  if (canInstallDebianPackages()) installDebianPackages(debianPackages(missing()));
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

function debianPackages(missing) {
  return [
    ...(missing.zookeeper ? ['libzookeeper-java', 'default-jre-headless'] : []),
    ...(missing.redis ? ['redis-server'] : []),
  ];
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
