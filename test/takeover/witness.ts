// witness.ts: notes when an attempt begins, and where, and keeps it waiting until it is let go.

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Begin = { readonly attempt: number; readonly pid: number; readonly atMs: number };

export type Witness = {
  readonly url: string;
  /** Attempts of a task, in the order in which they began. */
  of(task: string): readonly Begin[];
  /** Lets go what waits now, and whatever comes until {@link hold}. */
  release(): void;
  hold(): void;
  close(): Promise<void>;
};

export async function startWitness(): Promise<Witness> {
  const begins = new Map<string, Begin[]>();
  const waiting = new Set<ServerResponse>();
  let holds = true;
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://witness');
    const task = searchParams.get('task') ?? '';
    const begin: Begin = {
      attempt: Number(searchParams.get('attempt')),
      pid: Number(searchParams.get('pid')),
      atMs: performance.now(),
    };
    begins.set(task, [...(begins.get(task) ?? []), begin]);
    request.resume();
    if (!holds) return void response.end('{}');
    waiting.add(response);
    response.once('close', () => waiting.delete(response));
  });
  server.keepAliveTimeout = 300_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    of: (task) => begins.get(task) ?? [],
    release() {
      holds = false;
      for (const response of waiting) response.end('{}');
    },
    hold() {
      holds = true;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
