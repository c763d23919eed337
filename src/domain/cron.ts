// cron.ts: which moments a cron expression names in a time zone: its ticks. Owns croner, which is given the moment to
// count from and never asks the clock. What follows from a tick is schedule.ts.
//
// Daylight saving time, as croner's documentation has it ("Pattern"): an expression with a single value in each of seconds,
// minutes and hours is a fixed-time job: where its time occurs twice it is due at the first, where its time does not exist
// it is due at the first moment after the gap. Any other is an interval job: due at both occurrences, and not in the gap.

import { Cron } from 'croner';
import type { EpochMs } from './brand.js';
import { ClaimkeeperError } from './errors.js';
import { shown } from './ids.js';
import { limits } from './limits.js';
import { nearest } from './options.js';

/** The ticks of one expression in one time zone; every one is a whole second. */
export class Ticks {
  readonly #cron: Cron;

  /** @throws ClaimkeeperError `SCHEDULE_INVALID` naming `cron` or `timeZone` and what is wrong with its value */
  constructor(expression: string, timeZone: string) {
    assertTimeZone(timeZone);
    assertForm(expression);
    try {
      this.#cron = new Cron(expression, { timezone: timeZone, mode: '5-or-6-parts', paused: true });
    } catch (error) {
      const why = (error instanceof Error ? error.message : String(error)).replace(/^Cron\w*: /, '');
      throw invalid('cron', `${shown(expression)} is no cron expression: ${why}`);
    }
  }

  /** The first tick later than `from`; null when there is none any more. */
  after(from: EpochMs): EpochMs | null {
    return (this.#cron.nextRun(new Date(from))?.getTime() ?? null) as EpochMs | null;
  }

  /** The last ticks up to and with `until`, at most `count`; newest first. */
  upTo(until: EpochMs, count: number): EpochMs[] {
    const nextSecond = (Math.floor(until / 1_000) + 1) * 1_000; // croner leaves out the second it is given.
    return this.#cron.previousRuns(count, new Date(nextSecond)).map((date) => date.getTime() as EpochMs);
  }
}

/** croner would take a date for a pattern, too: a moment is no schedule. */
function assertForm(expression: string): void {
  if (expression.length > limits.cronCharsMax) {
    throw invalid('cron', `${shown(expression)} is longer than ${limits.cronCharsMax} characters`);
  }
  const fields = expression.trim().split(/\s+/);
  if (/^@[a-z]+$/i.test(expression) || fields.length === 5 || fields.length === 6) return;
  const found = expression.trim() === '' ? 0 : fields.length;
  throw invalid(
    'cron',
    `${shown(expression)} has ${found} fields: give five (minute, hour, day of month, month, day of week), or six with the second first`,
  );
}

function assertTimeZone(timeZone: string): void {
  try {
    // An offset (+01:00) is no zone to Node.js 20, and is one later on: two versions of it must not differ.
    if (/^[A-Za-z]/.test(timeZone)) return void new Intl.DateTimeFormat('en', { timeZone });
  } catch {
    // Told below.
  }
  const near = nearest(timeZone, Intl.supportedValuesOf('timeZone'));
  const hint = near === null ? 'give an IANA name, as Europe/Berlin or UTC' : `did you mean ${near}?`;
  throw invalid('timeZone', `${shown(timeZone)} is no time zone that this Node.js knows: ${hint}`);
}

function invalid(field: string, why: string): ClaimkeeperError {
  return new ClaimkeeperError('SCHEDULE_INVALID', `${field}: ${why}`, { field });
}
