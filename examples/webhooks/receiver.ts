// receiver.ts: the world outside: a service that takes webhooks. It counts what arrives per task, and honours no
// idempotency key, so that a second execution would show.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Receiver = {
  readonly url: string;
  /** Arrivals by task id. */
  readonly arrivals: ReadonlyMap<string, number>;
  close(): Promise<void>;
};

/** Answers each POST after `latencyMs`, as a remote service would. */
export async function startReceiver(latencyMs: number): Promise<Receiver> {
  const arrivals = new Map<string, number>();
  const server = createServer((request, response) => {
    const id = String(request.headers['idempotency-key']);
    arrivals.set(id, (arrivals.get(id) ?? 0) + 1);
    request.resume();
    request.on('end', () => setTimeout(() => response.writeHead(204).end(), latencyMs));
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/hooks`, arrivals, close: () => closeServer(server) };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
