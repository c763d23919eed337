// event-log.ts: the read model's stream of changes of state, as someone follows it. Owns the place of a follower, who may have
// been away, or slow, for longer than events are kept: then it is told that some are missing. A follower takes what it wants
// when it wants: nothing is buffered for it.
//
// An entry of the stream holds several changes (sheet.ts). Its id, `<ms>-<serial>`, is that of the last of them; those before have
// the serials before. So a follower goes on within an entry as after it.

import {
  coversQueue,
  type EpochMs,
  type FollowQuery,
  type State,
  type TaskSummary,
} from '../domain/index.js';
import { type Clock, delay } from '../runtime/index.js';
import type { RedisAccess } from './access.js';
import { summaryIn } from './line.js';
import { changesOn } from './sheet.js';

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

type Page = {
  /** After the place. */
  readonly events: readonly TaskEvent[];
  /** Up to where was looked. */
  readonly end: string;
  /** Whether the event at the place is kept. */
  readonly stands: boolean;
  /** There may be more. */
  readonly isFull: boolean;
};

const start = '0-0';
const entriesPerPage = 20;
const lookEveryMs = 200;
/** The event at a follower's place comes with a whole entry: while nothing follows upon it, it is looked for at this pace. */
const standsEveryMs = 1_000;
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
    let stoodAt = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const nothing = nothingAfter(place);
      const isDue = this.#clock.monotonic() - stoodAt >= standsEveryMs;
      if (isDue) stoodAt = this.#clock.monotonic();
      const page = isDue ? this.#read(place) : this.#readWhatFollows(place);
      const { events, end, stands, isFull } = await page.catch(() => nothing);
      if (isEvent && !stands) {
        isEvent = false;
        spokenAt = this.#clock.monotonic();
        yield { kind: 'gap', after: place };
        // A place that nothing will come after, if it is not one of this stream.
        if (end === place) place = await this.#newest().catch(() => place);
      }
      for (const event of events) {
        place = event.id;
        isEvent = true;
        if (signal.aborted) return;
        if (!fits(event, query)) continue;
        spokenAt = this.#clock.monotonic();
        yield event;
      }
      if (end !== nothing.end) [place, isEvent] = [end, true];
      if (this.#clock.monotonic() - spokenAt >= quietMs) {
        spokenAt = this.#clock.monotonic();
        yield { kind: 'quiet', id: place };
      }
      if (!isFull) await delay(this.#clock, lookEveryMs, signal);
    }
  }

  async #newest(): Promise<string> {
    const [entry] = await this.#access.ask(() =>
      this.#access.redis.xrevrange(this.#key, '+', '-', 'COUNT', 1),
    );
    return entry?.[0] ?? start;
  }

  async #readWhatFollows(place: string): Promise<Page> {
    const { redis } = this.#access;
    const next = await this.#access.ask(() => redis.xrange(this.#key, `(${place}`, '+', 'COUNT', 1));
    return next.length > 0 ? this.#read(place) : nothingAfter(place);
  }

  async #read(place: string): Promise<Page> {
    const { redis } = this.#access;
    const entries: readonly Entry[] = await this.#access.ask(() =>
      redis.xrange(this.#key, place, '+', 'COUNT', entriesPerPage),
    );
    const events = entries.flatMap((entry) => (entry[0] === place ? [] : eventsIn(entry)));
    const at = events.findIndex(({ id }) => id === place);
    return {
      events: events.slice(at + 1),
      end: entries.at(-1)?.[0] ?? place,
      stands: at >= 0 || entries[0]?.[0] === place,
      isFull: entries.length === entriesPerPage,
    };
  }
}

function nothingAfter(place: string): Page {
  return { events: [], end: place, stands: true, isFull: false };
}

function full(id: string): string {
  return id.includes('-') ? id : `${id}-0`;
}

function eventsIn([id, fields]: Entry): TaskEvent[] {
  const values = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) values.set(fields[i] ?? '', fields[i + 1] ?? '');
  const changes = changesOn(values.get('sheet') ?? '', values.get('from') ?? '');
  const [ms, serial] = id.split('-').map(Number) as [EpochMs, number];
  const before = serial - changes.length;
  return changes.flatMap(({ id, line, from }, i) => {
    const task = summaryIn(id, line);
    return task === null ? [] : [{ kind: 'event', id: `${ms}-${before + 1 + i}`, at: ms, from, task }];
  });
}

function fits({ task }: TaskEvent, { state, queue, queues, type }: FollowQuery): boolean {
  return (
    (state === null || task.state === state) &&
    (queue === null || task.queue === queue) &&
    coversQueue(queues, task.queue) &&
    (type === null || task.type === type)
  );
}
