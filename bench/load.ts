// load.ts: how tasks are submitted: in bulk, one by one by the library or over HTTP, at a pace. All contestants alike.

import { Agent, request } from 'node:http';
import { now, until } from './clock.js';
import type { Submitter } from './contestants/contestant.js';
import { type Batch, type Task, tasksOf } from './task.js';

/** Tasks of one call, and calls under way at once. */
const perCall = 1_000;
const callsAtOnce = 4;

/** `again`: of every call, this share of its tasks is delivered once more. */
export async function inBulk(submitter: Submitter, batch: Batch, again: number): Promise<void> {
  const calls = Array.from({ length: Math.ceil(batch.count / perCall) }, (_, i) => ({
    ...batch,
    from: batch.from + i * perCall,
    count: Math.min(perCall, batch.count - i * perCall),
  }));
  await eachOf(calls, callsAtOnce, async (call) => {
    const tasks = tasksOf(call);
    await submitter.bulk(tasks);
    if (again > 0) submitter.deliverAgain?.(some(tasks, again));
  });
}

export function oneByOne(submitter: Submitter, batch: Batch, atOnce: number): Promise<void> {
  return eachOf(tasksOf(batch), atOnce, (task) => submitter.one(task));
}

/** Each of so many connections is kept, and asked for one task after another. */
export async function overHttp(url: string, batch: Batch, connections: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  await eachOf(tasksOf(batch), connections, (task) => post(`${url}/v1/tasks`, task, agent));
  agent.destroy();
}

/** Resolves with when each was begun to be submitted. */
export async function atPace(submitter: Submitter, batch: Batch, perSecond: number): Promise<Float64Array> {
  const begun = new Float64Array(batch.count);
  const from = now();
  const under = tasksOf(batch).map(async (task, i) => {
    await until(from + (i * 1_000) / perSecond);
    begun[i] = now();
    await submitter.one(task);
  });
  await Promise.all(under);
  return begun;
}

/** In order, `atOnce` under way at any time. */
async function eachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const one = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
}

/** Spread evenly. */
function some(tasks: readonly Task[], share: number): string[] {
  const step = 1 / share;
  return Array.from(
    { length: Math.floor(tasks.length * share) },
    (_, i) => tasks[Math.floor(i * step)]?.id ?? '',
  );
}

function post(url: string, { id, payload }: Task, agent: Agent): Promise<void> {
  const body = JSON.stringify({ id, type: 'task', payload });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'POST', agent, headers }, (answer) => {
      answer.resume();
      answer.once('end', () => {
        if (answer.statusCode === 201) resolve();
        else reject(new Error(`a submit was answered ${answer.statusCode}`));
      });
    });
    asked.once('error', reject);
    asked.end(body);
  });
}
