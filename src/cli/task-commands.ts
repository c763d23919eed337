// task-commands.ts: the commands that submit tasks, show them and steer them, through the API.

import { type Command, Option } from 'commander';
import { limits, type Resolution } from '../domain/index.js';
import type { Config, Flags } from '../runtime/index.js';
import { type ApiClient, apiClient } from './api-client.js';
import type { Result } from './exit.js';
import { addSettings, asking, examples, wholeNumber } from './flags.js';
import { addOutput, formatOf, type OutputFlags, printJson } from './output.js';
import { parsePayload, submitLines, submitOne } from './submit.js';
import { taskTableOf } from './task-table.js';
import type { Terminal } from './terminal.js';

type SubmitFlags = Flags & {
  readonly file?: string;
  readonly id?: string;
  readonly type?: string;
  readonly payload?: unknown;
  readonly attempts?: number;
};

type GetFlags = OutputFlags & { readonly wait?: number | true };

export function addAsking(
  root: Command,
  config: (flags: Flags) => Config,
  terminal: Terminal,
  result: Result,
): void {
  const client = (flags: Flags): ApiClient => apiClient(config(flags));
  const show = (value: unknown): void => printJson(terminal, value);

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
    .action(async ({ file, api, apiKey, config: from, ...task }: SubmitFlags, command: Command) => {
      const asked = client({ api, apiKey, config: from });
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
  addSettings(submit, asking);
  examples(submit, [
    `claimkeeper submit --id welcome:17 --type email --payload '{"to":"ada@example.org"}'`,
    'claimkeeper submit --file tasks.ndjson',
    `echo '{"id":"welcome:18","type":"email"}' | claimkeeper submit --file -`,
  ]);

  const get = root
    .command('get')
    .description('Shows a task with its attempts')
    .argument('<id>', "the task's id")
    .option(
      '--wait [seconds]',
      `first wait for it to end, up to so long (default: ${limits.waitSecondsMax})`,
      wholeNumber(1, limits.timeoutMsMax / 1_000),
    )
    .action(async (id: string, { output, wait, ...flags }: Flags & GetFlags) => {
      const seconds = wait === true ? limits.waitSecondsMax : wait;
      const task = await (seconds === undefined ? client(flags).get(id) : client(flags).wait(id, seconds));
      if (formatOf(output, terminal) === 'table') terminal.print(taskTableOf(task));
      else show(task);
    });
  addOutput(get);
  addSettings(get, asking);
  examples(get, [
    'claimkeeper get welcome:17',
    'claimkeeper get welcome:17 -o json',
    'claimkeeper get welcome:17 --wait 60',
  ]);

  addActs(root, client, show);
}

function addActs(root: Command, client: (flags: Flags) => ApiClient, show: (value: unknown) => void): void {
  const replay = root
    .command('replay')
    .description('Runs a task again that failed, was cancelled, or whose outcome is uncertain')
    .argument('<id>', "the task's id")
    .action(async (id: string, flags: Flags) => show(await client(flags).replay(id)));
  addSettings(replay, asking);
  examples(replay, ['claimkeeper replay welcome:17']);

  const cancel = root
    .command('cancel')
    .description('Cancels a task that waits; asks one that runs to stop')
    .argument('<id>', "the task's id")
    .action(async (id: string, flags: Flags) => show(await client(flags).cancel(id)));
  addSettings(cancel, asking);
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
  addSettings(resolve, asking);
  examples(resolve, [
    `claimkeeper resolve welcome:17 --as completed --note 'the mail is in the sent folder'`,
  ]);
}
