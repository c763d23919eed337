// witness-process.test.ts: the world outside keeps its word, and what it says it has written down before.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import type { WitnessLine } from './evidence.js';
import { type Told, World } from './witness-process.js';

const always = () => 0;
const never = () => 0.99;

function told(attempt: number, more: Partial<Told> = {}): Told {
  return { task: 't', type: 'park', attempt, fence: attempt, pid: 1, sentAt: 0, ...more };
}

test('an attempt of which it said that it will not happen is refused from then on, and those before it', () => {
  const world = new World(never);
  expect(world.testify(told(2))).toBe('notExecuted');
  expect([1, 2, 3].map((attempt) => world.effect(told(attempt)))).toEqual(['refused', 'refused', 'effect']);
});

test('an effect that it had it testifies to, and never takes back', () => {
  const world = new World(never);
  expect(world.effect(told(1))).toBe('effect');
  expect(world.testify(told(1))).toBe('completed');
  expect(world.effect(told(1))).toBe('effect');
});

test('what it cannot answer at first it answers when it is asked again', () => {
  const world = new World(always);
  expect(world.testify(told(1))).toBe('unknown');
  expect(world.effect(told(1))).toBe('effect');
  expect(world.testify(told(1))).toBe('completed');
});

test('it compares the fences of tasks that may be rerun, and of no others', () => {
  const world = new World(never);
  const rerun = (fence: number) => world.effect(told(1, { task: 'r', type: 'rerun', fence }));
  expect([rerun(5), rerun(4), rerun(5), rerun(6)]).toEqual(['effect', 'refused', 'effect', 'effect']);
  expect([5, 4].map((fence) => world.effect(told(1, { fence })))).toEqual(['effect', 'effect']);
});

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

test('what is answered is on the disk, a line each, in the order in which it was decided', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'claimkeeper-test-witness-'));
  const file = join(folder, 'witness.ndjson');
  const program = join(import.meta.dirname, '../../dist/test/chaos/witness-process.js');
  const child = fork(program, [file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  cleanups.push(
    () => rmSync(folder, { recursive: true }),
    () => child.kill('SIGKILL'),
  );
  const [url] = (await once(child, 'message')) as [string];
  const post = (path: string, body: Told) =>
    fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
  const ask = async (path: string, body: Told): Promise<number> => (await post(path, body)).status;
  const said = async (path: string, body: Told): Promise<unknown> => (await post(path, body)).json();
  const lines = (): WitnessLine[] =>
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as WitnessLine);

  expect(await ask('/start', { ...told(1), plan: 'whatever' })).toBe(200);
  expect(lines()).toMatchObject([{ kind: 'start', task: 't', attempt: 1, plan: 'whatever' }]);
  const numbers = Array.from({ length: 50 }, (_, i) => i + 1);
  expect(await Promise.all(numbers.map((n) => ask('/effect', told(n))))).toEqual(Array(50).fill(200));
  expect(await ask('/effect', told(1, { type: 'rerun', fence: 0 }))).toBe(409);
  expect(await ask('/nothing', told(1))).toBe(400);
  child.send('be calm');
  await eventually(
    async () => expect(await said('/start', { ...told(9), plan: 'whatever' })).toMatchObject({ calm: true }),
    { what: 'handlers are told to be calm' },
  );
  expect(lines().at(-1)?.plan).toBe('calm');
  expect(await ask('/effect', told(1, { type: 'rerun', fence: 0 }))).toBe(409);
  const written = lines();
  expect(written.filter(({ kind }) => kind === 'effect')).toHaveLength(50);
  expect(written.at(-1)?.kind).toBe('refused');
  expect(written.every(({ at }, i) => i === 0 || at >= (written[i - 1]?.at ?? 0))).toBe(true);
});
