// model.test.ts: the state table that the model asserts at every write is the one that the code has. Needs no Spin.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { table } from '../../src/domain/index.js';

const model = readFileSync(new URL('../../model/claim.pml', import.meta.url), 'utf8');

test('the model’s state table is the one of the code', () => {
  expect(tableOf(model)).toEqual(table);
});

test('every event of the table is one that the model writes', () => {
  for (const [, event] of table) {
    const name = nameInModel(event);
    expect(model, event).toMatch(
      new RegExp(`\\b(?:over|write|waitAgain|putUnderClaim)\\([^)]*\\b${name}\\b`),
    );
  }
});

test('a row that is gone, and one that leads elsewhere, are found', () => {
  const [first = ''] = /^ {2}\(from == waiting && event == claimed.*$/m.exec(model) ?? [];
  expect(tableOf(model.replace(first, ''))).not.toEqual(table);
  expect(tableOf(model.replace('(to == uncertain)', '(to == failed)'))).not.toEqual(table);
});

function tableOf(text: string): unknown[] {
  const rows = text.matchAll(/^ {2}\(from == (\w+) && event == (\w+) && \(([^)]*)\)\)/gm);
  return [...rows].map(([, from, event = '', to = '']) => [
    from,
    event === 'cancelRecord' ? 'cancelled' : event,
    [...to.matchAll(/to == (\w+)/g)].map(([, state]) => state),
  ]);
}

/** In Promela a name is either a state or an event. */
function nameInModel(event: string): string {
  return event === 'cancelled' ? 'cancelRecord' : event;
}
