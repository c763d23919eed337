// postgres.ts: a PostgreSQL server for one run: durable, on loopback, in a temporary folder. Its process is infra's
// local-server.ts.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type LocalServer, startLocal } from '../infra/local-server.js';

/** Debian's packages keep the programs of each version apart, and off the PATH. */
const debian = '/usr/lib/postgresql';

/** Beyond the defaults: room for all connections, and no checkpoint in the midst of a short run. */
const settings = {
  listen_addresses: '127.0.0.1',
  max_connections: 500,
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  fsync: 'on',
  synchronous_commit: 'on',
};

// A startup message for user `postgres`, and the end of the connection. All of it is ASCII, as a question must be.
const question = '\0\0\0\x17\0\x03\0\0user\0postgres\0\0X\0\0\0\x04';
const readyForQuery = 'Z\0\0\0\x05I';

/** The folder of its programs; null where there is none. */
export function findPostgres(): string | null {
  const versions = existsSync(debian) ? readdirSync(debian).map(Number) : [];
  const folders = [
    ...versions.sort((a, b) => b - a).map((version) => join(debian, String(version), 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb'))) ?? null;
}

export async function startPostgres(): Promise<LocalServer> {
  const programs = findPostgres();
  if (programs === null) throw new Error('PostgreSQL was not found: run "node bench/set-up.mjs"');
  return startLocal({
    name: 'postgres',
    dataDir: null,
    url: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    async prepare(port, folder) {
      const user = notRoot();
      if (user !== null) await chown(folder, user.uid, user.gid);
      const data = join(folder, 'data');
      const init = asUser(user, join(programs, 'initdb'), [
        '--pgdata',
        data,
        '--username=postgres',
        '--auth=trust',
        '--no-sync',
      ]);
      const made = spawnSync(init.command, init.args, { encoding: 'utf8', cwd: folder });
      if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr || made.error?.message}`);
      const all = { ...settings, port, unix_socket_directories: folder };
      const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
      return asUser(user, join(programs, 'postgres'), ['-D', data, ...flags]);
    },
    question,
    ready: (answer, { pid, folder }) =>
      answer.includes(readyForQuery) &&
      readFileSync(join(folder, 'data', 'postmaster.pid'), 'utf8').startsWith(`${pid}\n`),
  });
}

/** At once: nothing of it is needed any more, and a checkpoint takes its time. */
export async function stopPostgres(server: LocalServer): Promise<void> {
  process.kill(server.pid, 'SIGQUIT');
  await server.stop();
}

type User = { readonly uid: number; readonly gid: number };

/** PostgreSQL refuses to run as root. Null: this process is not. */
function notRoot(): User | null {
  if (process.getuid?.() !== 0) return null;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((each) => each.startsWith('postgres:'));
  if (line === undefined) throw new Error('there is no user postgres to run PostgreSQL as');
  const [, , uid, gid] = line.split(':').map(Number);
  return { uid: uid ?? 0, gid: gid ?? 0 };
}

/** setpriv becomes the program that it starts: its pid is the program's. */
function asUser(user: User | null, command: string, args: readonly string[]) {
  if (user === null) return { command, args };
  const flags = [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'];
  return { command: 'setpriv', args: [...flags, command, ...args] };
}
