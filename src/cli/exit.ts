// exit.ts: what a command's exit code says. Part of the command line's contract: a code keeps its meaning.

import { CommanderError } from 'commander';
import { ClaimkeeperError } from '../domain/index.js';

export const exitCodes = { ok: 0, failed: 1, usage: 2, conflict: 3, unavailable: 4 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** How a command that has not failed says how it ended. */
export type Result = { code: ExitCode };

export const exitCodesHelp = `
Exit codes:
  0  done
  1  failed, or refused for what it contains
  2  the command line, the environment or the module is not valid
  3  no such task, or it conflicts with what is there
  4  ZooKeeper or the API cannot be reached now: the same command may succeed later`;

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (!(error instanceof ClaimkeeperError)) return exitCodes.failed;
  return error.code === 'CONFIG_INVALID' ? exitCodes.usage : exitCodeOfProblem(error);
}

/** Of what ended the command, and of what became of one task among many. */
export function exitCodeOfProblem({
  status,
  retryable,
}: Pick<ClaimkeeperError, 'status' | 'retryable'>): ExitCode {
  if ([404, 409, 412].includes(status)) return exitCodes.conflict;
  return retryable && (status === 503 || status === 429) ? exitCodes.unavailable : exitCodes.failed;
}
