// timetable.ts: what the leader knows of the schedules. Owns following the definitions: one watch on the list, one on each
// definition, so that a thousand schedules cost nothing while nobody changes them. How far each has fired is read once, and
// then known: only the leader moves it. What it knows may be stale; a firing's transaction checks it.

import type { SessionId } from '../coordination/index.js';
import type { EpochMs, ScheduleId, SkipReason, TaskId } from '../domain/index.js';
import {
  type HeldCursor,
  type HeldSchedule,
  type LedgerContext,
  readCursor,
  readSchedule,
  schedulesPath,
} from '../ledger/index.js';
import { dueTicks } from './due.js';

export type Entry = {
  held: HeldSchedule;
  /** Null: not known, or in doubt: to be read before it is counted on. */
  cursor: HeldCursor | null;
  /** Not to be looked at before; null: never, as far as is known. */
  next: EpochMs | null;
  /** Ticks whose task is in the ledger although the cursor is before them. */
  readonly present: Set<TaskId>;
  /** The skipping that was last logged. */
  told: SkipReason | null;
};

/** Reads in flight at once. */
const readsAtOnce = 128;

export class Timetable {
  readonly #ctx: LedgerContext;
  readonly #onChange: () => void;
  readonly #entries = new Map<ScheduleId, Entry>();
  /** Definitions to be read. */
  readonly #dirty = new Set<ScheduleId>();
  #listed = false;
  /** Watches that wait in the session: another is not set on top of one. They fire with its loss. */
  readonly #armed = new Set<ScheduleId>();
  #listArmed = false;
  /** One listener per schedule for the life of the process, so that terms do not pile them up. */
  readonly #listeners = new Map<ScheduleId, () => void>();
  #session: SessionId | null = null;

  /** `onChange`: something is to be read; {@link refresh} reads it. */
  constructor(ctx: LedgerContext, onChange: () => void) {
    this.#ctx = ctx;
    this.#onChange = onChange;
  }

  /** The session in which all of it was read. */
  get session(): SessionId | null {
    return this.#session;
  }

  /** Forgets everything: a new term begins. */
  reset(): void {
    this.#entries.clear();
    this.#dirty.clear();
    this.#listed = false;
    this.#session = this.#ctx.session.sessionId;
  }

  /** Whether nothing is known to be read. */
  get settled(): boolean {
    return this.#listed && this.#dirty.size === 0;
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** Its definition is not what it was: read it again. */
  doubt({ held: { schedule } }: Entry): void {
    this.#dirty.add(schedule.id);
  }

  /**
   * Reads what may have changed.
   * @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE`; what was not read is read the next time
   */
  async refresh(now: EpochMs): Promise<void> {
    if (!this.#listed) await this.#list();
    await inParts([...this.#dirty], (id) => this.#learn(id, now));
    const unsure = [...this.#entries.values()].filter(({ cursor }) => cursor === null);
    await inParts(unsure, (entry) => this.#learnCursor(entry, now));
  }

  async #list(): Promise<void> {
    const listener = this.#listArmed ? undefined : this.#onList;
    this.#listed = true; // Until the watch says otherwise, which it may before the answer is looked at.
    try {
      const names = await this.#ctx.session.children(schedulesPath, listener);
      if (listener !== undefined) this.#listArmed = this.#listed && names !== null;
      this.#compare(new Set((names ?? []) as ScheduleId[]));
    } catch (error) {
      this.#listed = false;
      throw error;
    }
  }

  #compare(ids: ReadonlySet<ScheduleId>): void {
    for (const id of [...this.#entries.keys(), ...this.#dirty]) {
      if (ids.has(id)) continue;
      this.#entries.delete(id);
      this.#dirty.delete(id);
    }
    for (const id of ids) if (!this.#entries.has(id)) this.#dirty.add(id);
    for (const id of this.#listeners.keys()) {
      if (!ids.has(id) && !this.#armed.has(id)) this.#listeners.delete(id);
    }
  }

  readonly #onList = (): void => {
    this.#listArmed = false;
    this.#listed = false;
    this.#onChange();
  };

  async #learn(id: ScheduleId, now: EpochMs): Promise<void> {
    this.#dirty.delete(id);
    try {
      const held = await this.#readAndWatch(id);
      const known = this.#entries.get(id);
      this.#entries.delete(id);
      if (held === null) return;
      const same = known?.held.schedule.key === held.schedule.key ? known : null;
      const entry = {
        ...(same ?? { cursor: null, present: new Set<TaskId>(), told: null }),
        held,
        next: null,
      };
      reckon(entry, now);
      this.#entries.set(id, entry);
    } catch (error) {
      if (isBeyondUs(error)) return this.#tell(id, error);
      this.#dirty.add(id);
      throw error;
    }
  }

  async #readAndWatch(id: ScheduleId): Promise<HeldSchedule | null> {
    if (this.#armed.has(id)) return readSchedule(this.#ctx, id);
    this.#armed.add(id);
    try {
      return await readSchedule(this.#ctx, id, this.#listenerOf(id));
    } catch (error) {
      // What cannot be decoded is watched all the same; what was not answered is not.
      if (!isBeyondUs(error)) this.#armed.delete(id);
      throw error;
    }
  }

  #listenerOf(id: ScheduleId): () => void {
    const known = this.#listeners.get(id);
    if (known !== undefined) return known;
    const listener = (): void => {
      this.#armed.delete(id);
      this.#dirty.add(id);
      this.#onChange();
    };
    this.#listeners.set(id, listener);
    return listener;
  }

  async #learnCursor(entry: Entry, now: EpochMs): Promise<void> {
    const { schedule } = entry.held;
    try {
      entry.cursor = await readCursor(this.#ctx, schedule);
      reckon(entry, now);
      // Removed, and perhaps made anew, since its definition was read: its watch tells.
      if (entry.cursor === null) this.#entries.delete(schedule.id);
    } catch (error) {
      if (!isBeyondUs(error)) throw error;
      this.#entries.delete(schedule.id);
      this.#tell(schedule.id, error);
    }
  }

  #tell(id: ScheduleId, error: unknown): void {
    this.#ctx.runtime.log.error({ err: error, schedule: id }, 'a schedule cannot be read: it does not fire');
  }
}

/** Says when the entry is to be looked at: at once when a tick is due. */
function reckon(entry: Entry, now: EpochMs): void {
  const { held, cursor } = entry;
  const decision = dueTicks(held.schedule, cursor?.cursor.through ?? now, now);
  entry.next = decision.fire.length + decision.skipped.length > 0 ? now : decision.next;
}

/** Goes through all of them, a part at a time, and then rejects with the first error. */
async function inParts<T>(all: readonly T[], each: (item: T) => Promise<void>): Promise<void> {
  const outcomes: PromiseSettledResult<void>[] = [];
  for (let from = 0; from < all.length; from += readsAtOnce) {
    outcomes.push(...(await Promise.allSettled(all.slice(from, from + readsAtOnce).map(each))));
  }
  const failed = outcomes.find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/** Another format, or a time zone that this Node.js does not know: trying again does not help. */
function isBeyondUs(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'SCHEDULE_UNREADABLE' || code === 'SCHEDULE_INVALID';
}
