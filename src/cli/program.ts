// program.ts: the command line. Owns commands, flags and help; what a command does is in its own file.

import { Command, InvalidArgumentError, Option } from 'commander';
import { limits, type Resolution, shown } from '../domain/index.js';
import { type Config, type Flags, flagOf, resolveConfig, settings, systemClock } from '../runtime/index.js';
import { ApiClient } from './api-client.js';
import { type ExitCode, exitCodeOf, exitCodes, exitCodesHelp } from './exit.js';
import { confirmRestored, serveApi, serveScheduler, serveWorker } from './serve.js';
import { parsePayload, submitLines, submitOne } from './submit.js';
import { loadTaskTypes } from './task-module.js';
import type { Terminal } from './terminal.js';
import { up } from './up.js';

const serving = ['zookeeper', 'chroot', 'redis', 'prefix', 'sessionTimeoutMs', 'logLevel'] as const;
const listening = ['host', 'port', 'dedupWindowMs'] as const;
const leading = ['graceMs', 'dedupWindowMs'] as const;
const working = ['queues', 'concurrency', 'drainMsMax'] as const;

/** Runs one command line (without the program's own name); resolves with the exit code. Never rejects. */
export async function run(args: readonly string[], version: string, terminal: Terminal): Promise<ExitCode> {
  const result = { code: exitCodes.ok as ExitCode };
  try {
    await program(version, terminal, result).parseAsync([...args], { from: 'user' });
    return result.code;
  } catch (error) {
    const code = exitCodeOf(error);
    // Commander has said its own already.
    if (!(error instanceof Error && 'exitCode' in error)) terminal.say(`claimkeeper: ${messageOf(error)}`);
    return code;
  }
}

type Result = { code: ExitCode };

function program(version: string, terminal: Terminal, result: Result): Command {
  const root = new Command('claimkeeper')
    .description('A task scheduler for work that must not run twice.')
    .version(version)
    .configureOutput({
      writeOut: (text) => terminal.print(text.trimEnd()),
      writeErr: (text) => terminal.say(text.trimEnd()),
    })
    .exitOverride()
    .addHelpText(
      'after',
      `\nSettings may come from the environment, as each command's help says.${exitCodesHelp}`,
    );
  const config = (flags: Flags): Config => resolveConfig(flags, terminal.env);

  addServing(root, config, terminal);
  addRepair(root, config, terminal);
  addAsking(root, config, terminal, result);
  return root;
}

function addServing(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const upCommand = root
    .command('up')
    .description('Everything in one terminal: servers, API, scheduler and workers, until Ctrl-C')
    .option(
      '--module <file>',
      'ES module whose default export is a list of task types; without it there is no worker',
    )
    .option('--workers <n>', 'worker processes', wholeNumber(1, 64), 2)
    .action((flags: Flags & { workers: number; module?: string }) =>
      up(config(flags), { workers: flags.workers, module: flags.module ?? null }, terminal),
    );
  addSettings(upCommand, [
    'chroot',
    'prefix',
    'sessionTimeoutMs',
    'logLevel',
    ...new Set([...listening, ...leading, ...working]),
  ]);
  examples(upCommand, [
    'claimkeeper up --module ./tasks.js',
    'ZOOKEEPER_URL=127.0.0.1:2181 REDIS_URL=redis://127.0.0.1:6379 claimkeeper up --workers 4 --module ./tasks.js',
  ]);

  const apiCommand = root
    .command('api')
    .description('The HTTP API')
    .action((flags: Flags) => serveApi(config(flags), terminal));
  addSettings(apiCommand, [...serving, ...listening]);
  examples(apiCommand, ['claimkeeper api --zookeeper zk1:2181,zk2:2181,zk3:2181 --redis redis://redis:6379']);

  const schedulerCommand = root
    .command('scheduler')
    .description("The leader's work; any number may run, one leads")
    .action((flags: Flags) => serveScheduler(config(flags)));
  addSettings(schedulerCommand, [...serving, ...leading]);
  examples(schedulerCommand, ['claimkeeper scheduler --log-level debug']);

  const workerCommand = root
    .command('worker')
    .description('Runs tasks; stops gracefully on SIGINT or SIGTERM, at once on the second')
    .argument('<module>', 'ES module whose default export is a list of task types (from defineTask)')
    .action(async (module: string, flags: Flags) => serveWorker(config(flags), await loadTaskTypes(module)));
  addSettings(workerCommand, [...serving, ...working]);
  examples(workerCommand, ['claimkeeper worker ./tasks.js --queues default,mail --concurrency 50']);
}

function addRepair(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const confirmCommand = root
    .command('confirm-restore')
    .description("Lets processes go on that stopped because ZooKeeper's data was wiped or restored")
    .option(
      '--held <generation...>',
      "the generations that stopped processes named in their logs ('held')",
      [],
    )
    .action(async (flags: Flags & { held: string[] }) =>
      confirmRestored(config(flags), flags.held, terminal),
    );
  addSettings(confirmCommand, serving);
  examples(confirmCommand, ['claimkeeper confirm-restore --held 6f0c7b3e-9f51-4d0e-8a53-1f2b7d6a9c10']);
}

type SubmitFlags = Flags & {
  readonly file?: string;
  readonly id?: string;
  readonly type?: string;
  readonly payload?: unknown;
  readonly attempts?: number;
};

function addAsking(
  root: Command,
  config: (flags: Flags) => Config,
  terminal: Terminal,
  result: Result,
): void {
  const client = (flags: Flags): ApiClient => new ApiClient(config(flags).api, systemClock);
  const show = (value: unknown): void => terminal.print(JSON.stringify(value, null, 2));

  const submit = root
    .command('submit')
    .description('Submits one task given by flags, or one per line of JSON')
    .option('--id <id>', 'idempotency key: the same id with the same content is the same task')
    .option('--type <name>', 'task type')
    .option('--queue <name>', 'queue (default: default)')
    .option('--payload <json>', 'any JSON value up to 64 KiB (default: null)', parsePayload)
    .option(
      '--priority <n>',
      '0, the most urgent and the default, to 1000',
      wholeNumber(0, limits.priorityMax),
    )
    .option('--delay-ms <ms>', 'not before this many ms from now', wholeNumber(0, limits.delayMsMax))
    .option('--run-at <time>', 'not before this time, ISO 8601 with an offset')
    .option('--attempts <n>', 'attempts in all', wholeNumber(1, limits.attemptsMax))
    .option('--timeout-ms <ms>', "an attempt's deadline", wholeNumber(1, limits.timeoutMsMax))
    .addOption(
      new Option('--on-interrupted <policy>', 'if a worker dies').choices(['park', 'verify', 'rerun']),
    )
    .addOption(
      new Option('--file <file>', 'tasks from a file, one per line of JSON; - for standard input').conflicts([
        ...['id', 'type', 'queue', 'payload', 'priority', 'delayMs', 'runAt'],
        ...['attempts', 'timeoutMs', 'onInterrupted'],
      ]),
    )
    .action(async ({ file, api, ...task }: SubmitFlags, command: Command) => {
      const asked = client({ api });
      if (file !== undefined) {
        result.code = await submitLines(asked, file, terminal);
        return;
      }
      if (task.id === undefined || task.type === undefined)
        command.error('error: give --id and --type, or --file');
      const { attempts, ...rest } = task;
      const input = attempts === undefined ? rest : { ...rest, retry: { attempts } };
      result.code = await submitOne(asked, input, terminal);
    });
  addSettings(submit, ['api']);
  examples(submit, [
    `claimkeeper submit --id welcome:17 --type email --payload '{"to":"ada@example.org"}'`,
    'claimkeeper submit --file tasks.ndjson',
    `echo '{"id":"welcome:18","type":"email"}' | claimkeeper submit --file -`,
  ]);

  const get = root
    .command('get')
    .description('Shows a task with its attempts')
    .argument('<id>', "the task's id")
    .action(async (id: string, flags: Flags) => show(await client(flags).get(id)));
  addSettings(get, ['api']);
  examples(get, ['claimkeeper get welcome:17']);

  addActs(root, client, show);
}

function addActs(root: Command, client: (flags: Flags) => ApiClient, show: (value: unknown) => void): void {
  const replay = root
    .command('replay')
    .description('Runs a task again that failed, was cancelled, or whose outcome is uncertain')
    .argument('<id>', "the task's id")
    .action(async (id: string, flags: Flags) => show(await client(flags).replay(id)));
  addSettings(replay, ['api']);
  examples(replay, ['claimkeeper replay welcome:17']);

  const cancel = root
    .command('cancel')
    .description('Cancels a task that waits; asks one that runs to stop')
    .argument('<id>', "the task's id")
    .action(async (id: string, flags: Flags) => show(await client(flags).cancel(id)));
  addSettings(cancel, ['api']);
  examples(cancel, ['claimkeeper cancel welcome:17']);

  const resolve = root
    .command('resolve')
    .description('Says what happened to a task whose outcome is uncertain')
    .argument('<id>', "the task's id")
    .addOption(
      new Option('--as <outcome>', 'what happened').choices(['completed', 'failed']).makeOptionMandatory(),
    )
    .requiredOption('--note <text>', `how you know, up to ${limits.errorMessageCharsMax} characters`)
    .action(async (id: string, { as, note, ...flags }: Flags & Resolution) =>
      show(await client(flags).resolve(id, { as, note })),
    );
  addSettings(resolve, ['api']);
  examples(resolve, [
    `claimkeeper resolve welcome:17 --as completed --note 'the mail is in the sent folder'`,
  ]);
}

function addSettings(command: Command, keys: readonly (keyof Config)[]): void {
  for (const key of keys) {
    const { env, help, default: value } = settings[key];
    command.option(`${flagOf(key)} <value>`, `${help} (default: ${value}, env: ${env})`);
  }
}

function examples(command: Command, lines: readonly string[]): void {
  command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`${shown(text)} is not a whole number within ${min} – ${max}.`);
  };
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? `${error.message} [${error.code}]` : (error.stack ?? error.message);
}
