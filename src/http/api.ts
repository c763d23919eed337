// api.ts: the API's server. Owns where it listens, and its end.

import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { limits } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { type ApiOptions, buildApp } from './app.js';
import { Connections } from './connections.js';

const closeMsMax = 10_000;

export type Api = {
  /** Only there; port 0: any free one. Resolves with the address as a URL. */
  listen(where: { readonly host: string; readonly port: number }): Promise<string>;
  /** Refuses new connections, answers what has arrived in full, for up to ten seconds, then resolves. Idempotent. */
  close(): Promise<void>;
};

export function createApi(options: ApiOptions): Api {
  const app = buildApp(options);
  const connections = new Connections(app.server);
  let closing: Promise<void> | null = null;
  return {
    async listen({ host, port }) {
      await app.listen({ host, port, backlog: limits.connectionsWaitingMax });
      const { address, port: actual, family } = app.server.address() as AddressInfo;
      return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
    },
    close() {
      closing ??= closeWithin(app, connections, options.runtime);
      return closing;
    },
  };
}

/** The deadline is for clients that do not read their answers. */
async function closeWithin(
  app: FastifyInstance,
  connections: Connections,
  { clock }: Runtime,
): Promise<void> {
  const timer = clock.after(closeMsMax, () => app.server.closeAllConnections(), { keepAlive: true });
  connections.close();
  await app.close();
  timer.cancel();
}
