// guard.mjs: keeps one server process for as long as its starter lives. Runs on its own, in a session of its own, so that
// a terminal's Ctrl-C reaches only the starter; its standard input is a pipe whose other end only the starter holds, so
// that its end means: the starter is gone, however it went. Lines in: `start`. Lines out: `pid <n>`, `exit <why>`.

import { spawn } from 'node:child_process';
import { openSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';

const graceMs = 2_000;
const { command, args, logFile, removeFolder } = JSON.parse(process.argv[2]);

let server = null;
let over = false;

function start() {
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { stdio: ['ignore', log, log] });
  child.once('spawn', () => {
    server = child;
    say(`pid ${child.pid}`);
  });
  child.once('error', (error) => ended(error.message));
  child.once('exit', (code, signal) => ended(signal ?? `code ${code}`));
}

function ended(why) {
  server = null;
  say(`exit ${why}`);
  if (over) leave();
}

function finish() {
  if (over) return;
  over = true;
  if (server === null) return leave();
  server.kill('SIGTERM');
  server.kill('SIGCONT'); // a frozen server cannot act on SIGTERM
  setTimeout(() => server?.kill('SIGKILL'), graceMs);
}

function leave() {
  if (removeFolder !== null) rmSync(removeFolder, { recursive: true, force: true });
  process.exit(0);
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

process.stdout.on('error', () => undefined); // Nobody listens any more: the end of the input says so too.
process.on('SIGTERM', finish);
process.on('SIGINT', finish);
process.on('SIGHUP', finish);
createInterface({ input: process.stdin })
  .on('line', (line) => line === 'start' && start())
  .once('close', finish);
