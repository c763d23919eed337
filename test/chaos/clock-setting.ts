// clock-setting.ts: a process whose wall clock can be set from outside while its monotonic clock goes on, by libfaketime
// (Debian's package of that name). Owns where the library is found and what it is told.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const installMsMax = 60_000;
const libraryFolders = ['/usr/lib', '/usr/local/lib'];

/** Installs it where that is missing and root has apt-get; null: it cannot be had on this machine. */
export function provideFaketime(): string | null {
  if (findFaketime() === null && process.getuid?.() === 0) {
    for (const step of [['update'], ['install', '-y', '--no-install-recommends', 'libfaketime']])
      spawnSync('apt-get', step, {
        stdio: 'ignore',
        timeout: installMsMax,
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      });
  }
  return findFaketime();
}

function findFaketime(): string | null {
  const candidates = libraryFolders.flatMap((folder) => [
    folder,
    ...(existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []),
  ]);
  return (
    candidates
      .map((folder) => join(folder, 'faketime', 'libfaketime.so.1'))
      .find((file) => existsSync(file)) ?? null
  );
}

/** The environment of a process whose clock `file` sets; it looks there once a second. */
export function fakedTime(library: string, file: string): Record<string, string> {
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

/** From within a second on, the clock is wrong by this many seconds. */
export async function setClock(file: string, seconds: number): Promise<void> {
  await writeFile(file, `${seconds < 0 ? '' : '+'}${seconds}\n`);
}
