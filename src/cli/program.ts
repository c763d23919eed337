// program.ts: the command line. Owns how it is run, and what all of it shares; the commands are in files of their own.

import { Command } from 'commander';
import { type Config, type Flags, resolveConfig } from '../runtime/index.js';
import { addCompletion } from './completion.js';
import { type ExitCode, exitCodeOf, exitCodes, exitCodesHelp, type Result } from './exit.js';
import { addKeys } from './key-commands.js';
import { addLists } from './list-commands.js';
import { addSchedules } from './schedule-commands.js';
import { addRepair, addServing } from './serving-commands.js';
import { addAsking } from './task-commands.js';
import type { Terminal } from './terminal.js';
import { addWatch } from './watch-command.js';
import { addWorkers } from './worker-commands.js';

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
      `\nSettings may come from the environment or a file, as each command's help says.${exitCodesHelp}`,
    );
  const config = (flags: Flags): Config => resolveConfig(flags, terminal.env);

  addServing(root, config, terminal);
  addRepair(root, config, terminal);
  addKeys(root, config, terminal);
  addAsking(root, config, terminal, result);
  addCompletion(root, terminal);
  addLists(root, config, terminal);
  addWatch(root, config, terminal);
  addSchedules(root, config, terminal);
  addWorkers(root, config, terminal);
  return root;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? `${error.message} [${error.code}]` : (error.stack ?? error.message);
}
