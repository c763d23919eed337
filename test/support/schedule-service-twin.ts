// schedule-service-twin.ts: schedules in memory: for tests of the API's shapes and of its clients. Definitions are validated as
// the library does; nothing fires.

import {
  ClaimkeeperError,
  type CreatedSchedule,
  coversQueue,
  type EpochMs,
  limits,
  nextTicks,
  parseSchedule,
  runId,
  type ScheduleContent,
  type ScheduleId,
  type SchedulePage,
  type ScheduleView,
  sameContent,
} from '../../src/domain/index.js';
import type { RunOutcome, ScheduleService, TicksAsked } from '../../src/http/index.js';

type Held = { readonly content: ScheduleContent; readonly paused: boolean; readonly version: number };

export class ScheduleServiceTwin implements ScheduleService {
  readonly held = new Map<string, Held>();
  /** How often all of them were gone through. */
  lists = 0;
  readonly #now: EpochMs;
  readonly #runs = new Set<string>();

  constructor(now: EpochMs) {
    this.#now = now;
  }

  async create(input: unknown): Promise<CreatedSchedule> {
    const { content, paused = false } = parseSchedule(input);
    const known = this.held.get(content.id);
    if (known === undefined && this.held.size >= limits.schedulesMax)
      throw new ClaimkeeperError('SCHEDULE_LIMIT', 'there are enough');
    if (known !== undefined && !sameContent(known.content, content))
      throw new ClaimkeeperError('SCHEDULE_CONFLICT', 'other content', { field: 'id' });
    const held = known ?? { content, paused, version: 0 };
    this.held.set(content.id, held);
    return { created: known === undefined, schedule: this.#view(held) };
  }

  async get(id: string): Promise<ScheduleView | null> {
    const held = this.held.get(id);
    return held === undefined ? null : this.#view(held);
  }

  async list({ after = '', limit, queues = ['*'] }: SchedulePage): Promise<ScheduleView[]> {
    this.lists += 1;
    const later = [...this.held.keys()].sort().filter((id) => id > after);
    const ids = later.filter((id) => coversQueue(queues, this.#found(id).content.task.queue));
    return ids.slice(0, limit).map((id) => this.#view(this.#found(id)));
  }

  async update(input: unknown, { revision }: { readonly revision?: string }): Promise<ScheduleView> {
    const { content, paused } = parseSchedule(input);
    const found = this.#found(content.id, revision);
    return this.#put({ content, paused: paused ?? found.paused, version: found.version + 1 });
  }

  async pause(id: string): Promise<ScheduleView> {
    const found = this.#found(id);
    return this.#put({ ...found, paused: true, version: found.version + 1 });
  }

  async resume(id: string): Promise<ScheduleView> {
    const found = this.#found(id);
    return this.#put({ ...found, paused: false, version: found.version + 1 });
  }

  async remove(id: string, { revision }: { readonly revision?: string }): Promise<void> {
    this.#found(id, revision);
    this.held.delete(id);
  }

  async runNow(id: string, { key = 'new' }: { readonly key?: string }): Promise<RunOutcome> {
    const taskId = runId(id as ScheduleId, key);
    this.#found(id);
    const created = !this.#runs.has(taskId);
    this.#runs.add(taskId);
    return { id: taskId, created, state: 'waiting', dedupUntil: (this.#now + 86_400_000) as EpochMs };
  }

  async next(id: string, asked: TicksAsked): Promise<readonly EpochMs[]> {
    return this.#ticks(this.#found(id).content, asked);
  }

  preview(input: unknown, asked: TicksAsked): readonly EpochMs[] {
    return this.#ticks(parseSchedule(input).content, asked);
  }

  #ticks(content: ScheduleContent, { count = 5, from = this.#now }: TicksAsked): EpochMs[] {
    return nextTicks(content, from as EpochMs, count);
  }

  #found(id: string, revision?: string): Held {
    const held = this.held.get(id);
    if (held === undefined)
      throw new ClaimkeeperError('SCHEDULE_NOT_FOUND', `there is no ${id}`, { field: 'id' });
    if (revision !== undefined && revision !== revisionOf(held))
      throw new ClaimkeeperError('SCHEDULE_CHANGED', `no longer at ${revision}`, { field: 'revision' });
    return held;
  }

  #put(held: Held): ScheduleView {
    this.held.set(held.content.id, held);
    return this.#view(held);
  }

  #view(held: Held): ScheduleView {
    const { task, ...content } = held.content;
    const { hash: _, ...template } = task;
    const { paused } = held;
    const next = paused ? null : (nextTicks(held.content, this.#now, 1)[0] ?? null);
    const times = { since: this.#now, createdAt: this.#now, updatedAt: this.#now };
    return {
      ...content,
      task: template,
      paused,
      ...times,
      next,
      last: null,
      skipped: null,
      revision: revisionOf(held),
    };
  }
}

function revisionOf({ version }: Held): string {
  return `key.${version}`;
}
