// schedule.test.ts: what a schedule's definition says: what is refused, which moments are its ticks, which of them fire, and
// what task a tick is.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ClaimkeeperError,
  type EpochMs,
  limits,
  nextTicks,
  parseSchedule,
  runId,
  type Schedule,
  type ScheduleInput,
  sameContent,
  scheduleFormat,
  taskOfTick,
  tickId,
  ticksOf,
} from '../../src/domain/index.js';
import { dueTicks, withoutOverlap } from '../../src/scheduler/due.js';
import { tickOf } from '../support/ticks.js';

const minimal: ScheduleInput = { id: 's', cron: '* * * * *', task: { type: 'job' } };

function at(text: string): EpochMs {
  return Date.parse(text) as EpochMs;
}

function iso(ticks: readonly number[]): string[] {
  return ticks.map((tick) => `${new Date(tick).toISOString().slice(0, 19)}Z`);
}

function scheduleOf(more: Partial<ScheduleInput> = {}, stored: Partial<Schedule> = {}): Schedule {
  const { content } = parseSchedule({ ...minimal, ...more });
  const none = 0 as EpochMs;
  const kept = { since: none, createdAt: none, updatedAt: none, paused: false };
  return { ...content, v: scheduleFormat, key: 'k', nonce: 'n', ...kept, ...stored } as Schedule;
}

function refused(input: unknown): ClaimkeeperError {
  try {
    parseSchedule(input);
  } catch (error) {
    return error as ClaimkeeperError;
  }
  throw new Error('it was not refused');
}

describe('a definition that is not valid is refused, naming the field and what is wrong with its value', () => {
  test.each<[string, object, string, RegExp]>([
    ['a minute that does not exist', { cron: '60 * * * *' }, 'cron', /"60 \* \* \* \*".*minute: 60/],
    ['a step of nothing', { cron: '*/0 * * * *' }, 'cron', /"\*\/0.*stepping: 0/],
    ['a range that goes back', { cron: '5-1 * * * *' }, 'cron', /'5-1'/],
    ['no number', { cron: 'a * * * *' }, 'cron', /"a \* \* \* \*".*illegal/],
    ['four fields', { cron: '* * * *' }, 'cron', /4 fields: give five/],
    ['seven fields', { cron: '* * * * * * 2026' }, 'cron', /7 fields/],
    ['no field', { cron: ' ' }, 'cron', /0 fields/],
    ['a date for an expression', { cron: '2026-01-01T00:00:00' }, 'cron', /1 fields/],
    ['an unknown nickname', { cron: '@often' }, 'cron', /@often/],
    ['a number for an expression', { cron: 5 }, 'cron', /expected string/],
    ['an endless expression', { cron: `${'1,'.repeat(200)}1 * * * *` }, 'cron', /longer than 256/],
    ['31 February', { cron: '0 0 31 2 *' }, 'cron', /never fires in UTC: no such moment exists/],
    [
      'a start and an end without a tick between them',
      { cron: '0 0 1 1 *', startAt: '2026-02-01T00:00:00Z', endAt: '2026-12-01T00:00:00Z' },
      'cron',
      /never fires in UTC between startAt and endAt/,
    ],
    ['an end before the start', { startAt: 2_000_000, endAt: 1_000_000 }, 'endAt', /not after startAt/],
    ['a start that is no time', { startAt: 'tomorrow' }, 'startAt', /ISO/],
    ['a misspelt zone', { timeZone: 'Europe/Berln' }, 'timeZone', /did you mean Europe\/Berlin\?/],
    ['an offset for a zone', { timeZone: '+01:00' }, 'timeZone', /IANA/],
    ['a misspelt field', { timezone: 'UTC' }, 'timezone', /did you mean timeZone\?/],
    ['a misspelt field within', { misfire: { polcy: 'all' } }, 'misfire.polcy', /did you mean policy\?/],
    ['a misspelt field of the task', { task: { type: 'job', que: 'q' } }, 'task.que', /did you mean queue\?/],
    ['an unknown policy', { misfire: { policy: 'some' } }, 'misfire.policy', /"skip"\|"once"\|"all"/],
    ['no grace at all', { misfire: { afterMs: 0 } }, 'misfire.afterMs', /1000/],
    [
      'more ticks at once than allowed',
      { misfire: { ticksMax: limits.ticksMax + 1 } },
      'misfire.ticksMax',
      /1000/,
    ],
    ['an age below the grace', { misfire: { ageMsMax: 30_000 } }, 'misfire.ageMsMax', /less than afterMs/],
    ['more jitter than a day', { jitterMs: limits.jitterMsMax + 1 }, 'jitterMs', /86400000/],
    ['an unknown overlap', { overlap: 'queue' }, 'overlap', /"allow"\|"skip"/],
    ['an id of its tasks', { task: { type: 'job', id: 'x' } }, 'task.id', /leave it out/],
    ['a due time of its tasks', { task: { type: 'job', delayMs: 5 } }, 'task.delayMs', /leave it out/],
    [
      'a priority out of range',
      { task: { type: 'job', priority: 1_001 } },
      'task.priority',
      /task: priority: .*1000/,
    ],
    ['an id with a slash', { id: 'a/b' }, 'id', /"a\/b"/],
    ['an id too long for its ticks', { id: 'x'.repeat(101) }, 'id', /1–100 characters/],
    ['no id', { id: undefined }, 'id', /undefined/],
    ['no task', { task: undefined }, 'task', /expected object/],
  ])('%s', (_, more, field, message) => {
    const error = refused({ ...minimal, ...more });
    expect(error).toMatchObject({ code: 'SCHEDULE_INVALID', field });
    expect(error.message).toMatch(message);
  });

  test('what a submission refuses with a code of its own keeps it', () => {
    expect(refused({ ...minimal, task: { type: 'a b' } })).toMatchObject({
      code: 'NAME_INVALID',
      field: 'task.type',
    });
    const large = { type: 'job', payload: 'x'.repeat(limits.payloadBytesMax) };
    expect(refused({ ...minimal, task: large })).toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      field: 'task.payload',
    });
  });

  test.each([null, 5, 'x', []])('%j is no definition', (input) => {
    expect(refused(input).code).toBe('SCHEDULE_INVALID');
  });
});

describe('a definition that is valid', () => {
  test('has its defaults', () => {
    expect(parseSchedule(minimal).content).toMatchObject({
      timeZone: 'UTC',
      task: { type: 'job', queue: 'default', payload: null, priority: 0, policy: null },
      misfire: { policy: 'once', afterMs: 60_000, ticksMax: 100, ageMsMax: 86_400_000 },
      jitterMs: 0,
      overlap: 'allow',
    });
  });

  test('is the same with its defaults written out, and another with any other word', () => {
    const content = (more: Partial<ScheduleInput>) => parseSchedule({ ...minimal, ...more }).content;
    const plain = content({});
    expect(
      sameContent(plain, content({ timeZone: 'UTC', overlap: 'allow', jitterMs: 0, paused: true })),
    ).toBe(true);
    expect(sameContent(plain, JSON.parse(JSON.stringify(plain)))).toBe(true);
    const others: Partial<ScheduleInput>[] = [
      { id: 't' },
      { cron: '*/2 * * * *' },
      { timeZone: 'Europe/Berlin' },
      { task: { type: 'job', payload: 1 } },
      { task: { type: 'job', retry: { attempts: 2 } } },
      { misfire: { policy: 'all' } },
      { jitterMs: 1 },
      { startAt: 1 },
      { endAt: 9e12 },
      { overlap: 'skip' },
    ];
    for (const other of others) expect(sameContent(plain, content(other)), JSON.stringify(other)).toBe(false);
  });

  test('may name seconds, weekdays, the last day of a month, and a nickname', () => {
    const from = at('2026-01-30T23:59:58Z');
    const first = (cron: string) => iso(nextTicks(parseSchedule({ ...minimal, cron }).content, from, 1));
    expect(first('*/15 * * * * *')).toEqual(['2026-01-31T00:00:00Z']);
    expect(first('0 9 * * MON')).toEqual(['2026-02-02T09:00:00Z']);
    expect(first('0 0 L * *')).toEqual(['2026-01-31T00:00:00Z']);
    expect(first('@daily')).toEqual(['2026-01-31T00:00:00Z']);
  });
});

describe('ticks over a change of the clocks are those that croner documents', () => {
  const zones = {
    'Europe/Berlin': { spring: '2026-03-29', autumn: '2026-10-25', utcHour: { spring: 1, autumn: 0 } },
    'America/New_York': { spring: '2026-03-08', autumn: '2026-11-01', utcHour: { spring: 7, autumn: 5 } },
  } as const;

  function ticksOn(day: string, cron: string, timeZone: string): string[] {
    const from = (at(`${day}T00:00:00Z`) - 1) as EpochMs;
    const content = parseSchedule({ ...minimal, cron, timeZone, endAt: from + 86_400_001 }).content;
    return iso(nextTicks(content, from, 200));
  }

  test.each([
    // In spring 02:00–02:59 does not exist: 03:00 follows 01:59.
    ['Europe/Berlin', '30 2 * * *', ['2026-03-29T01:00:00Z']],
    ['America/New_York', '30 2 * * *', ['2026-03-08T07:00:00Z']],
    ['Europe/Berlin', '30 1-3 * * *', ['00:30', '01:30', '23:30'].map((t) => `2026-03-29T${t}:00Z`)],
    ['America/New_York', '30 1-3 * * *', ['2026-03-08T06:30:00Z', '2026-03-08T07:30:00Z']],
  ] as const)('in spring, in %s, %s', (zone, cron, expected) => {
    expect(ticksOn(zones[zone].spring, cron, zone)).toEqual(expected);
  });

  test.each([
    // In autumn 02:00–02:59 (Berlin), 01:00–01:59 (New York) comes twice.
    ['Europe/Berlin', '30 2 * * *', ['2026-10-25T00:30:00Z']],
    ['America/New_York', '30 1 * * *', ['2026-11-01T05:30:00Z']],
    ['Europe/Berlin', '0,30 2 * * *', ['00:00', '00:30', '01:00', '01:30'].map((t) => `2026-10-25T${t}:00Z`)],
    [
      'America/New_York',
      '0,30 1 * * *',
      ['05:00', '05:30', '06:00', '06:30'].map((t) => `2026-11-01T${t}:00Z`),
    ],
  ] as const)('in autumn, in %s, %s', (zone, cron, expected) => {
    expect(ticksOn(zones[zone].autumn, cron, zone)).toEqual(expected);
  });

  test.each(['Europe/Berlin', 'America/New_York'] as const)('an interval goes on evenly in %s', (zone) => {
    for (const day of [zones[zone].spring, zones[zone].autumn]) {
      const ticks = ticksOn(day, '*/10 * * * *', zone).map((tick) => at(tick));
      expect(ticks).toHaveLength(144);
      expect(new Set(ticks.slice(1).map((tick, i) => tick - (ticks[i] ?? 0)))).toEqual(new Set([600_000]));
    }
  });

  test.each(['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'])(
    'counted back they are the same as counted on, in %s',
    (timeZone) => {
      const crons = [
        '*/7 * * * *',
        '30 2 * * *',
        '0 1-3 * * *',
        '*/20 30 1 * * *',
        '0 0 * * 0',
        '15 2 L * *',
      ];
      const anyTime = fc.integer({ min: at('2026-01-01T00:00:00Z'), max: at('2027-01-01T00:00:00Z') });
      fc.assert(
        fc.property(fc.constantFrom(...crons), anyTime, (cron, from) => {
          const schedule = scheduleOf({ cron, timeZone });
          const on = nextTicks(schedule, from as EpochMs, 12);
          const last = on.at(-1) as EpochMs;
          expect(ticksOf(schedule).upTo(last, 12)).toEqual([...on].reverse());
          expect(ticksOf(schedule).upTo((last - 1) as EpochMs, 1)).toEqual(on.slice(-2, -1));
        }),
        { numRuns: 20 },
      );
    },
  );
});

describe('which ticks fire', () => {
  const midnight = at('2026-06-01T00:00:00Z');
  const minutes = (n: number) => (midnight + n * 60_000) as EpochMs;
  const fires = (schedule: Schedule, through: EpochMs, now: EpochMs) => {
    const { fire, skipped, next, more } = dueTicks(schedule, through, now);
    const count = (ticks: readonly number[]) => ticks.map((tick) => (tick - midnight) / 60_000);
    return {
      fire: count(fire),
      skipped: count(skipped.map(({ tick }) => tick)),
      next: next === null ? null : (next - midnight) / 60_000,
      more,
    };
  };

  test('a tick fires from its own moment on, and not before', () => {
    const schedule = scheduleOf();
    expect(fires(schedule, minutes(0), (minutes(1) - 1) as EpochMs)).toMatchObject({ fire: [], next: 1 });
    expect(fires(schedule, minutes(0), minutes(1))).toMatchObject({ fire: [1], next: 2 });
    expect(fires(schedule, minutes(1), minutes(1))).toMatchObject({ fire: [], next: 2 });
  });

  test('a tick that is on time fires whatever the policy', () => {
    for (const policy of ['skip', 'once', 'all'] as const) {
      const schedule = scheduleOf({ misfire: { policy, afterMs: 120_000 } });
      expect(fires(schedule, minutes(0), minutes(3)), policy).toMatchObject({ fire: [1, 2, 3], skipped: [] });
    }
  });

  test.each([
    ['skip', [9, 10], [1, 2, 3, 4, 5, 6, 7, 8]],
    ['once', [8, 9, 10], [1, 2, 3, 4, 5, 6, 7]],
    ['all', [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], []],
  ] as const)('late ones: %s', (policy, fire, skipped) => {
    const schedule = scheduleOf({ misfire: { policy, afterMs: 60_000 } });
    expect(fires(schedule, minutes(0), minutes(10))).toEqual({ fire, skipped, next: 11, more: false });
  });

  test('at most ticksMax fire, the newest, and none that is older than ageMsMax', () => {
    const few = scheduleOf({ misfire: { policy: 'all', ticksMax: 3 } });
    expect(fires(few, minutes(0), minutes(10))).toEqual({
      fire: [8, 9, 10],
      skipped: [],
      next: 11,
      more: true,
    });
    const young = scheduleOf({ misfire: { policy: 'all', ageMsMax: 180_000 } });
    expect(fires(young, minutes(0), minutes(10))).toMatchObject({ fire: [7, 8, 9, 10] });
    const once = scheduleOf({ cron: '0 0 * * *', misfire: { policy: 'once', ageMsMax: 3_600_000 } });
    expect(dueTicks(once, (midnight - 1) as EpochMs, minutes(61))).toMatchObject({
      fire: [],
      skipped: [{ tick: midnight, why: 'late' }],
    });
  });

  test('an outage of years is judged in a moment', () => {
    const schedule = scheduleOf({ cron: '* * * * * *', misfire: { policy: 'all', ticksMax: 5 } });
    expect(dueTicks(schedule, at('1990-01-01T00:00:00Z'), minutes(0)).fire).toHaveLength(5);
  });

  test('ticks before it was made or resumed, before its start and from its end on do not fire', () => {
    const late = { policy: 'all' } as const;
    const made = scheduleOf({ misfire: late }, { since: minutes(8) });
    expect(fires(made, minutes(0), minutes(10)).fire).toEqual([9, 10]);
    const started = scheduleOf({ misfire: late, startAt: minutes(8) });
    expect(fires(started, minutes(0), minutes(10)).fire).toEqual([8, 9, 10]);
    const ended = scheduleOf({ misfire: late, endAt: minutes(3) });
    expect(fires(ended, minutes(0), minutes(10))).toMatchObject({ fire: [1, 2], next: null });
    expect(fires(ended, minutes(0), minutes(1))).toMatchObject({ fire: [1], next: 2 });
    expect(fires(ended, minutes(0), minutes(2))).toMatchObject({ fire: [1, 2], next: null });
    expect(fires(ended, minutes(2), minutes(10))).toMatchObject({ fire: [], next: null });
  });

  test('a paused one fires nothing', () => {
    const paused = scheduleOf({ misfire: { policy: 'all' } }, { paused: true });
    expect(fires(paused, minutes(0), minutes(10))).toEqual({
      fire: [],
      skipped: [],
      next: null,
      more: false,
    });
  });

  test('of overlapping ticks the first fires if the last task is over, else none; all of them are decided', () => {
    const decision = dueTicks(scheduleOf({ misfire: { afterMs: 180_000 } }), minutes(0), minutes(3));
    expect(withoutOverlap(decision, true)).toMatchObject({
      fire: [minutes(1)],
      skipped: [
        { tick: minutes(2), why: 'overlap' },
        { tick: minutes(3), why: 'overlap' },
      ],
    });
    expect(withoutOverlap(decision, false)).toMatchObject({ fire: [], skipped: { length: 3 } });
  });

  test('however the clock jumps, no tick fires twice, and none is passed over but by the policy', () => {
    const jumps = fc.array(fc.integer({ min: -5_400_000, max: 5_400_000 }), { minLength: 1, maxLength: 12 });
    const policies = fc.constantFrom('skip', 'once', 'all');
    fc.assert(
      fc.property(jumps, policies, fc.integer({ min: 1, max: 40 }), (steps, policy, ticksMax) => {
        const schedule = scheduleOf({
          cron: '*/10 * * * *',
          misfire: { policy, ticksMax, afterMs: 1_200_000 },
        });
        const decided: number[] = [];
        let now = minutes(0);
        let through = minutes(0);
        let most = now;
        for (const step of steps) {
          now = (now + step) as EpochMs;
          most = Math.max(most, now) as EpochMs;
          const { fire, skipped, more, next } = dueTicks(schedule, through, now);
          const all = [...fire, ...skipped.map(({ tick }) => tick)].sort((a, b) => a - b);
          for (const tick of all) expect(tick).toBeGreaterThan(through);
          if (!more)
            expect(all).toEqual(nextTicks(schedule, through, ticksMax).filter((tick) => tick <= now));
          expect(next).toBeGreaterThan(now);
          decided.push(...fire);
          through = (all.at(-1) ?? through) as EpochMs;
        }
        expect(new Set(decided).size).toBe(decided.length);
        expect(through).toBeLessThanOrEqual(most);
      }),
      { numRuns: 40 },
    );
  });
});

describe('the task of a tick', () => {
  const tick = at('2026-06-01T12:00:00Z');

  test('is named by the schedule and the tick, and the name can be read', () => {
    const { id, type, payload, notBefore } = taskOfTick(
      scheduleOf({ id: 'a@b', task: { type: 'job', payload: { x: 1 } } }),
      tick,
    );
    expect({ id, type, payload, notBefore }).toEqual({
      id: 'a@b@2026-06-01T12:00:00Z',
      type: 'job',
      payload: { x: 1 },
      notBefore: null,
    });
    expect(tickOf(id)).toEqual({ schedule: 'a@b', tick });
    for (const other of [
      'a',
      'a@b',
      'a@2026-06-01',
      'a@run-x',
      '@2026-06-01T12:00:00Z',
      'a@2026-13-01T12:00:00Z',
    ])
      expect(tickOf(other), other).toBeNull();
  });

  test('fits the limits of a task id, as a run does', () => {
    const longest = scheduleOf({ id: 'x'.repeat(limits.scheduleIdCharsMax) });
    expect(tickId(longest.id, tick).length).toBeLessThanOrEqual(limits.taskIdCharsMax);
    expect(runId(longest.id, 'k'.repeat(22)).length).toBeLessThanOrEqual(limits.taskIdCharsMax);
    for (const key of ['', 'k'.repeat(23), 'a@b', 'a b']) expect(() => runId(longest.id, key)).toThrow(/key/);
  });

  test('is due within the jitter, at the same moment for the same tick, and spread evenly over ticks', () => {
    const schedule = scheduleOf({ jitterMs: 1_000 });
    const delays = Array.from({ length: 2_000 }, (_, n) => {
      const each = (tick + n * 60_000) as EpochMs;
      return (taskOfTick(schedule, each).notBefore ?? Number.NaN) - each;
    });
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_000);
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
    expect(mean).toBeGreaterThan(450);
    expect(mean).toBeLessThan(550);
    expect(taskOfTick(scheduleOf({ jitterMs: 1_000 }), tick)).toEqual(taskOfTick(schedule, tick));
  });
});
