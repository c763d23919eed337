// read-model.ts: a view of the ledger for lists and counts. It decides nothing (P6): it may lag behind, be lost, and is rebuilt
// from the ledger by the scheduler's pass (scheduler/view-repair.ts). Owns how tasks are found in it; how they come into it is
// news.ts, line.ts, sheet.ts and read-model-script.ts.

import type { Result } from 'ioredis';
import {
  bucketOf,
  cursorAt,
  type EpochMs,
  type Filter,
  type Held,
  type ListQuery,
  limits,
  type Name,
  type News,
  type State,
  states,
  type TaskId,
  type TaskSummary,
} from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { answersIn, type RedisAccess } from './access.js';
import { EventLog } from './event-log.js';
import { acceptedIn, idOfMember, lineOf, memberOf, type Stamp, stampOf, summaryIn } from './line.js';
import { NewsDesk } from './news.js';
import { readModelScript } from './read-model-script.js';
import { sheetsOf, type Word } from './sheet.js';

export type TaskPage = {
  /** Newest first. */
  readonly tasks: readonly TaskSummary[];
  /** Where the next page begins; null: there is none. A page may be shorter than its limit and have a next one all the same. */
  readonly cursor: string | null;
};

export type QueueCounts = {
  readonly queue: Name;
  readonly counts: Readonly<Record<State, number>>;
  /** Since when the longest waiting of those that are due could have run; null: none is due. */
  readonly oldestDueSince: EpochMs | null;
};

/** An entry of the view, and which word it shows. */
export type Shown = { readonly id: TaskId; readonly stamp: Stamp };

type Member = string;
type Look = { readonly members: readonly Member[]; readonly isLast: boolean };

/** Members asked of each index at least: where one has all of the newest, a page is to take few looks. */
const shareMin = 10;
/** Beside the states: where tasks wait that were not due when they were accepted. */
const later = 'later';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** read-model-script.ts; sent as a whole only to a Redis that does not have it yet. */
    claimkeeperView(
      prefix: string,
      kept: number,
      instead: Stamp,
      ...sheets: string[]
    ): Result<string[], Context>;
  }
}

export class ReadModel {
  readonly events: EventLog;
  /** What is on its way into it. */
  readonly news: NewsDesk;
  readonly #access: RedisAccess;

  constructor(access: RedisAccess, runtime: Runtime) {
    this.#access = access;
    access.redis.defineCommand('claimkeeperView', { numberOfKeys: 1, lua: readModelScript });
    this.news = new NewsDesk(
      { ready: () => access.available(), send: (sheets) => this.#write(sheets) },
      runtime,
    );
    this.events = new EventLog(access, `${access.prefix}events`, runtime.clock);
  }

  /** Never throws and never waits: words leave in batches. While Redis is away they are kept, up to `limits.viewBufferMax`. */
  note(news: readonly News[]): void {
    this.news.put(news.map((each) => wordOf(each, each.gone === true ? 'gone' : 'told')));
  }

  // For those who look.

  /**
   * The newest tasks that `query` is about. Tasks that are accepted meanwhile do not move the pages that follow.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  list(query: ListQuery): Promise<TaskPage> {
    return this.#access.ask(async () => {
      const keys = await this.#cheapest(query);
      const pageSize = Math.max(query.limit + 1, 100);
      const tasks: TaskSummary[] = [];
      let before = upperBound(query);
      for (let scanned = 0; scanned < limits.listScanMax; scanned += pageSize) {
        const { members, isLast } = await this.#look(keys, before, lowerBound(query), pageSize);
        for (const summary of await this.#summaries(members.map(idOfMember))) {
          if (summary === null || !fits(summary, query)) continue;
          const last = tasks.at(-1);
          if (last !== undefined && tasks.length === query.limit) return { tasks, cursor: cursorAt(last) };
          tasks.push(summary);
        }
        const last = members.at(-1);
        if (last === undefined || isLast) return { tasks, cursor: null };
        before = `(${last}`;
      }
      return { tasks, cursor: cursorAt(placeIn(before)) };
    });
  }

  /**
   * Of every queue that has tasks.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  queues(now: EpochMs): Promise<QueueCounts[]> {
    return this.#access.ask(async () => {
      const names = (await this.#queues()).sort();
      const asked = this.#access.redis.multi();
      for (const name of names) {
        for (const state of [...states, later]) asked.zcard(this.#key(`in:${name}:${state}`));
        asked.zrange(this.#key(`in:${name}:waiting`), 0, 0);
        asked.zrange(this.#key(`due:${name}`), 0, 0, 'WITHSCORES');
      }
      const replies = names.length === 0 ? [] : answersIn(await asked.exec());
      const perQueue = states.length + 3;
      return names.map((queue, i) => {
        const own = replies.slice(i * perQueue, (i + 1) * perQueue);
        const counts = Object.fromEntries(states.map((state, n) => [state, own[n]])) as Record<State, number>;
        const [waitingLater, firstMembers, firstDue] = own.slice(states.length) as [
          number,
          Member[],
          string[],
        ];
        const due = Math.min(...firstMembers.map(acceptedIn), ...firstDue.slice(1).map(Number));
        return {
          queue,
          counts: { ...counts, waiting: counts.waiting + waitingLater },
          oldestDueSince: due > now ? null : (due as EpochMs),
        };
      });
    });
  }

  // For the reconciler.

  /**
   * Shows records as they were read. Names those of which the view has a newer word, which it keeps.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  async show(held: readonly Held[]): Promise<readonly Shown[]> {
    const lines = await this.#access.ask(() => this.#lines(held.map(({ record }) => record.id)));
    // In a pass most are shown already: to ask costs a tenth of what the script does.
    const others = held.filter((each, i) => lines[i] !== lineOf(each));
    const found = await this.#write(sheetsOf(others.map((each) => wordOf(each, 'found'))));
    const newer: Shown[] = [];
    for (let i = 0; i < found.length; i += 2)
      newer.push({ id: found[i] as TaskId, stamp: found[i + 1] as Stamp });
    return newer;
  }

  /**
   * Shows a record instead of `newer`, as long as that is the view's word.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  async replace(held: Held, newer: Shown): Promise<void> {
    await this.#write(sheetsOf([wordOf(held, 'instead')]), newer.stamp);
  }

  /** @throws ClaimkeeperError `REDIS_UNAVAILABLE` */
  idsIn(bucket: string): Promise<TaskId[]> {
    return this.#access.ask(
      async () => (await this.#access.redis.hkeys(this.#key(`line:${bucket}`))) as TaskId[],
    );
  }

  /**
   * Up to `limits.listScanMax` of the tasks that it shows as running.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  running(): Promise<TaskId[]> {
    return this.#access.ask(async () => {
      const keys = (await this.#queues()).flatMap((queue) => this.#in(queue, 'running'));
      const found = await this.#members(keys, '+', '-', limits.listScanMax);
      return found.flat().sort(descending).slice(0, limits.listScanMax).map(idOfMember);
    });
  }

  /**
   * What the view's words about `ids` are; null: it has none.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  async stampsOf(ids: readonly TaskId[]): Promise<(Shown | null)[]> {
    const lines = await this.#access.ask(() => this.#lines(ids));
    return ids.map((id, i) => {
      const line = lines[i] ?? null;
      return line === null ? null : { id, stamp: stampOf(line) };
    });
  }

  /**
   * Removes entries whose words are still these, or older.
   * @throws ClaimkeeperError `REDIS_UNAVAILABLE`
   */
  async drop(entries: readonly Shown[]): Promise<void> {
    const gone = ({ id, stamp }: Shown): Word => ({ how: 'gone', id, line: stamp });
    await this.#write(sheetsOf(entries.map(gone)));
  }

  async #write(sheets: readonly string[], instead: Stamp = ''): Promise<string[]> {
    if (sheets.length === 0) return [];
    const { redis, prefix } = this.#access;
    return this.#access.ask(() => redis.claimkeeperView(prefix, limits.eventsKept, instead, ...sheets));
  }

  /** The indexes that together hold every task that fits, and the fewest others. */
  async #cheapest(filter: Filter): Promise<readonly string[]> {
    const choices: (readonly string[])[] = [];
    if (filter.queue !== null || filter.state !== null) {
      const queues = filter.queue === null ? await this.#queues() : [filter.queue];
      const wanted = filter.state === null ? states : [filter.state];
      choices.push(queues.flatMap((queue) => wanted.flatMap((state) => this.#in(queue, state))));
    }
    if (filter.type !== null) choices.push([this.#key(`type:${filter.type}`)]);
    if (filter.errorCode !== null) choices.push([this.#key(`error:${filter.errorCode}`)]);
    const [first] = choices;
    if (first === undefined) return (await this.#types()).map((type) => this.#key(`type:${type}`));
    if (choices.length === 1) return first;
    const sizes = await Promise.all(choices.map((keys) => this.#sizeOf(keys)));
    return choices[sizes.indexOf(Math.min(...sizes))] ?? first;
  }

  async #sizeOf(keys: readonly string[]): Promise<number> {
    const asked = this.#access.redis.pipeline();
    for (const key of keys) asked.zcard(key);
    return keys.length === 0
      ? 0
      : (answersIn(await asked.exec()) as number[]).reduce((sum, size) => sum + size, 0);
  }

  /** The newest of what is older than `before`, up to `count`; fewer may come where there are more. */
  async #look(keys: readonly string[], before: string, from: string, count: number): Promise<Look> {
    // Of many indexes each has few of the newest, as a rule.
    const share = Math.min(count, Math.max(shareMin, Math.ceil((2 * count) / keys.length)));
    const found = await this.#members(keys, before, from, share);
    // An index that has more says nothing of what is older than the last that it named.
    const ends = found.flatMap((members) => (members.length === share ? (members.at(-1) ?? []) : []));
    const known = found.flat().sort(descending);
    const [end = ''] = ends.sort(descending);
    const members = known.filter((member) => member >= end).slice(0, count);
    return { members, isLast: ends.length === 0 && members.length === known.length };
  }

  /** In one step, so that a task which moves from one index to another is neither missed nor met twice. */
  async #members(keys: readonly string[], before: string, from: string, count: number): Promise<Member[][]> {
    if (keys.length === 0) return [];
    const asked = this.#access.redis.multi();
    for (const key of keys) asked.zrevrangebylex(key, before, from, 'LIMIT', 0, count);
    return answersIn(await asked.exec()) as Member[][];
  }

  async #summaries(ids: readonly TaskId[]): Promise<(TaskSummary | null)[]> {
    const lines = await this.#lines(ids);
    return ids.map((id, i) => {
      const line = lines[i] ?? null;
      return line === null ? null : summaryIn(id, line);
    });
  }

  async #lines(ids: readonly TaskId[]): Promise<(string | null)[]> {
    if (ids.length === 0) return [];
    const { redis } = this.#access;
    const byBucket = new Map<string, TaskId[]>();
    for (const id of ids) {
      const bucket = bucketOf(id);
      const others = byBucket.get(bucket);
      if (others === undefined) byBucket.set(bucket, [id]);
      else others.push(id);
    }
    const [bucket, ...others] = byBucket.keys();
    // As in a pass over a large ledger: a pipeline costs more than what it would carry.
    if (others.length === 0) return redis.hmget(this.#key(`line:${bucket}`), ...ids);
    const asked = redis.pipeline();
    for (const [bucket, some] of byBucket) asked.hmget(this.#key(`line:${bucket}`), ...some);
    const replies = answersIn(await asked.exec()) as (string | null)[][];
    const lines = new Map(
      [...byBucket.values()].flatMap((some, i) => some.map((id, n) => [id, replies[i]?.[n] ?? null])),
    );
    return ids.map((id) => lines.get(id) ?? null);
  }

  async #queues(): Promise<Name[]> {
    return (await this.#access.redis.smembers(this.#key('queues'))) as Name[];
  }

  async #types(): Promise<Name[]> {
    return (await this.#access.redis.smembers(this.#key('types'))) as Name[];
  }

  #in(queue: Name, state: State): string[] {
    const places = state === 'waiting' ? [state, later] : [state];
    return places.map((place) => this.#key(`in:${queue}:${place}`));
  }

  #key(name: string): string {
    return `${this.#access.prefix}${name}`;
  }
}

function fits(task: TaskSummary, { state, queue, type, errorCode }: Filter): boolean {
  return (
    (state === null || task.state === state) &&
    (queue === null || task.queue === queue) &&
    (type === null || task.type === type) &&
    (errorCode === null || task.errorCode === errorCode)
  );
}

function upperBound({ after, acceptedBefore }: ListQuery): string {
  const bounds = [
    ...(after === null ? [] : [`(${memberOf(after.acceptedAt, after.id)}`]),
    ...(acceptedBefore === null ? [] : [`(${memberOf(acceptedBefore, '')}`]),
  ];
  return bounds.sort()[0] ?? '+';
}

function lowerBound({ acceptedAfter }: ListQuery): string {
  return acceptedAfter === null ? '-' : `[${memberOf(acceptedAfter, '')}`;
}

function placeIn(before: string): { readonly acceptedAt: EpochMs; readonly id: TaskId } {
  const member = before.slice(1);
  return { acceptedAt: acceptedIn(member), id: idOfMember(member) };
}

function wordOf(held: Held, how: Word['how']): Word {
  return { how, id: held.record.id, line: lineOf(held) };
}

function descending(a: Member, b: Member): number {
  return a < b ? 1 : a > b ? -1 : 0;
}
