// schedule-guard.ts: schedules as the holder of a key for some queues may use them: those whose tasks go to other queues are
// neither shown nor touched. Which queues a key covers is queue-guard.ts's.

import {
  type ClaimkeeperError,
  type CreatedSchedule,
  coversQueue,
  type EpochMs,
  type SchedulePage,
  type ScheduleView,
  shown,
} from '../domain/index.js';
import type { RunOutcome, ScheduleService, TicksAsked } from './schedule-port.js';

type Cover = {
  /** Those that a key covers. */
  readonly queues: readonly string[];
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
    if (schedule === null || this.#covers(schedule.task.queue)) return schedule;
    throw this.#cover.refusal(`does not cover the queue of the schedule ${shown(id)}`);
  }

  async list(page: SchedulePage): Promise<readonly ScheduleView[]> {
    return this.#schedules.list({ ...page, queues: this.#cover.queues });
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

  /** Of what is stored nowhere and shown to nobody else: there is nothing to guard. */
  preview(input: unknown, asked: TicksAsked): readonly EpochMs[] {
    return this.#schedules.preview(input, asked);
  }

  #covers(queue: string): boolean {
    return coversQueue(this.#cover.queues, queue);
  }

  /** What is not valid is not this guard's to say: the service says it. */
  #assertCovered(input: unknown): void {
    const { task } = (input ?? {}) as { task?: unknown };
    const { queue = 'default' } = (task ?? {}) as { queue?: unknown };
    if (typeof queue !== 'string' || this.#covers(queue)) return;
    throw this.#cover.refusal(`does not cover the queue ${shown(queue)}`, 'task.queue');
  }
}
