// watch-command.ts: `claimkeeper watch`: changes of state as they happen, one line each. Owns going on after a broken stream from
// where it broke off, and the reading of server-sent events.

import { type Command, Option } from 'commander';
import { ClaimkeeperError, states } from '../domain/index.js';
import type { EventView } from '../http/index.js';
import { type Config, delay, type Flags, systemClock } from '../runtime/index.js';
import { ApiClient } from './api-client.js';
import { addSettings, examples, wholeNumber } from './flags.js';
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
    .action(async ({ api, output, after, count, ...filter }: WatchFlags) => {
      const client = new ApiClient(config({ api }).api, systemClock);
      const query = Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, String(value)]));
      const format = formatOf(output, terminal);
      await new Watching(client, query, format, terminal).run(after ?? null, count ?? countMax);
    });
  addOutput(watch);
  addSettings(watch, ['api']);
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
        for await (const message of this.#messages()) {
          connected = true;
          this.#show(message);
          if (this.#left === 0) return;
        }
        this.#terminal.say('the stream of events has ended; asking again');
      } catch (error) {
        if (!(connected && error instanceof ClaimkeeperError && error.retryable)) throw error;
        this.#terminal.say(`${error.message}; asking again`);
      }
    }
  }

  async *#messages(): AsyncGenerator<Message, void, void> {
    const over = new AbortController();
    let rest = '';
    try {
      for await (const text of this.#client.events(this.#query, this.#seen, over.signal)) {
        const parts = (rest + text).split('\n\n');
        rest = parts.pop() ?? '';
        for (const part of parts) yield messageIn(part);
      }
    } finally {
      over.abort();
    }
  }

  #show({ id, event, data }: Message): void {
    if (id !== null) this.#seen = id;
    if (data === '') return;
    if (event === 'gap') {
      this.#terminal.say('some events are missing here: they are no longer kept');
      return;
    }
    if (event !== 'task') return;
    this.#left -= 1;
    const change = JSON.parse(data) as EventView;
    this.#terminal.print(this.#format === 'json' ? JSON.stringify({ id, ...change }) : lineOf(change));
  }
}

type Message = { readonly id: string | null; readonly event: string; readonly data: string };

/** One message of the stream; comments, and what has no meaning here, are left out. */
function messageIn(text: string): Message {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name = '', value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name !== '') fields.set(name, value);
  }
  return { id: fields.get('id') ?? null, event: fields.get('event') ?? '', data: fields.get('data') ?? '' };
}

function lineOf({ at, from, task }: EventView): string {
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
