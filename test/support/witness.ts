// witness.ts: the world outside, as tests see it: an HTTP service that the faults do not touch. It notes every effect that
// reaches it, holds back the answers a test wants held, and can be broken like any downstream.

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Effect = {
  readonly task: string;
  readonly attempt: number;
  readonly fence: number;
  readonly pid: number;
  readonly atMs: number;
};

export type Witness = {
  readonly url: string;
  readonly effects: readonly Effect[];
  /** Effects of one task, in order. */
  of(task: string): readonly Effect[];
  /** Tasks with more than one effect. */
  doubled(): readonly string[];
  /** Answers to `task` wait until {@link release}. */
  hold(task: string): void;
  release(task: string): void;
  /** While broken, answers 503 and counts no effect: nothing was done. */
  broken: boolean;
  /** Requests refused while broken. */
  readonly refused: number;
  /** What the `verify` hook is told of a task; default `unknown`. */
  readonly verdicts: Map<string, 'completed' | 'notExecuted' | 'unknown'>;
  close(): Promise<void>;
};

export async function startWitness(): Promise<Witness> {
  const effects: Effect[] = [];
  const held = new Map<string, ServerResponse[]>();
  const verdicts: Witness['verdicts'] = new Map();
  let refused = 0;
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://witness');
    const task = url.searchParams.get('task') ?? '';
    request.resume();
    if (url.pathname === '/verify') {
      response.end(JSON.stringify({ kind: verdicts.get(task) ?? 'unknown' }));
      return;
    }
    if (witness.broken) {
      refused += 1;
      response.writeHead(503).end();
      return;
    }
    const number = (name: string): number => Number(url.searchParams.get(name));
    effects.push({
      task,
      attempt: number('attempt'),
      fence: number('fence'),
      pid: number('pid'),
      atMs: performance.now(),
    });
    counts.set(task, (counts.get(task) ?? 0) + 1);
    const waiting = held.get(task);
    if (waiting === undefined) response.end('{}');
    else waiting.push(response);
  });
  server.keepAliveTimeout = 300_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const witness: Witness = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    effects,
    of: (task) => effects.filter((effect) => effect.task === task),
    doubled: () => [...counts].filter(([, count]) => count > 1).map(([task]) => task),
    hold: (task) => void held.set(task, []),
    release(task) {
      const waiting = held.get(task) ?? [];
      held.delete(task);
      for (const response of waiting) response.end('{}');
    },
    broken: false,
    get refused() {
      return refused;
    },
    verdicts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return witness;
}
