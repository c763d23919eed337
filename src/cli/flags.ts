// flags.ts: what the commands' flags have in common: settings that may come from the environment too, numbers, examples.

import { type Command, InvalidArgumentError } from 'commander';
import { shown } from '../domain/index.js';
import { type Config, flagOf, settings } from '../runtime/index.js';

/** The settings of a command that asks the API. */
export const asking = ['api', 'apiKey'] as const;
/** Those of a command that connects to ZooKeeper and Redis itself. */
export const connecting = ['zookeeper', 'chroot', 'redis', 'prefix', 'sessionTimeoutMs', 'logLevel'] as const;

/** A flag for each of these settings, and one for the file with any. */
export function addSettings(command: Command, keys: readonly (keyof Config)[]): void {
  for (const key of keys) {
    const { env, help, default: value, secret = false } = settings[key];
    const preset = value === null ? '' : `default: ${value}, `;
    const variables = secret ? `${env} or ${env}_FILE` : env;
    command.option(`${flagOf(key)} <value>`, `${help} (${preset}env: ${variables})`);
  }
  command.option('--config <file>', 'settings as a JSON object (env: CLAIMKEEPER_CONFIG)');
}

/** Below the command's help. */
export function examples(command: Command, lines: readonly string[]): void {
  command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
}

/** @throws InvalidArgumentError */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`${shown(text)} is not a whole number within ${min} – ${max}.`);
  };
}
