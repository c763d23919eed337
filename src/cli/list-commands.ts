// list-commands.ts: the commands that list tasks and queues, and pause queues, through the API.

import { type Command, Option } from 'commander';
import type { Queue, Summary, TaskPage } from '../client/index.js';
import { limits, states } from '../domain/index.js';
import type { Config, Flags } from '../runtime/index.js';
import { type ApiClient, apiClient } from './api-client.js';
import { addSettings, asking, examples, wholeNumber } from './flags.js';
import { addOutput, type Column, formatOf, type OutputFlags, printAll } from './output.js';
import type { Terminal } from './terminal.js';

type ListFlags = Flags &
  OutputFlags & {
    readonly state?: string;
    readonly queue?: string;
    readonly type?: string;
    readonly errorCode?: string;
    readonly acceptedAfter?: string;
    readonly acceptedBefore?: string;
    readonly limit?: number;
    readonly cursor?: string;
  };

const taskColumns: readonly Column<Summary>[] = [
  ['ID', ({ id }) => id],
  ['STATE', ({ state }) => state],
  ['TYPE', ({ type }) => type],
  ['QUEUE', ({ queue }) => queue],
  ['ATTEMPT', ({ attempt }) => attempt],
  ['ACCEPTED', ({ acceptedAt }) => acceptedAt],
  ['ERROR', ({ errorCode }) => errorCode],
];

const queueColumns: readonly Column<Queue>[] = [
  ['QUEUE', ({ queue }) => queue],
  ...states.map((state): Column<Queue> => [state.toUpperCase(), ({ counts }) => counts[state]]),
  ['DUE SINCE', ({ oldestDueMs: ms }) => (ms === null ? null : `${(ms / 1_000).toFixed(1)} s`)],
  ['PAUSED', ({ paused }) => (paused ? 'paused' : null)],
];

export function addLists(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const client = ({ api, apiKey, config: from }: Flags): ApiClient =>
    apiClient(config({ api, apiKey, config: from }));

  const list = root
    .command('list')
    .description('Lists tasks, newest first')
    .addOption(new Option('--state <state>', 'only tasks in this state').choices(states))
    .option('--queue <name>', 'only tasks of this queue')
    .option('--type <name>', 'only tasks of this type')
    .option('--error-code <code>', 'only tasks whose last attempt ended with this error')
    .option('--accepted-after <time>', 'only tasks accepted then or later, ISO 8601 with an offset')
    .option('--accepted-before <time>', 'only tasks accepted earlier than that')
    .option(
      '--limit <n>',
      `tasks of one page, 1 to ${limits.listTasksMax} (default: 50)`,
      wholeNumber(1, limits.listTasksMax),
    )
    .option('--cursor <cursor>', 'the page after another one, which named this cursor')
    .action(async ({ api, apiKey, config: from, output, ...filter }: ListFlags) => {
      const query = Object.entries(filter).map(([name, value]) => [name, String(value)]);
      const page = await client({ api, apiKey, config: from }).list(Object.fromEntries(query));
      printAll(terminal, output, page.tasks, taskColumns, page);
      if (formatOf(output, terminal) === 'table') sayOf(page, terminal);
    });
  addOutput(list);
  addSettings(list, asking);
  examples(list, [
    'claimkeeper list --state uncertain',
    'claimkeeper list --queue mail --error-code HANDLER_FAILED --limit 10 -o json',
  ]);
  addQueues(root, client, terminal);
}

function addQueues(root: Command, client: (flags: Flags) => ApiClient, terminal: Terminal): void {
  const queues = root
    .command('queues')
    .description('Shows queues with their counts; pauses and resumes them')
    .action(async (flags: Flags & OutputFlags) => {
      const found = await client(flags).queues();
      printAll(terminal, flags.output, found.queues, queueColumns, found);
      if (formatOf(flags.output, terminal) === 'table') sayRebuilding(found.rebuilding, terminal);
    });
  addOutput(queues);
  addSettings(queues, asking);
  examples(queues, ['claimkeeper queues', 'claimkeeper queues pause mail', 'claimkeeper queues resume mail']);

  for (const act of ['pause', 'resume'] as const) {
    const command = queues
      .command(act)
      .description(
        act === 'pause'
          ? 'No worker takes tasks of the queue any more; those that run go on'
          : 'Lets the queue go on',
      )
      .argument('<name>', "the queue's name")
      // The command above has the same flag, and takes it wherever it stands.
      .action(async (name: string, _flags: Flags, command: Command) => {
        const flags = command.optsWithGlobals<Flags>();
        terminal.print(JSON.stringify(await client(flags).steerQueue(name, act)));
      });
    addSettings(command, asking);
    examples(command, [`claimkeeper queues ${act} mail`]);
  }
}

function sayOf({ cursor, rebuilding }: TaskPage, terminal: Terminal): void {
  if (cursor !== null) terminal.say(`more: --cursor ${cursor}`);
  sayRebuilding(rebuilding, terminal);
}

function sayRebuilding(rebuilding: boolean, terminal: Terminal): void {
  if (rebuilding) terminal.say('Redis has lost its data and is being filled again: tasks may be missing');
}
