// key-commands.ts: the commands that make, list and revoke API keys. They speak to ZooKeeper themselves: whoever may write
// there may do anything, and the first key cannot be asked for with a key.

import { type Command, InvalidArgumentError } from 'commander';
import { type KeyScope, keyScopes, shown } from '../domain/index.js';
import type { KeyView } from '../index.js';
import type { Config, Flags } from '../runtime/index.js';
import { addSettings, connecting, examples } from './flags.js';
import { withKeeper } from './serve.js';
import type { Terminal } from './terminal.js';

type CreateFlags = Omit<Flags, 'queues'> & {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly queues: readonly string[];
  readonly expiresIn?: number;
  readonly expiresAt?: string;
};

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

export function addKeys(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const keys = root.command('keys').description('API keys: who may ask the API for what');
  addCreate(keys, config, terminal);

  const list = keys
    .command('list')
    .description('All keys, the oldest first, one per line of JSON; their secrets are kept nowhere')
    .action((flags: Flags) =>
      withKeeper(config(flags), async (keeper) => {
        for (const key of await keeper.keys.list()) terminal.print(JSON.stringify(shownKey(key)));
      }),
    );
  addSettings(list, connecting);
  examples(list, ['claimkeeper keys list']);

  const revoke = keys
    .command('revoke')
    .description('Ends a key for good, within a second')
    .argument('<id>', "the key's id: what is between its underscores")
    .action((id: string, flags: Flags) =>
      withKeeper(config(flags), async (keeper) => {
        await keeper.keys.revoke(id);
        terminal.print(JSON.stringify({ revoked: id }));
      }),
    );
  addSettings(revoke, connecting);
  examples(revoke, ['claimkeeper keys revoke 6f0c7b3e9f514d0e']);
}

function addCreate(keys: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const create = keys
    .command('create')
    .description('Makes a key and prints it: it is not kept, and cannot be shown again')
    .requiredOption('--name <name>', 'whose it is, or what for')
    .requiredOption('--scopes <scopes>', `any of ${keyScopes.join(', ')}, separated by commas`, words)
    .option('--queues <queues>', 'names of queues, or their beginnings and *, separated by commas', words, [
      '*',
    ])
    .option('--expires-in <time>', 'as in 12h, 90d or 52w (default: never)', durationMs)
    .option('--expires-at <time>', 'ISO 8601 with an offset')
    .action(({ name, scopes, queues, expiresIn, expiresAt, ...flags }: CreateFlags, command: Command) => {
      if (expiresIn !== undefined && expiresAt !== undefined)
        command.error('error: give --expires-in or --expires-at, not both');
      return withKeeper(config(flags), async (keeper, { clock }) => {
        const end = expiresIn === undefined ? expiresAt : clock.now() + expiresIn;
        const input = { name, scopes: scopes as readonly KeyScope[], queues, expiresAt: end };
        const { key, ...view } = await keeper.keys.create(input);
        terminal.print(JSON.stringify({ ...shownKey(view), key }));
        terminal.say('Keep the key: it is not shown again.');
      });
    });
  addSettings(create, connecting);
  examples(create, [
    'claimkeeper keys create --name shop --scopes submit,read --queues mail-* --expires-in 90d',
    'claimkeeper keys create --name on-call --scopes read,operate',
  ]);
}

function shownKey({ createdAt, expiresAt, ...key }: KeyView): object {
  const iso = (at: number): string => new Date(at).toISOString();
  return { ...key, createdAt: iso(createdAt), expiresAt: expiresAt === null ? null : iso(expiresAt) };
}

function words(text: string): readonly string[] {
  return text.split(',').map((word) => word.trim());
}

/** @throws InvalidArgumentError */
function durationMs(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})([mhdw])$/.exec(text) ?? [];
  if (count === undefined)
    throw new InvalidArgumentError(`${shown(text)} is no time such as 30m, 12h, 90d or 52w.`);
  return Number(count) * (unitsMs[unit] ?? 0);
}
