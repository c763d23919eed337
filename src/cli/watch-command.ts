// watch-command.ts: `claimkeeper watch`: changes of state as they happen, one line each. Owns going on after a broken stream from
// where it broke off.

import { type Command, Option } from 'commander';
import type { Change, StreamItem } from '../client/index.js';
import { ClaimkeeperError, states } from '../domain/index.js';
import { type Config, delay, type Flags, systemClock } from '../runtime/index.js';
import { type ApiClient, apiClient } from './api-client.js';
import { addSettings, asking, examples, wholeNumber } from './flags.js';
import { addOutput, type Format, formatOf, type OutputFlags } from './output.js';
import type { Terminal } from './terminal.js';

type WatchFlags = Flags &
  OutputFlags & {
    readonly state?: string;
    readonly queue?: string;
    readonly type?: string;
    readonly after?: string;
    readonly count?: number;
  };

const againMs = 1_000;
const countMax = 1_000_000_000;

export function addWatch(root: Command, config: (flags: Flags) => Config, terminal: Terminal): void {
  const watch = root
    .command('watch')
    .description('Prints changes of state as they happen, until Ctrl-C')
    .addOption(new Option('--state <state>', 'only changes to this state').choices(states))
    .option('--queue <name>', 'only tasks of this queue')
    .option('--type <name>', 'only tasks of this type')
    .option('--after <id>', 'from the event after this one on; 0: from the oldest that is kept')
    .option('--count <n>', 'ends after this many', wholeNumber(1, countMax))
    .action(async ({ api, apiKey, config: from, output, after, count, ...filter }: WatchFlags) => {
      const client = apiClient(config({ api, apiKey, config: from }));
      const query = Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, String(value)]));
      const format = formatOf(output, terminal);
      await new Watching(client, query, format, terminal).run(after ?? null, count ?? countMax);
    });
  addOutput(watch);
  addSettings(watch, asking);
  examples(watch, ['claimkeeper watch --state failed', 'claimkeeper watch --queue mail -o json']);
}

class Watching {
  readonly #client: ApiClient;
  readonly #query: Readonly<Record<string, string>>;
  readonly #format: Format;
  readonly #terminal: Terminal;
  #seen: string | null = null;
  #left = 0;

  constructor(
    client: ApiClient,
    query: Readonly<Record<string, string>>,
    format: Format,
    terminal: Terminal,
  ) {
    this.#client = client;
    this.#query = query;
    this.#format = format;
    this.#terminal = terminal;
  }

  /** @throws ClaimkeeperError when there is no stream at first; once there was one, it is asked for again until it is there */
  async run(after: string | null, count: number): Promise<void> {
    this.#seen = after;
    this.#left = count;
    for (let connected = false; this.#left > 0; await delay(systemClock, againMs)) {
      try {
        for await (const item of this.#client.events(this.#query, this.#seen)) {
          connected = true;
          this.#show(item);
          if (this.#left === 0) return;
        }
        this.#terminal.say('the stream of events has ended; asking again');
      } catch (error) {
        if (!(connected && error instanceof ClaimkeeperError && error.retryable)) throw error;
        this.#terminal.say(`${error.message}; asking again`);
      }
    }
  }

  #show(item: StreamItem): void {
    if (item.id !== null) this.#seen = item.id;
    if (item.kind === 'gap') this.#terminal.say('some events are missing here: they are no longer kept');
    if (item.kind !== 'event') return;
    this.#left -= 1;
    const { id, change } = item;
    this.#terminal.print(this.#format === 'json' ? JSON.stringify({ id, ...change }) : lineOf(change));
  }
}

function lineOf({ at, from, task }: Change): string {
  const { id, state, queue, type, attempt, errorCode } = task;
  const change = from === null ? state : `${from} → ${state}`;
  return [
    at,
    id,
    change,
    `${queue}/${type}`,
    `attempt ${attempt}`,
    ...(errorCode === null ? [] : [errorCode]),
  ].join('  ');
}
