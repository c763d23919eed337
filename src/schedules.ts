// schedules.ts: schedules as a program sees them. Owns what a connection may do with them, and what it says of each; how
// they are kept is ledger/schedules.ts, and firing them is the leader's.

import {
  ClaimkeeperError,
  type CreatedSchedule,
  type Cursor,
  coversQueue,
  type EpochMs,
  firesAlike,
  limits,
  nextTicks,
  parseSchedule,
  parseScheduleId,
  runId,
  type Schedule,
  type ScheduleContent,
  type ScheduleId,
  type ScheduleInput,
  type SchedulePage,
  type ScheduleView,
  type Submission,
  sameContent,
  scheduleFormat,
} from './domain/index.js';
import {
  changeSchedule,
  createSchedule,
  type HeldSchedule,
  type LedgerContext,
  readCursor,
  readSchedule,
  readSchedules,
  refuseHalted,
  removeSchedule,
  revisionOf,
  scheduleIds,
  schedulesPath,
  type Until,
  unavailable,
} from './ledger/index.js';

export type RunNow<Submitted> = (task: Submission) => Promise<Submitted>;

/** Reads in flight at once. */
const readsAtOnce = 64;

export class Schedules<Submitted> {
  readonly #ctx: LedgerContext;
  readonly #until: Until;
  readonly #submit: RunNow<Submitted>;

  constructor(ctx: LedgerContext, until: Until, submit: RunNow<Submitted>) {
    this.#ctx = ctx;
    this.#until = until;
    this.#submit = submit;
  }

  /**
   * Makes a schedule: it fires from the first tick after now on. The same definition again is the same schedule.
   * @throws ClaimkeeperError `SCHEDULE_INVALID`, `NAME_INVALID`, `PAYLOAD_TOO_LARGE`, `SCHEDULE_CONFLICT`, `SCHEDULE_LIMIT`,
   * `ZOOKEEPER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `GENERATION_CHANGED`, `CLOSED`
   */
  async create(input: ScheduleInput): Promise<CreatedSchedule> {
    const { content, paused } = parseSchedule(input);
    refuseHalted(this.#ctx, `schedule ${content.id}`, 'created');
    const there = await this.#ctx.session.read(schedulesPath);
    const full = (there?.stat.numChildren ?? 0) >= limits.schedulesMax;
    if (full && (await readSchedule(this.#ctx, content.id)) === null) {
      throw new ClaimkeeperError(
        'SCHEDULE_LIMIT',
        `schedule ${content.id} was not created: there are ${limits.schedulesMax}, remove some`,
      );
    }
    const outcome = await createSchedule(this.#ctx, this.#begin(content, paused ?? false), this.#until);
    switch (outcome.kind) {
      case 'created':
        return { created: true, schedule: viewOf(outcome.held, { through: outcome.held.schedule.since }) };
      case 'same':
        return { created: false, schedule: await this.#view(outcome.held) };
      case 'conflict':
        throw new ClaimkeeperError(
          'SCHEDULE_CONFLICT',
          `schedule ${content.id} exists with other content: update it, or use another id`,
          { field: 'id' },
        );
      case 'unavailable':
        throw this.#unavailable(content.id, 'created', outcome.sent);
    }
  }

  /** Null: there is none. @throws ClaimkeeperError `SCHEDULE_INVALID`, `SCHEDULE_UNREADABLE`, `ZOOKEEPER_UNAVAILABLE` */
  async get(id: string): Promise<ScheduleView | null> {
    const held = await readSchedule(this.#ctx, parseScheduleId(id));
    return held === null ? null : this.#view(held);
  }

  /** All that this version can read, by id; `page`: a part of them. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
  async list(page: SchedulePage = {}): Promise<readonly ScheduleView[]> {
    const { after = '', limit = Number.POSITIVE_INFINITY, queues = ['*'] } = page;
    const ids = (await scheduleIds(this.#ctx)).filter((id) => id > after);
    const views: ScheduleView[] = [];
    for (let from = 0; from < ids.length && views.length < limit; from += readsAtOnce) {
      const helds = await readSchedules(this.#ctx, ids.slice(from, from + readsAtOnce));
      const left = helds.filter(({ schedule }) => coversQueue(queues, schedule.task.queue));
      // How far each has fired is a reading of its own: not of more than are shown.
      while (left.length > 0 && views.length < limit) {
        const part = left.splice(0, limit - views.length);
        const shown = await Promise.all(part.map((held) => this.#viewable(held)));
        views.push(...shown.filter((view) => view !== null));
      }
    }
    return views;
  }

  /**
   * Replaces the definition. `revision`: only if it is still the one that was read. A change of its times holds from now on:
   * earlier ticks that have not fired do not.
   * @throws ClaimkeeperError as {@link create}, `SCHEDULE_NOT_FOUND`, `SCHEDULE_CHANGED`
   */
  update(input: ScheduleInput, options: { readonly revision?: string } = {}): Promise<ScheduleView> {
    const { content, paused } = parseSchedule(input);
    const to = (found: Schedule): Schedule => {
      const pausedNow = paused ?? found.paused;
      if (sameContent(found, content) && pausedNow === found.paused) return found;
      const anew = !firesAlike(found, content) || (found.paused && !pausedNow);
      return this.#changed(found, content, pausedNow, anew);
    };
    return this.#change(content.id, to, options.revision ?? null);
  }

  /** Nothing fires until it is resumed. @throws ClaimkeeperError `SCHEDULE_INVALID` and as {@link remove} */
  pause(id: string): Promise<ScheduleView> {
    const to = (found: Schedule): Schedule =>
      found.paused ? found : this.#changed(found, found, true, false);
    return this.#change(parseScheduleId(id), to, null);
  }

  /** Fires again, from the first tick after now on. @throws ClaimkeeperError as {@link pause} */
  resume(id: string): Promise<ScheduleView> {
    const to = (found: Schedule): Schedule =>
      found.paused ? this.#changed(found, found, false, true) : found;
    return this.#change(parseScheduleId(id), to, null);
  }

  /**
   * Tasks that it has fired stay. `revision`: only if it is still the one that was read.
   * @throws ClaimkeeperError `SCHEDULE_NOT_FOUND`, `SCHEDULE_CHANGED`, `SCHEDULE_UNREADABLE`, `ZOOKEEPER_UNAVAILABLE`,
   * `OUTCOME_UNKNOWN`, `GENERATION_CHANGED`, `CLOSED`
   */
  async remove(id: string, options: { readonly revision?: string } = {}): Promise<void> {
    const scheduleId = parseScheduleId(id);
    const { revision = null } = options;
    refuseHalted(this.#ctx, `schedule ${scheduleId}`, 'removed');
    const outcome = await removeSchedule(this.#ctx, scheduleId, { revision, until: this.#until });
    if (outcome.kind === 'removed') return;
    if (outcome.kind === 'unavailable') throw this.#unavailable(scheduleId, 'removed', outcome.sent);
    throw refusal(scheduleId, outcome.kind, revision);
  }

  /**
   * Submits a task of it now, apart from its ticks, whether it is paused, overlaps or not. `key` makes it repeatable: the same
   * key is the same task, `<id>@run-<key>`; 1–22 characters of `A-Z a-z 0-9 . _ ~ -`, default a new one.
   * @throws ClaimkeeperError as `submit`, `SCHEDULE_INVALID`, `SCHEDULE_NOT_FOUND`, `SCHEDULE_UNREADABLE`
   */
  async runNow(id: string, options: { readonly key?: string } = {}): Promise<Submitted> {
    const scheduleId = parseScheduleId(id);
    const taskId = runId(scheduleId, options.key ?? this.#ctx.runtime.random.nonce());
    const { schedule } = await this.#found(scheduleId);
    return this.#submit({ ...schedule.task, id: taskId, notBefore: null });
  }

  /**
   * The ticks to come, paused or not: `count` (1 – 1 000, default 5) later than `from` (ms since 1970, default now).
   * @throws ClaimkeeperError `SCHEDULE_INVALID`, `SCHEDULE_NOT_FOUND`, `SCHEDULE_UNREADABLE`, `ZOOKEEPER_UNAVAILABLE`
   */
  async next(
    id: string,
    options: { readonly count?: number; readonly from?: number } = {},
  ): Promise<readonly EpochMs[]> {
    const { schedule } = await this.#found(parseScheduleId(id));
    return this.#ticks(schedule, options);
  }

  /** As {@link next}, of a definition that is not stored. @throws ClaimkeeperError as {@link create}, but for the ledger's */
  preview(
    input: ScheduleInput,
    options: { readonly count?: number; readonly from?: number } = {},
  ): readonly EpochMs[] {
    return this.#ticks(parseSchedule(input).content, options);
  }

  #ticks(schedule: ScheduleContent, { count = 5, from = this.#now() }: { count?: number; from?: number }) {
    return nextTicks(schedule, from as EpochMs, count);
  }

  #begin(content: ScheduleContent, paused: boolean): Schedule {
    const { random } = this.#ctx.runtime;
    const now = this.#now();
    const [key, nonce] = [random.nonce(), random.nonce()];
    return {
      ...content,
      v: scheduleFormat,
      paused,
      key,
      nonce,
      since: now,
      createdAt: now,
      updatedAt: now,
    };
  }

  /** `anew`: ticks before now are none of it. A clock that is behind does not bring back what was left behind. */
  #changed(found: Schedule, content: ScheduleContent, paused: boolean, anew: boolean): Schedule {
    const { v, key, createdAt } = found;
    const now = this.#now();
    const since = anew ? (Math.max(now, found.since) as EpochMs) : found.since;
    const nonce = this.#ctx.runtime.random.nonce();
    return { ...content, v, paused, key, nonce, since, createdAt, updatedAt: now };
  }

  async #change(
    id: ScheduleId,
    to: (found: Schedule) => Schedule,
    revision: string | null,
  ): Promise<ScheduleView> {
    refuseHalted(this.#ctx, `schedule ${id}`, 'changed');
    const outcome = await changeSchedule(this.#ctx, id, to, { revision, until: this.#until });
    if (outcome.kind === 'changed') return this.#view(outcome.held);
    if (outcome.kind === 'unavailable') throw this.#unavailable(id, 'changed', outcome.sent);
    throw refusal(id, outcome.kind, revision);
  }

  async #found(id: ScheduleId): Promise<HeldSchedule> {
    const held = await readSchedule(this.#ctx, id);
    if (held === null) throw refusal(id, 'missing', null);
    return held;
  }

  async #view(held: HeldSchedule): Promise<ScheduleView> {
    const found = await readCursor(this.#ctx, held.schedule);
    return viewOf(held, found?.cursor ?? { through: held.schedule.since });
  }

  /** Null: a cursor that cannot be decoded, or a time zone that this Node.js does not know; that keeps back no other. */
  async #viewable(held: HeldSchedule): Promise<ScheduleView | null> {
    try {
      return await this.#view(held);
    } catch (error) {
      const { id } = held.schedule;
      if (error instanceof ClaimkeeperError && error.code === 'ZOOKEEPER_UNAVAILABLE') throw error;
      this.#ctx.runtime.log.error({ err: error, schedule: id }, 'a schedule cannot be shown: left out');
      return null;
    }
  }

  #unavailable(id: ScheduleId, verb: string, sent: boolean): ClaimkeeperError {
    return unavailable(`schedule ${id}`, verb, { halted: this.#ctx.commits.halted, sent });
  }

  #now(): EpochMs {
    return this.#ctx.runtime.clock.now();
  }
}

function viewOf(held: HeldSchedule, cursor: Cursor): ScheduleView {
  const { v: _, key: __, nonce: ___, task, ...schedule } = held.schedule;
  const { hash: ____, ...template } = task;
  const { last = null, skipped = null } = cursor;
  const from = Math.max(cursor.through, schedule.since) as EpochMs;
  const next = schedule.paused ? null : (nextTicks(held.schedule, from, 1)[0] ?? null);
  return { ...schedule, task: template, revision: revisionOf(held), next, last, skipped };
}

function refusal(id: ScheduleId, why: 'missing' | 'stale', revision: string | null): ClaimkeeperError {
  return why === 'missing'
    ? new ClaimkeeperError('SCHEDULE_NOT_FOUND', `there is no schedule ${id}`, { field: 'id' })
    : new ClaimkeeperError(
        'SCHEDULE_CHANGED',
        `schedule ${id} is no longer at revision ${revision}: read it, and decide again`,
        { field: 'revision' },
      );
}
