// worker-commands.ts: `claimkeeper workers`: who is there to run tasks, through the API.

import type { Command } from 'commander';
import type { Worker } from '../client/index.js';
import type { Config, Flags } from '../runtime/index.js';
import { apiClient } from './api-client.js';
import { addSettings, asking, examples } from './flags.js';
import { addOutput, type Column, type OutputFlags, printAll } from './output.js';
import type { Terminal } from './terminal.js';

const columns: readonly Column<Worker>[] = [
  ['ID', ({ id }) => id],
  ['HOST', ({ host }) => host],
  ['PID', ({ pid }) => pid],
  ['QUEUES', ({ queues }) => queues.join(' ')],
  ['TYPES', ({ types }) => types.join(' ')],
  ['RUNNING', ({ tasks, concurrency }) => `${tasks.length}/${concurrency}`],
  ['STARTED', ({ startedAt }) => startedAt],
];

export function addWorkers(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const workers = root
    .command('workers')
    .description('The workers that are alive, and how many tasks each runs')
    .action(async ({ output, ...flags }: Flags & OutputFlags) => {
      const client = apiClient(config(flags));
      printAll(terminal, output, await client.workers(), columns);
    });
  addOutput(workers);
  addSettings(workers, asking);
  examples(workers, ['claimkeeper workers', 'claimkeeper workers -o json']);
}
