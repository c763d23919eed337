// main.ts: simulates many seeds on every core, and says what they amount to. When one breaks an invariant: which, the end of
// what happened, what is left of it when everything is left out that need not be, and the commands that repeat both.
//
//   npm run simulate -- --seeds 50000 --from 1 --jobs 2 --json summary.json
//   npm run simulate -- --seed 4711
//   npm run simulate -- --seed 4711 --keep faults=3,7,12 --keep tasks=2

import { type ChildProcess, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Chunk } from './child.js';
import { judge } from './judge.js';
import { type Keep, kept, type Plan, planOf } from './plan.js';
import { shrink } from './shrink.js';
import { simulate } from './simulate.js';
import { addUp, newTally, sumOf, type Tally } from './tally.js';
import { told } from './trouble.js';

/** Seeds handed out at once: a second or so. */
const seedsPerChunk = 100;
/** A process is a fresh one after so many chunks: what V8 makes of the code is good long before, and nothing piles up. */
const chunksPerProcess = 300;
const progressEveryMs = 5_000;
const transcriptLines = 80;
/** A young generation that a history's garbage fits in, one thread to collect it (the cores are taken), code compiled at once. */
const childFlags = ['--max-semi-space-size=32', '--always-sparkplug', '--single-threaded-gc'];

type Options = {
  readonly seeds: number;
  readonly from: number;
  readonly jobs: number;
  readonly seed?: number;
  readonly keep: Keep;
  readonly json?: string;
};

const parts = ['faults', 'tasks', 'acts', 'workers', 'schedulers'] as const;

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is not a whole number.');
  return Number(text);
}

function positive(text: string): number {
  const value = whole(text);
  if (value === 0) throw new InvalidArgumentError('It is not positive.');
  return value;
}

function keeping(text: string, keep: Keep): Keep {
  const [, name, numbers = ''] = /^([a-z]+)=((?:\d+(?:,\d+)*)?)$/.exec(text) ?? [];
  const part = parts.find((each) => each === name);
  if (part === undefined) throw new InvalidArgumentError(`It is not of the form ${parts.join('|')}=1,2,3.`);
  return { ...keep, [part]: numbers === '' ? [] : numbers.split(',').map(Number) };
}

function parsed(): Options {
  const command = new Command('simulate')
    .description('Simulates fleets in trouble, and holds what happens against the invariants.')
    .addOption(new Option('--seeds <n>', 'how many seeds').argParser(positive).default(1_000))
    .addOption(new Option('--from <seed>', 'the first seed').argParser(whole).default(1))
    .addOption(
      new Option('--jobs <n>', 'processes')
        .argParser(positive)
        .default(availableParallelism(), 'one per core'),
    )
    .addOption(new Option('--seed <seed>', 'this one alone, with its transcript').argParser(whole))
    .addOption(
      new Option(
        '--keep <part=numbers>',
        'with --seed: what of it is kept, the rest being left out; repeatable',
      )
        .argParser(keeping)
        .default({}, 'everything'),
    )
    .option('--json <file>', 'write the summary there, as JSON')
    .allowExcessArguments(false);
  const options = command.parse().opts<Options>();
  if (options.seed === undefined && Object.keys(options.keep).length > 0)
    command.error('--keep needs --seed');
  return options;
}

/** Hands chunks of seeds to processes until there are none left, or a history breaks an invariant. */
class Runner {
  readonly #options: Options;
  readonly #startedAt = performance.now();
  readonly #children = new Set<ChildProcess>();
  readonly tally = newTally();
  #next: number;

  constructor(options: Options) {
    this.#options = options;
    this.#next = options.from;
  }

  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1_000;
  }

  async run(): Promise<void> {
    const progress = setInterval(() => this.#report(), progressEveryMs);
    try {
      await Promise.all(Array.from({ length: this.#options.jobs }, () => this.#work()));
    } finally {
      clearInterval(progress);
      for (const child of this.#children) child.kill();
    }
  }

  async #work(): Promise<void> {
    while (this.#hasMore()) {
      const child = fork(fileURLToPath(new URL('child.js', import.meta.url)), { execArgv: childFlags });
      this.#children.add(child);
      for (let n = 0; n < chunksPerProcess && this.#hasMore(); n += 1) {
        const from = this.#next;
        this.#next = Math.min(from + seedsPerChunk, this.#end());
        addUp(this.tally, await ask(child, { from, to: this.#next }));
      }
      child.disconnect();
      this.#children.delete(child);
    }
  }

  #end(): number {
    return this.#options.from + this.#options.seeds;
  }

  #hasMore(): boolean {
    return this.#next < this.#end() && this.tally.failures.length === 0;
  }

  #report(): void {
    const { seeds, faults } = this.tally;
    const perSecond = (seeds / this.seconds).toFixed(0);
    console.log(`${seeds} of ${this.#options.seeds} seeds, ${perSecond}/s, ${sumOf(faults)} faults`);
  }
}

function ask(child: ChildProcess, chunk: Chunk): Promise<Tally> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null, signal: string | null): void =>
      reject(new Error(`seeds ${chunk.from} to ${chunk.to - 1}: their process ended (${signal ?? code})`));
    child.once('exit', ended);
    child.once('message', (tally) => {
      child.off('exit', ended);
      resolve(tally as Tally);
    });
    child.send(chunk);
  });
}

function summary(tally: Tally, seconds: number): string[] {
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([name, times]) => `${name} ${times}`)
      .join(', ');
  const hours = (tally.simulatedMs / 3_600_000).toFixed(0);
  return [
    `${tally.seeds} seeds in ${seconds.toFixed(1)} s, ${(tally.seeds / seconds).toFixed(0)}/s, ${hours} hours of simulated time`,
    `histories: ${list(tally.sizes)}`,
    `${tally.tasks} tasks, ${tally.starts} attempts, ${tally.effects} effects, ${tally.changes} changes of records`,
    `${sumOf(tally.faults)} faults: ${list(tally.faults)}`,
    `moves met: ${list(tally.moves)}`,
  ];
}

/** The smallest history that still breaks what this seed breaks, as far as was searched. */
async function explain(seed: number): Promise<string[]> {
  const { keep, plan, violated, runs } = await shrink(seed);
  const flags = parts.map((part) => ` --keep ${part}=${keep[part].join(',')}`).join('');
  return [
    '',
    `what is left of it after ${runs} tries, and breaks the same:`,
    ...violated.map((what) => `  ${what}`),
    ...left(plan).map((line) => `  ${line}`),
    ...(await endOf(kept(planOf(seed), keep))),
    `again: npm run simulate -- --seed ${seed}${flags}`,
  ];
}

/** What a plan holds, in lines. */
function left(plan: Plan): string[] {
  return [
    `${plan.size}: workers ${names(plan.workers)}; schedulers ${names(plan.schedulers)}; trouble for ${plan.chaosMs} ms`,
    ...plan.tasks.map(({ n, input }) => `task ${n}: ${JSON.stringify(input)}`),
    ...plan.submits.map(
      ({ atMs, tasks, altered }) =>
        `submit at ${Math.round(atMs)} ms: tasks ${tasks.join(', ')}${altered ? ', altered' : ''}`,
    ),
    ...plan.acts.map(({ n, atMs, act }) => `act ${n} at ${Math.round(atMs)} ms: ${act}`),
    ...plan.faults.map(told),
    ...(plan.restore === null ? [] : [`restore: ${JSON.stringify(plan.restore)}`]),
  ];
}

function names(processes: Plan['workers']): string {
  return processes.map(({ name }) => name).join(', ') || 'none';
}

async function endOf(plan: Plan): Promise<string[]> {
  const { transcript } = (await simulate(plan, { transcript: true })).story;
  return [`the last ${transcriptLines} lines of what happened:`, ...transcript.slice(-transcriptLines)];
}

async function runOne(seed: number, keep: Keep): Promise<number> {
  const plan = kept(planOf(seed), keep);
  const history = await simulate(plan, { transcript: true });
  const violated = judge(history);
  for (const line of [...left(plan), '', ...history.story.transcript]) console.log(line);
  for (const line of ['', `${violated.length} violations`, ...violated]) console.log(line);
  return violated.length > 0 ? 1 : 0;
}

async function runMany(options: Options): Promise<number> {
  const runner = new Runner(options);
  await runner.run();
  for (const line of summary(runner.tally, runner.seconds)) console.log(line);
  if (options.json !== undefined) {
    const { json: _file, keep: _keep, ...asked } = options;
    writeFileSync(
      options.json,
      `${JSON.stringify({ ...asked, seconds: runner.seconds, ...runner.tally }, null, 2)}\n`,
    );
  }
  const [first] = runner.tally.failures;
  if (first === undefined) return 0;
  for (const { seed, violated } of runner.tally.failures) {
    console.log(`\nseed ${seed} breaks:`);
    for (const what of violated) console.log(`  ${what}`);
  }
  for (const line of await endOf(planOf(first.seed))) console.log(line);
  console.log(`again: npm run simulate -- --seed ${first.seed}`);
  for (const line of await explain(first.seed)) console.log(line);
  return 1;
}

const options = parsed();
process.exitCode =
  options.seed === undefined ? await runMany(options) : await runOne(options.seed, options.keep);
