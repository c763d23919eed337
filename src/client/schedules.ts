// schedules.ts: the API's schedules as a program calls them.

import { pathPart, queryOf } from './path.js';
import type { Requests } from './request.js';
import type {
  Accepted,
  Schedule,
  ScheduleChange,
  ScheduleDefinition,
  SchedulePage,
  Ticks,
} from './shapes.js';

/** Which ticks: so many (default 5) later than `from` (ISO 8601 with an offset, default now). */
export type TicksAsked = { readonly count?: number | undefined; readonly from?: string | undefined };

export class SchedulesClient {
  readonly #requests: Requests;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** The same definition again is the same schedule. */
  async create(definition: ScheduleDefinition): Promise<Schedule> {
    const call = { method: 'POST', path: 'v1/schedules', body: definition, repeatable: true } as const;
    return (await this.#requests.ask(call)) as Schedule;
  }

  async get(id: string): Promise<Schedule> {
    return (await this.#requests.ask({ method: 'GET', path: pathOf(id) })) as Schedule;
  }

  /** All of them, by id, a page at a time. */
  async *list(): AsyncGenerator<Schedule, void, undefined> {
    let cursor: string | null = null;
    do {
      const query: string = queryOf({ cursor: cursor ?? undefined, limit: 200 });
      const page = (await this.#requests.ask({
        method: 'GET',
        path: `v1/schedules${query}`,
      })) as SchedulePage;
      yield* page.schedules;
      cursor = page.cursor;
    } while (cursor !== null);
  }

  /** Replaces the definition; `revision`: only if it is still the one that was read. */
  async update(id: string, change: ScheduleChange, revision?: string): Promise<Schedule> {
    const call = { method: 'PUT', path: pathOf(id), body: change, headers: ifMatch(revision) } as const;
    return (await this.#requests.ask(call)) as Schedule;
  }

  async remove(id: string, revision?: string): Promise<void> {
    await this.#requests.ask({ method: 'DELETE', path: pathOf(id), headers: ifMatch(revision) });
  }

  pause(id: string): Promise<Schedule> {
    return this.#act(id, 'pause');
  }

  resume(id: string): Promise<Schedule> {
    return this.#act(id, 'resume');
  }

  /** Submits a task of it now; the same `key` is the same task. */
  async run(id: string, key?: string): Promise<Accepted> {
    const path = `${pathOf(id)}/run`;
    const body = key === undefined ? {} : { key };
    return (await this.#requests.ask({
      method: 'POST',
      path,
      body,
      repeatable: key !== undefined,
    })) as Accepted;
  }

  async next(id: string, asked: TicksAsked = {}): Promise<readonly string[]> {
    const path = `${pathOf(id)}/next${queryOf(asked)}`;
    return ((await this.#requests.ask({ method: 'GET', path })) as Ticks).ticks;
  }

  async preview(definition: ScheduleDefinition, asked: TicksAsked = {}): Promise<readonly string[]> {
    const path = `v1/schedules/preview${queryOf(asked)}`;
    return ((await this.#requests.ask({ method: 'POST', path, body: definition })) as Ticks).ticks;
  }

  async #act(id: string, act: 'pause' | 'resume'): Promise<Schedule> {
    const call = { method: 'POST', path: `${pathOf(id)}/${act}`, repeatable: true } as const;
    return (await this.#requests.ask(call)) as Schedule;
  }
}

function pathOf(id: string): string {
  return `v1/schedules/${pathPart(id, 'SCHEDULE_INVALID', 'schedule id')}`;
}

function ifMatch(revision: string | undefined): Record<string, string> {
  return revision === undefined ? {} : { 'if-match': `"${revision}"` };
}
