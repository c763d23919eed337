// outside.ts: the world outside, with failpoints of its own: an HTTP service that no fault touches. It notes every effect
// that reaches it, and holds a handler, or a `verify` hook, before or after it has done what it was asked.

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Hold, Side } from './tap.js';

export type Effect = { readonly attempt: number; readonly fence: number };

/** `entered`: the handler was called; `effect`: it does what it is there for; `asked`: the hook looks for the effect. */
export type Place = 'entered' | 'effect' | 'asked';

export type Outside = {
  readonly url: string;
  of(task: string): readonly Effect[];
  note(task: string, effect: Effect): void;
  arm(place: Place, task: string, side: Side): Promise<Hold>;
  close(): Promise<void>;
};

export async function startOutside(): Promise<Outside> {
  const effects = new Map<string, Effect[]>();
  const armed = new Map<string, { readonly side: Side; readonly strike: (hold: Hold) => void }>();
  const note = (task: string, effect: Effect): void =>
    void effects.set(task, [...(effects.get(task) ?? []), effect]);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://outside');
    const [place, task] = [url.pathname.slice(1), url.searchParams.get('task') ?? ''];
    request.resume();
    const number = (name: string): number => Number(url.searchParams.get(name));
    const act = (): string => {
      if (place === 'effect') note(task, { attempt: number('attempt'), fence: number('fence') });
      return JSON.stringify({ kind: effects.has(task) ? 'completed' : 'notExecuted' });
    };
    const failpoint = armed.get(`${place} ${task}`);
    if (failpoint === undefined) return void response.end(act());
    armed.delete(`${place} ${task}`);
    const answer = failpoint.side === 'after' ? act() : null;
    failpoint.strike(holdOf(response, () => answer ?? act()));
  });
  server.keepAliveTimeout = 300_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    of: (task) => effects.get(task) ?? [],
    note,
    arm: (place, task, side) =>
      new Promise((strike) => {
        armed.set(`${place} ${task}`, { side, strike });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function holdOf(response: ServerResponse, answer: () => string): Hold {
  return {
    release: () => {
      if (!response.destroyed) response.end(answer());
    },
    lose: () => void response.destroy(),
  };
}
