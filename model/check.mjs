// check.mjs: checks model/claim.pml with Spin: what must hold, and what Spin must find when a rule is broken. Needs spin and
// gcc; as root it installs them with apt-get. `--trail` shows how each broken rule does harm. docs/model.md has the meaning.

import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const model = fileURLToPath(new URL('claim.pml', import.meta.url));
const withTrails = process.argv.includes('--trail');

/** Depth-first through every state, each kept whole. A better optimizer would take longer than the search that it speeds up. */
const every = { cc: ['-Og', '-DSAFETY', '-DMEMLIM=1800'], run: ['-m50000'] };
/** Two bits per state in a table of fixed size: states may be missed, and are when it fills up. */
const bitstate = { cc: ['-Og', '-DSAFETY', '-DBITSTATE'], run: ['-m50000', '-w23'] };
/** Every state, for runs without an end: no state is marked as progress, so that any cycle is one. */
const cycles = { cc: ['-Og', '-DNP', '-DMEMLIM=1800'], run: ['-m50000', '-l'] };
/** By breadth, so that what is found is as short as can be. */
const shortest = { cc: ['-O0', '-DSAFETY', '-DBFS', '-DMEMLIM=1800'], run: [] };

const bounds = (policy, faults, operations, workers = 2) => ({ policy, faults, operations, workers });
const holds = (name, how, at, defines = []) => ({ name, how, at, defines, expected: 'holds' });
const breaks = (name, mutant, at) => ({
  name,
  how: shortest,
  at,
  defines: [].concat(mutant),
  expected: 'violated',
});

const checks = [
  holds('park, two faults', every, bounds('PARK', 2, 0)),
  holds('park, a fault and an operation', every, bounds('PARK', 1, 1)),
  holds('verify, two faults', every, bounds('VERIFY', 2, 0)),
  holds('rerun, two faults', every, bounds('RERUN', 2, 0)),
  holds('park, three workers, a fault', every, bounds('PARK', 1, 0, 3)),
  holds('every run ends', cycles, bounds('PARK', 1, 0)),
  holds('park, three workers', bitstate, bounds('PARK', 3, 2, 3)),
  holds('verify, three workers', bitstate, bounds('VERIFY', 3, 2, 3)),
  holds('rerun, three workers', bitstate, bounds('RERUN', 3, 2, 3)),
  breaks('the receiver compares no fence', 'MUTANT_UNFENCED_SINK', bounds('RERUN', 1, 0)),
  breaks('a replay, the receiver has no key', 'MUTANT_UNKEYED_REPLAY', bounds('PARK', 1, 1)),
  breaks('version 0 means any', 'MUTANT_VERSION_ZERO_IS_ANY', bounds('PARK', 0, 0)),
  breaks('no read-back of a lost reply', 'MUTANT_NO_READ_BACK', bounds('PARK', 1, 0)),
  breaks('interrupted whatever the claim', 'MUTANT_CLAIM_IGNORED', bounds('PARK', 1, 0)),
  breaks('no lease check', 'MUTANT_NO_LEASE_CHECK', bounds('PARK', 1, 0)),
  breaks('the intent after the effect', 'MUTANT_INTENT_AFTER_EFFECT', bounds('PARK', 0, 0)),
  breaks("another attempt's evidence", 'MUTANT_FOREIGN_EVIDENCE', bounds('RERUN', 1, 0)),
  breaks('no audit of stray claims', 'MUTANT_NO_AUDIT', bounds('PARK', 1, 0)),
  breaks('a version outlives its session', 'REBORN', bounds('PARK', 1, 1)),
];

provideTools();
const folder = mkdtempSync(join(tmpdir(), 'claimkeeper-model-'));
let unexpected = 0;
let next = 0;
let told = 0;
const results = [];
try {
  print(['check', 'bounds', 'search', 'states', 'depth', 'seconds', 'result', 'expected']);
  // As many at once as there are cores; four at most, for memory's sake.
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, lane));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (unexpected > 0) {
  console.error(`${unexpected} of ${checks.length} checks did not end as expected.`);
  process.exitCode = 1;
}

async function lane() {
  while (next < checks.length) {
    const mine = next;
    next += 1;
    results[mine] = await run(checks[mine]);
    for (; results[told] !== undefined; told += 1) tell(checks[told], results[told]);
  }
}

function tell(check, { states, depth, result, seconds, trail }) {
  if (result !== check.expected) unexpected += 1;
  const { name, at, how, expected } = check;
  print([name, boundsText(at), searchText(how), states, depth, seconds, result, expected]);
  if (withTrails && trail !== '') console.log(trail.replace(/^/gm, '    '));
}

async function run({ how, at, defines }) {
  const startedAt = performance.now();
  const { policy, faults, operations, workers } = at;
  const named = { WORKERS: workers, FAULTS: faults, OPERATIONS: operations, POLICY: policy };
  const given = Object.entries(named).map(([name, value]) => `-D${name}=${value}`);
  const cwd = mkdtempSync(join(folder, 'check-'));
  copyFileSync(model, join(cwd, 'claim.pml')); // Beside its trail: Spin looks for that by the name it was given.
  await must(cwd, 'spin', [...given, ...defines.map((name) => `-D${name}`), '-a', 'claim.pml']);
  await must(cwd, 'gcc', ['-w', '-DNOREDUCE', '-DVECTORSZ=512', ...how.cc, '-o', 'pan', 'pan.c']);
  const { stdout } = await call(cwd, './pan', ['-n', ...how.run]);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const figure = (pattern) => pattern.exec(stdout)?.[1] ?? '?';
  const errors = figure(/errors: (\d+)/);
  const trail = errors === '1' ? story((await call(cwd, './pan', ['-S'])).stdout, stdout) : '';
  return {
    states: figure(/(\d+) states, stored/),
    depth: figure(/depth reached (\d+)/),
    result: resultOf(stdout, errors, how),
    seconds,
    trail,
  };
}

/** Only a search that went to its end may say that something holds. */
function resultOf(output, errors, how) {
  if (errors === '1') return 'violated';
  const cut = /search was truncated|not completed|max search depth too small|out of memory|reached -DMEMLIM/;
  return errors === '0' && (how === bitstate || !cut.test(output)) ? 'holds' : 'not finished';
}

/** What the model says of its steps, and the promise that the last one broke. */
function story(replay, output) {
  const steps = replay
    .split('\n')
    .filter((line) => /^\s*(worker|server|leader|operator|verify|the id)\b/.test(line));
  const broken = /^pan:\d+: (.*?)(?: \(at depth|$)/m.exec(output)?.[1] ?? 'an error that Spin does not name';
  return [...steps.map((line) => line.trim()), `broken: ${broken}`].join('\n');
}

function boundsText({ policy, faults, operations, workers }) {
  return `${policy.toLowerCase()} ${workers}w ${faults}f ${operations}o`;
}

function searchText(how) {
  if (how === bitstate) return 'bitstate';
  if (how === shortest) return 'breadth';
  return how === cycles ? 'cycles' : 'exhaustive';
}

function print([name, ...cells]) {
  const widths = [18, 11, 9, 6, 8, 13, 9];
  console.log(
    [name.padEnd(36), ...cells.map((cell, i) => String(cell).padEnd(widths[i]))].join(' ').trimEnd(),
  );
}

function call(cwd, program, args) {
  return new Promise((resolve) => {
    const options = { cwd, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 };
    execFile(program, args, options, (error, stdout, stderr) => resolve({ error, stdout, stderr }));
  });
}

async function must(cwd, program, args) {
  const { error, stdout, stderr } = await call(cwd, program, args);
  if (error !== null) throw new Error(`${program} failed:\n${stdout}${stderr}`);
}

function provideTools() {
  const missing = () =>
    ['spin', 'gcc'].filter((name) => spawnSync(name, [name === 'gcc' ? '--version' : '-V']).status !== 0);
  if (missing().length === 0) return;
  if (process.getuid?.() === 0) {
    spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'gcc', 'libc6-dev', 'spin'], {
      stdio: 'ignore',
    });
  }
  const left = missing();
  if (left.length === 0) return;
  console.error(`${left.join(' and ')} not found. Debian, Ubuntu: sudo apt-get install gcc libc6-dev spin`);
  console.error('macOS: brew install spin, and the command line tools of Xcode for gcc');
  process.exit(1);
}
