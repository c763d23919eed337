// serving-commands.ts: the commands that run until they are told to stop, and the one that lets them go on after a restore.

import type { Command } from 'commander';
import type { Config, Flags } from '../runtime/index.js';
import { addSettings, connecting, examples, wholeNumber } from './flags.js';
import { confirmRestored, serveApi, serveScheduler, serveWorker } from './serve.js';
import { loadTaskTypes } from './task-module.js';
import type { Terminal } from './terminal.js';
import { up } from './up.js';

const listening = ['host', 'port', 'requireKeys', 'rateLimitPerSecond', 'dedupWindowMs'] as const;
const leading = ['graceMs', 'dedupWindowMs'] as const;
const working = ['queues', 'concurrency', 'drainMsMax'] as const;

export function addServing(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
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
  addSettings(apiCommand, [...connecting, ...listening]);
  examples(apiCommand, ['claimkeeper api --zookeeper zk1:2181,zk2:2181,zk3:2181 --redis redis://redis:6379']);

  const schedulerCommand = root
    .command('scheduler')
    .description("The leader's work; any number may run, one leads")
    .action((flags: Flags) => serveScheduler(config(flags)));
  addSettings(schedulerCommand, [...connecting, ...leading]);
  examples(schedulerCommand, ['claimkeeper scheduler --log-level debug']);

  const workerCommand = root
    .command('worker')
    .description('Runs tasks; stops gracefully on SIGINT or SIGTERM, at once on the second')
    .argument('<module>', 'ES module whose default export is a list of task types (from defineTask)')
    .action(async (module: string, flags: Flags) => serveWorker(config(flags), await loadTaskTypes(module)));
  addSettings(workerCommand, [...connecting, ...working]);
  examples(workerCommand, ['claimkeeper worker ./tasks.js --queues default,mail --concurrency 50']);
}

export function addRepair(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
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
  addSettings(confirmCommand, connecting);
  examples(confirmCommand, ['claimkeeper confirm-restore --held 6f0c7b3e-9f51-4d0e-8a53-1f2b7d6a9c10']);
}
