// architecture.test.ts: the sources keep the rules of the house, and each rule is shown to bite.

import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  againstLayers,
  cycles,
  headless,
  outOfHome,
  pastIndex,
  platformTimeOrChance,
  vaguelyNamed,
} from '../support/house-rules.js';
import { codeOnly, importsOf, readSources, type Sources, withoutComments } from '../support/source-text.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const product = readSources(root, ['src'], ['.ts']);

function sources(files: Record<string, string>): Sources {
  return new Map(Object.entries(files));
}

test('the product has sources to hold the rules against', () => {
  expect([...product.keys()]).toEqual(
    expect.arrayContaining(['src/domain/index.ts', 'src/runtime/clock.ts']),
  );
});

describe('imports go down only', () => {
  test('in the product', () => expect(againstLayers(product)).toEqual([]));

  test.each([
    ['src/domain/a.ts', "import type { Clock } from '../runtime/index.js';"],
    ['src/coordination/zookeeper/a.ts', "import { Ledger } from '../../ledger/index.js';"],
    ['src/delivery/a.ts', "export { x } from '../ledger/index.js';"],
    ['src/worker/a.ts', "import { x } from '../scheduler/index.js';"],
    ['src/http/a.ts', "const { x } = await import('../worker/index.js');"],
    ['src/index.ts', "import { main } from './cli/main.js';"],
    ['src/http/b.ts', "import { x } from '../index.js';"],
    ['src/worker/b.ts', "import { startRedis } from '../../infra/servers.js';"],
    ['src/ledger/a.ts', "import '../../test/support/proxy.js';"],
    ['src/misc/a.ts', "import { x } from '../domain/index.js';"],
  ])('%s with %s is found', (path, text) => {
    expect(againstLayers(sources({ [path]: text }))).toHaveLength(1);
  });

  test('what is allowed is not found', () => {
    const allowed = sources({
      'src/worker/a.ts':
        "import { x } from '../ledger/index.js'; import { y } from './b.js'; import z from 'zod';",
      'src/coordination/zookeeper/a.ts': "import type { Session } from '../port.js';",
      'src/cli/main.ts': "import { x } from '../http/index.js'; import { y } from '../../infra/servers.js';",
      'src/index.ts': "export { x } from './claimkeeper.js';",
      'src/claimkeeper.ts': "import { x } from './worker/index.js';",
    });
    expect(againstLayers(allowed)).toEqual([]);
  });
});

describe('a folder is imported from outside through its index.ts', () => {
  test('in the product', () => expect(pastIndex(product)).toEqual([]));

  test('a way past it is found, a way within is not', () => {
    const files = sources({
      'src/domain/ids.ts': '',
      'src/ledger/record.ts': "import { x } from './claim.js';",
      'src/ledger/claim.ts': "import { x } from '../domain/ids.js';",
      'src/coordination/port.ts': "import { x } from './zookeeper/session.js';",
      'src/coordination/zookeeper/session.ts': "import { x } from '../port.js';",
      'src/coordination/zookeeper.ts': "export { x } from './zookeeper/session.js';",
    });
    expect(pastIndex(files)).toEqual([
      'src/ledger/claim.ts: imports ../domain/ids.js past the index.ts of src/domain',
      'src/coordination/port.ts: imports ./zookeeper/session.js past the index.ts of src/coordination/zookeeper',
    ]);
  });
});

describe('no import cycle between files', () => {
  test('in the product', () => expect(cycles(product)).toEqual([]));

  test('a cycle is found, by types alone too; a diamond is none', () => {
    const files = sources({
      'src/a/one.ts': "import './two.js'; import './three.js';",
      'src/a/two.ts': "import type { X } from './four.js';",
      'src/a/three.ts': "export * from './four.js';",
      'src/a/four.ts': '',
    });
    expect(cycles(files)).toEqual([]);
    const closed = new Map(files).set('src/a/four.ts', "import { type Y } from './two.js';");
    expect(cycles(closed)).toEqual(['src/a/two.ts → src/a/four.ts → src/a/two.ts']);
    expect(cycles(sources({ 'src/a/self.ts': "import './self.js';" }))).toHaveLength(1);
  });
});

describe('time and chance come from src/runtime', () => {
  test('in the product', () => expect(platformTimeOrChance(product)).toEqual([]));

  test.each([
    'const now = Date.now();',
    'const now = Date.now;',
    'const now = new Date();',
    'const now = new Date;',
    'const text = Date();',
    'setTimeout(() => undefined, 5);',
    'globalThis.x = setInterval;',
    'globalThis.setTimeout(run, 5);',
    'const roll = Math.random();',
    'const start = performance.now();',
    'const start = process.hrtime.bigint();',
    'const id = randomUUID();',
    'const text = `$' + '{Date.now()} is now`;',
    "import { setTimeout as sleep } from 'node:timers/promises';",
  ])('%s is found', (text) => {
    expect(platformTimeOrChance(sources({ 'src/worker/a.ts': text })).length).toBeGreaterThan(0);
    expect(platformTimeOrChance(sources({ 'src/runtime/a.ts': text }))).toEqual([]);
  });

  test.each([
    'const due = new Date(epochMs).toISOString();',
    'const at = Date.parse(text);',
    'type Timer = ReturnType<Clock["after"]>;',
    '// never Date.now() here',
    "const text = 'Date.now() and setTimeout';",
    'const text = `Date.now()`;',
    'clearTimeout(timer); if (value instanceof Date) return;',
    'socket.setTimeout(5);',
    'const a = /setTimeout\\(/.test(text);',
  ])('%s is not', (text) => {
    expect(platformTimeOrChance(sources({ 'src/worker/a.ts': text }))).toEqual([]);
  });
});

describe('a package is imported in its home alone', () => {
  test('in the product', () => expect(outOfHome(product)).toEqual([]));

  test.each([
    ['src/coordination/members.ts', "import zookeeper from 'node-zookeeper-client';"],
    ['src/worker/a.ts', "import { Worker } from 'bullmq';"],
    ['src/http/a.ts', "import { Redis } from 'ioredis';"],
    ['src/cli/a.ts', "import { pino } from 'pino';"],
    ['src/worker/b.ts', "import x from 'bullmq/dist/x.js';"],
  ])('%s with %s is found', (path, text) => {
    expect(outOfHome(sources({ [path]: text }))).toHaveLength(1);
  });

  test('its home is not', () => {
    expect(outOfHome(sources({ 'src/delivery/a.ts': "import { Redis } from 'ioredis';" }))).toEqual([]);
  });
});

describe('a source file says first what it owns', () => {
  test('in product, infrastructure and tests', () => {
    expect(headless(readSources(root, ['src', 'infra', 'test'], ['.ts', '.mjs']))).toEqual([]);
  });

  test.each([
    ['no header', "import { x } from './x.js';"],
    ["another file's header", '// b.ts: owns b.'],
    ['an empty header', '// a.ts: \n'],
    ['a header further down', '\n// a.ts: owns a.'],
  ])('%s is found', (_, text) => {
    expect(headless(sources({ 'src/worker/a.ts': text }))).toHaveLength(1);
  });

  test('a header is not, nor one below a "#!", and an index.ts needs none', () => {
    expect(headless(sources({ 'src/m.ts': '#!/usr/bin/env node\n// m.ts: owns m.\n' }))).toEqual([]);
    expect(headless(sources({ 'src/a.ts': '// a.ts: owns a.\n', 'src/index.ts': 'export {};' }))).toEqual([]);
  });
});

describe('no folder is named for what it is not about', () => {
  test('in the product', () => expect(vaguelyNamed([...product.keys()])).toEqual([]));

  test('such a folder is found, at any depth; a file of that name is not', () => {
    const paths = ['src/util/a.ts', 'src/http/helpers/a.ts', 'src/domain/types/a.ts', 'src/domain/types.ts'];
    expect(vaguelyNamed(paths)).toEqual(paths.slice(0, 3));
  });
});

describe('the reader of sources', () => {
  test('finds imports of every form, over several lines, and none in comments', () => {
    const text = [
      "import a from 'a';",
      "import { b,\n  type B } from 'b';",
      "import * as c from 'c';",
      "import type { D } from 'd';",
      "export { e } from 'e';",
      "export * from 'f';",
      "import 'g';",
      "const h = await import('h');",
      "// import i from 'i';",
      "/* export * from 'j'; */",
      "export const k = 'k';",
    ].join('\n');
    expect(importsOf(text)).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
  });

  test('tells code from comments, strings, templates and regular expressions', () => {
    const substituted = (name: string) => `$${'{'}${name}}`;
    const text = `a('b // c', \`d ${substituted(`e(\`f${substituted('g')}\`)`)} h\`, /[/'"]i/.test(j) / k); // l\n/* m\n */ n`;
    expect(codeOnly(text).replace(/\s+/g, '')).toBe('a(,e(g),.test(j)/k);n');
    expect(codeOnly(text).split('\n')).toHaveLength(3);
    expect(withoutComments("x('// y'); // z")).toBe("x('// y');     ");
  });
});
