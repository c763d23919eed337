// schedule-guard.ts: schedules as the holder of a key for some queues may use them: those whose tasks go to other queues are
// neither shown nor touched. Which queues a key covers is queue-guard.ts's.

import {
  type ClaimkeeperError,
  type CreatedSchedule,
  type EpochMs,
  type SchedulePage,
  type ScheduleView,
  shown,
} from '../domain/index.js';
import type { RunOutcome, ScheduleService, TicksAsked } from './schedule-port.js';

type Cover = {
  covers(queue: string): boolean;
  refusal(why: string, field?: string): ClaimkeeperError;
};
type AtRevision = { readonly revision?: string };

export class ScheduleGuard implements ScheduleService {
  readonly #schedules: ScheduleService;
  readonly #cover: Cover;

  constructor(schedules: ScheduleService, cover: Cover) {
    this.#schedules = schedules;
    this.#cover = cover;
  }

  async create(input: unknown): Promise<CreatedSchedule> {
    this.#assertCovered(input);
    return this.#schedules.create(input);
  }

  async get(id: string): Promise<ScheduleView | null> {
    const schedule = await this.#schedules.get(id);
    if (schedule === null || this.#cover.covers(schedule.task.queue)) return schedule;
    throw this.#cover.refusal(`does not cover the queue of the schedule ${shown(id)}`);
  }

  /** Pages of the caller's own: only the last one is shorter than asked. */
  async list({ after, limit = Number.POSITIVE_INFINITY }: SchedulePage): Promise<readonly ScheduleView[]> {
    const found: ScheduleView[] = [];
    for (let last = after; ; ) {
      const page = await this.#schedules.list({ limit, ...(last === undefined ? {} : { after: last }) });
      found.push(...page.filter(({ task }) => this.#cover.covers(task.queue)));
      last = page.at(-1)?.id;
      if (found.length >= limit || page.length < limit) return found.slice(0, limit);
    }
  }

  async update(input: unknown, options: AtRevision): Promise<ScheduleView> {
    const { id } = (input ?? {}) as { id?: unknown };
    if (typeof id === 'string') await this.get(id);
    this.#assertCovered(input);
    return this.#schedules.update(input, options);
  }

  async pause(id: string): Promise<ScheduleView> {
    await this.get(id);
    return this.#schedules.pause(id);
  }

  async resume(id: string): Promise<ScheduleView> {
    await this.get(id);
    return this.#schedules.resume(id);
  }

  async remove(id: string, options: AtRevision): Promise<void> {
    await this.get(id);
    return this.#schedules.remove(id, options);
  }

  async runNow(id: string, options: { readonly key?: string }): Promise<RunOutcome> {
    await this.get(id);
    return this.#schedules.runNow(id, options);
  }

  async next(id: string, asked: TicksAsked): Promise<readonly EpochMs[]> {
    await this.get(id);
    return this.#schedules.next(id, asked);
  }

  preview(input: unknown, asked: TicksAsked): readonly EpochMs[] {
    this.#assertCovered(input);
    return this.#schedules.preview(input, asked);
  }

  /** What is not valid is not this guard's to say: the service says it. */
  #assertCovered(input: unknown): void {
    const { task } = (input ?? {}) as { task?: unknown };
    const { queue = 'default' } = (task ?? {}) as { queue?: unknown };
    if (typeof queue !== 'string' || this.#cover.covers(queue)) return;
    throw this.#cover.refusal(`does not cover the queue ${shown(queue)}`, 'task.queue');
  }
}
