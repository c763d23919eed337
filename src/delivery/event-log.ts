// event-log.ts: the read model's stream of changes of state, as someone follows it. Owns the place of a follower, who may have
// been away, or slow, for longer than events are kept: then it is told that some are missing. A follower takes what it wants
// when it wants: nothing is buffered for it.

import {
  coversQueue,
  type EpochMs,
  type FollowQuery,
  type State,
  type TaskId,
  type TaskSummary,
} from '../domain/index.js';
import { type Clock, delay } from '../runtime/index.js';
import { answersIn, type RedisAccess } from './access.js';
import { summaryIn } from './line.js';

export type TaskEvent = {
  readonly kind: 'event';
  /** Of the event: give it back to go on after it. */
  readonly id: string;
  /** When the read model was told. */
  readonly at: EpochMs;
  /** The state before, as far as is known. */
  readonly from: State | null;
  readonly task: TaskSummary;
};

export type FeedItem =
  | TaskEvent
  /** Events between `after` and the next one are no longer kept. */
  | { readonly kind: 'gap'; readonly after: string }
  /** Nothing that fits has come for a while, or at all as yet; `id`: up to where was looked. */
  | { readonly kind: 'quiet'; readonly id: string };

type Entry = readonly [id: string, fields: readonly string[]];

const start = '0-0';
const pageSize = 200;
const lookEveryMs = 200;
const quietMs = 15_000;

export class EventLog {
  readonly #access: RedisAccess;
  readonly #key: string;
  readonly #clock: Clock;

  constructor(access: RedisAccess, key: string, clock: Clock) {
    this.#access = access;
    this.#key = key;
    this.#clock = clock;
  }

  /**
   * Events from `query.after` on, or from now on, until `signal` aborts; its place comes first. While Redis is away it waits.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE` when Redis is away at the start
   */
  async follow(query: FollowQuery, signal: AbortSignal): Promise<AsyncGenerator<FeedItem, void, void>> {
    const from = query.after === null ? await this.#newest() : full(query.after);
    await this.#read(from);
    return this.#items(from, query, signal);
  }

  async *#items(from: string, query: FollowQuery, signal: AbortSignal): AsyncGenerator<FeedItem, void, void> {
    let place = from;
    // The beginning is no event: that it is not there tells nothing.
    let isEvent = place !== start;
    // Who breaks off before anything has come knows from where to go on.
    yield { kind: 'quiet', id: place };
    let spokenAt = this.#clock.monotonic();
    while (!signal.aborted) {
      const { entries, stands } = await this.#read(place).catch(() => ({ entries: [], stands: true }));
      if (isEvent && !stands) {
        isEvent = false;
        spokenAt = this.#clock.monotonic();
        yield { kind: 'gap', after: place };
        // A place that nothing will come after, if it is not one of this stream.
        if (entries.length === 0) place = await this.#newest().catch(() => place);
      }
      for (const entry of entries) {
        place = entry[0];
        isEvent = true;
        const event = eventIn(entry);
        if (signal.aborted) return;
        if (event === null || !fits(event, query)) continue;
        spokenAt = this.#clock.monotonic();
        yield event;
      }
      if (this.#clock.monotonic() - spokenAt >= quietMs) {
        spokenAt = this.#clock.monotonic();
        yield { kind: 'quiet', id: place };
      }
      if (entries.length < pageSize) await delay(this.#clock, lookEveryMs, signal);
    }
  }

  async #newest(): Promise<string> {
    const [entry] = await this.#access.ask(() =>
      this.#access.redis.xrevrange(this.#key, '+', '-', 'COUNT', 1),
    );
    return entry?.[0] ?? start;
  }

  /** In one step: whether the event at `place` is kept, and what comes after it. */
  #read(place: string): Promise<{ readonly entries: readonly Entry[]; readonly stands: boolean }> {
    return this.#access.ask(async () => {
      const replies = await this.#access.redis
        .multi()
        .xrange(this.#key, place, place)
        .xrange(this.#key, `(${place}`, '+', 'COUNT', pageSize)
        .exec();
      const [at = [], after = []] = answersIn(replies) as Entry[][];
      return { entries: after, stands: at.length > 0 };
    });
  }
}

function full(id: string): string {
  return id.includes('-') ? id : `${id}-0`;
}

function eventIn([id, fields]: Entry): TaskEvent | null {
  const values = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) values.set(fields[i] ?? '', fields[i + 1] ?? '');
  const task = summaryIn((values.get('id') ?? '') as TaskId, values.get('line') ?? '');
  const from = values.get('from') ?? '-';
  if (task === null) return null;
  const at = Number.parseInt(id, 10) as EpochMs;
  return { kind: 'event', id, at, from: from === '-' ? null : (from as State), task };
}

function fits({ task }: TaskEvent, { state, queue, queues, type }: FollowQuery): boolean {
  return (
    (state === null || task.state === state) &&
    (queue === null || task.queue === queue) &&
    coversQueue(queues, task.queue) &&
    (type === null || task.type === type)
  );
}
