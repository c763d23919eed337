// schedule-commands.ts: the commands that make, show, change, run and remove schedules, through the API.

import type { Command } from 'commander';
import type { Schedule } from '../client/index.js';
import { limits } from '../domain/index.js';
import type { Config, Flags } from '../runtime/index.js';
import { type ApiClient, apiClient } from './api-client.js';
import { addSettings, asking, examples, wholeNumber } from './flags.js';
import { addOutput, type Column, type Format, type OutputFlags, printAll, printOne } from './output.js';
import { addDefinition, type DefinitionFlags, definitionOf, readDefinition } from './schedule-definition.js';

import type { Terminal } from './terminal.js';

type Asking = Flags & OutputFlags;

const columns: readonly Column<Schedule>[] = [
  ['ID', ({ id }) => id],
  ['CRON', ({ cron }) => cron],
  ['TIME ZONE', ({ timeZone }) => timeZone],
  ['TYPE', ({ task }) => task.type],
  ['PAUSED', ({ paused }) => (paused ? 'yes' : 'no')],
  ['NEXT', ({ next }) => next],
  ['LAST', ({ last }) => last?.tick],
];

/** What the commands of this group work with. */
type Group = {
  readonly root: Command;
  readonly terminal: Terminal;
  readonly client: (flags: Flags) => ApiClient;
};

export function addSchedules(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const schedules = root.command('schedules').description('Schedules: tasks by the calendar');
  const client = (flags: Flags): ApiClient => apiClient(config(flags));
  const group = { root: schedules, terminal, client };
  addReading(group);
  addWriting(group);
  addActing(group);
  addTicks(group);
  examples(schedules, [
    `claimkeeper schedules create --id report --cron '0 6 * * MON-FRI' --time-zone Europe/Berlin --type report`,
    'claimkeeper schedules list',
    'claimkeeper schedules pause report',
  ]);
}

function addReading({ root, terminal, client }: Group): void {
  const list = root
    .command('list')
    .description('All schedules')
    .action(async ({ output, ...flags }: Asking) => {
      printAll(terminal, output, await client(flags).schedules(), columns);
    });
  addOutput(list);
  addSettings(list, asking);
  examples(list, ['claimkeeper schedules list -o json']);

  const get = root
    .command('get')
    .description('Shows a schedule: its definition, its next tick and its last')
    .argument('<id>', "the schedule's id")
    .action(async (id: string, { output, ...flags }: Asking) => {
      printOne(terminal, output, await client(flags).schedule(id));
    });
  addOutput(get);
  addSettings(get, asking);
  examples(get, ['claimkeeper schedules get report']);
}

function addWriting({ root, terminal, client }: Group): void {
  const create = root
    .command('create')
    .description(
      'Makes a schedule, given by flags or by a file; the same definition again is the same schedule',
    )
    .option('--id <id>', "the schedule's id")
    .action(async ({ output, api, apiKey, config: from, ...flags }: Asking & DefinitionFlags) => {
      const definition = await readDefinition(flags, terminal);
      printOne(terminal, output, await client({ api, apiKey, config: from }).createSchedule(definition));
    });
  addDefinition(create);
  addOutput(create);
  addSettings(create, asking);
  examples(create, [
    `claimkeeper schedules create --id report --cron '0 6 * * *' --type report --payload '{"of":"yesterday"}'`,
    'claimkeeper schedules create --file report.json',
  ]);

  const update = root
    .command('update')
    .description(
      'Changes what the flags say and leaves the rest, or replaces the definition by that of a file',
    )
    .argument('<id>', "the schedule's id")
    .option('--revision <revision>', 'only if it is still at that revision')
    .action(
      async (
        id: string,
        { output, api, apiKey, config: from, revision, ...flags }: Asking & DefinitionFlags & Revision,
      ) => {
        const asked = client({ api, apiKey, config: from });
        const found = flags.file === undefined ? await asked.schedule(id) : null;
        const definition = await readDefinition(flags, terminal, found === null ? {} : definitionOf(found));
        const at = revision ?? found?.revision;
        printOne(terminal, output, await asked.updateSchedule(id, definition, at));
      },
    );
  addDefinition(update);
  addOutput(update);
  addSettings(update, asking);
  examples(update, [`claimkeeper schedules update report --cron '0 7 * * *'`]);

  const remove = root
    .command('remove')
    .description('Removes a schedule; tasks that it has fired stay')
    .argument('<id>', "the schedule's id")
    .option('--revision <revision>', 'only if it is still at that revision')
    .action(async (id: string, { revision, ...flags }: Flags & Revision) => {
      await client(flags).removeSchedule(id, revision);
      terminal.say(`removed: ${id}`);
    });
  addSettings(remove, asking);
  examples(remove, ['claimkeeper schedules remove report']);
}

type Revision = { readonly revision?: string };

function addActing({ root, terminal, client }: Group): void {
  for (const act of ['pause', 'resume'] as const) {
    const command = root
      .command(act)
      .description(
        act === 'pause' ? 'Nothing fires until it is resumed' : 'Fires again, from the next tick on',
      )
      .argument('<id>', "the schedule's id")
      .action(async (id: string, { output, ...flags }: Asking) => {
        printOne(terminal, output, await client(flags).actOnSchedule(id, act));
      });
    addOutput(command);
    addSettings(command, asking);
    examples(command, [`claimkeeper schedules ${act} report`]);
  }

  const runNow = root
    .command('run')
    .description('Submits a task of it now, apart from its ticks')
    .argument('<id>', "the schedule's id")
    .option('--key <key>', 'the same key is the same task, <id>@run-<key> (default: a new one)')
    .action(async (id: string, { output, key, ...flags }: Asking & { readonly key?: string }) => {
      printOne(terminal, output, await client(flags).runSchedule(id, key));
    });
  addOutput(runNow);
  addSettings(runNow, asking);
  examples(runNow, ['claimkeeper schedules run report --key by-hand-1']);
}

type Ticks = { readonly count?: number; readonly from?: string };

function addTicks({ root, terminal, client }: Group): void {
  const print = (format: Format | undefined, ticks: readonly string[]): void =>
    printAll(terminal, format, ticks, [['TICK', (tick) => tick]]);
  const withTicks = (command: Command): Command =>
    command
      .option('--count <n>', 'how many (default: 5)', wholeNumber(1, limits.ticksMax))
      .option('--from <time>', 'later than that, ISO 8601 with an offset (default: now)');

  const next = withTicks(root.command('next'))
    .description('The ticks to come of a schedule, paused or not')
    .argument('<id>', "the schedule's id")
    .action(async (id: string, { output, count, from, ...flags }: Asking & Ticks) => {
      print(output, await client(flags).nextTicks(id, { count, from }));
    });
  addOutput(next);
  addSettings(next, asking);
  examples(next, ['claimkeeper schedules next report --count 10']);

  const preview = withTicks(root.command('preview'))
    .description('The ticks to come of a definition that is not stored')
    .option('--id <id>', "the schedule's id", 'preview')
    .action(
      async ({
        output,
        count,
        from,
        api,
        apiKey,
        config: file,
        ...flags
      }: Asking & Ticks & DefinitionFlags) => {
        const definition = await readDefinition({ type: 'preview', ...flags }, terminal);
        print(output, await client({ api, apiKey, config: file }).previewTicks(definition, { count, from }));
      },
    );
  addDefinition(preview);
  addOutput(preview);
  addSettings(preview, asking);
  examples(preview, [`claimkeeper schedules preview --cron '30 2 * * *' --time-zone Europe/Berlin`]);
}
