// people.ts: those who submit tasks and operate on them, at the desks of a simulation. Owns what they were answered.

import {
  ClaimkeeperError,
  parseSchedule,
  parseSubmission,
  type ScheduleContent,
  type SubmissionInput,
  type TaskId,
  type TaskRecord,
} from '../../src/domain/index.js';
import { acceptAll, cancel, replay, resolve } from '../../src/ledger/index.js';
import { Schedules } from '../../src/schedules.js';
import { SeededRandom } from '../support/seeded-random.js';
import type { Fleet } from './fleet.js';
import type { Machine, World } from './machine.js';
import type { PlannedSchedule, PlannedSubmit } from './plan.js';
import type { Act } from './trouble.js';

export const callMsMax = 6_000;
const expectedErrors = [
  ...['TASK_NOT_FOUND', 'MOVE_REFUSED', 'SCHEDULE_NOT_FOUND'],
  ...['ZOOKEEPER_UNAVAILABLE', 'OUTCOME_UNKNOWN'],
];
const deed = { replay, cancel } as const;

export class People {
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #random: SeededRandom;
  readonly #inputs: ReadonlyMap<number, SubmissionInput>;
  readonly #expected: readonly string[];
  readonly acknowledged = new Set<TaskId>();
  /** What was asked for, whether it was answered or not; none is changed afterwards. */
  readonly schedules = new Map<string, ScheduleContent>();
  #scheduling: Promise<void> = Promise.resolve();
  /** Calls that have not returned. */
  underWay = 0;
  /** They try again what was not answered. */
  patient = true;

  constructor(world: World, fleet: Fleet) {
    this.#world = world;
    this.#fleet = fleet;
    this.#random = new SeededRandom(world.plan.seed, 'people');
    const { restore } = world.plan;
    this.#expected = restore === null ? expectedErrors : [...expectedErrors, 'GENERATION_CHANGED'];
    this.#inputs = new Map(world.plan.tasks.map(({ n, input }) => [n, input]));
  }

  submit(planned: PlannedSubmit): void {
    const { chronicle, clock } = this.#world;
    const { ctx, name } = this.#desk(planned.by);
    const listed = planned.tasks.flatMap((n) => {
      const input = this.#inputs.get(n);
      if (input === undefined) return [];
      const said = planned.altered ? { ...input, payload: 'something else' } : input;
      return [{ n, task: parseSubmission(said, ctx.runtime.clock.now()) }];
    });
    const tasks = listed.map(({ task }) => task);
    const what = `submit ${tasks.map(({ id }) => id).join(' ')}${planned.altered ? ', altered' : ''}`;
    this.call(name, what, async () => {
      const answers: string[] = [];
      // What is altered was submitted before.
      const options = { deadlineMs: callMsMax, likelyThere: planned.altered };
      await acceptAll(ctx, tasks, options, (place, outcome) => {
        if (outcome instanceof ClaimkeeperError) throw outcome;
        const { kind } = outcome;
        const { n, task } = listed[place] as (typeof listed)[number];
        const answer = kind === 'unavailable' ? 'unanswered' : kind;
        chronicle.submits.push({ task: task.id, body: task.hash, answer });
        if (kind === 'created' || kind === 'same') this.acknowledged.add(task.id);
        if (kind === 'unavailable' && this.patient && this.#random.chance(0.7))
          clock.after(300, () => this.submit({ ...planned, tasks: [n] }));
        answers[place] = kind;
      });
      return answers.join(' ');
    });
  }

  schedule({ by, input }: PlannedSchedule): void {
    const { content } = parseSchedule(input);
    this.schedules.set(content.id, content);
    this.#scheduling = this.call(this.#desk(by).name, `schedule ${content.id}`, async () => {
      const { created } = await this.#schedulesAt(by).create(input);
      return created ? 'created' : 'same';
    });
  }

  /** Once everything is mended; it was made before, or never is. */
  unschedule({ by, input }: PlannedSchedule): void {
    this.#scheduling = this.#scheduling.then(() =>
      this.call(this.#desk(by).name, `unschedule ${input.id}`, async () => {
        await this.#schedulesAt(by).remove(input.id);
        return 'removed';
      }),
    );
  }

  #schedulesAt(by: number): Schedules<void> {
    const { ctx } = this.#desk(by);
    return new Schedules(ctx, { deadlineMs: callMsMax }, async () => undefined);
  }

  operate({ by, act, as, which }: Act): void {
    const desk = this.#desk(by);
    const record = this.#taskToOperateOn(which);
    if (record === null) return;
    const { id, state } = record;
    const likely = state === 'waiting' || state === 'running' ? 'cancel' : which < 0.5 ? 'replay' : 'resolve';
    const doing = act === 'likely' ? likely : act;
    const { ctx } = desk;
    const until = { deadlineMs: callMsMax };
    this.call(desk.name, `${doing} ${id}`, async () => {
      const done =
        doing === 'resolve'
          ? await resolve(ctx, id, as, 'as the operator says', until)
          : await deed[doing](ctx, id, until);
      return done.state;
    });
  }

  /** What is called, and how it ended; an error that was not to be expected is a defect. */
  call(by: string, what: string, call: () => Promise<string>): Promise<void> {
    const { chronicle } = this.#world;
    this.underWay += 1;
    const told = (how: string): void => {
      this.underWay -= 1;
      chronicle.say(by, () => `${what}: ${how}`);
    };
    return call().then(told, (error: unknown) => {
      const code = error instanceof ClaimkeeperError ? error.code : String(error);
      if (!this.#expected.includes(code)) chronicle.defects.push(`${what}: ${code}`);
      told(code);
    });
  }

  #desk(by: number): Machine {
    const desks = this.#fleet.alive('desk');
    const desk = desks[by % desks.length];
    if (desk === undefined) throw new Error('nobody is at the desks');
    return desk;
  }

  /** As often as not, one that stands still. */
  #taskToOperateOn(which: number): TaskRecord | null {
    const records = [...this.#world.chronicle.records.values()];
    const still = records.filter(
      ({ state }) => state === 'uncertain' || state === 'failed' || state === 'cancelled',
    );
    const among = still.length > 0 && (which * 10) % 1 < 0.6 ? still : records;
    return among[Math.floor(which * among.length)] ?? null;
  }
}
