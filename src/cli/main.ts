#!/usr/bin/env node
// main.ts: the program `claimkeeper`. Owns the process around the command line: its streams, its exit.

import { readFileSync } from 'node:fs';
import { exitCodes } from './exit.js';
import { run } from './program.js';

// Nobody reads the output any more (`| head`): what is left of it, and of the work, is left.
process.stdout.on('error', () => process.exit(exitCodes.failed));

const code = await run(process.argv.slice(2), versionOfPackage(), {
  env: process.env,
  stdin: process.stdin,
  isTty: process.stdout.isTTY === true,
  print: (line) => void process.stdout.write(`${line}\n`),
  say: (line) => void process.stderr.write(`${line}\n`),
});
// What is left (a connection that never came about) must not keep a process that is done.
process.stdout.write('', () => process.exit(code));

/** The package's, wherever the build has put this file below it. */
function versionOfPackage(): string {
  for (let folder = new URL('./', import.meta.url); ; folder = new URL('../', folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));
      if (name === 'claimkeeper') return String(version);
    } catch {
      // Not here; further up.
    }
    if (folder.pathname === '/') return 'unknown';
  }
}
