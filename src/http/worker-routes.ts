// worker-routes.ts: the fleet over HTTP: which workers are alive, and what each has taken.

import type { FastifyInstance } from 'fastify';
import type { FleetMember } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { withDeadline } from './deadline.js';
import type { TaskService } from './port.js';
import { iso } from './view.js';

/** A worker as the API shows it; `startedAt` is ISO 8601 in UTC. */
export type WorkerView = Omit<FleetMember, 'startedAt'> & { readonly startedAt: string };

export function addWorkerRoutes(app: FastifyInstance, tasks: TaskService, runtime: Runtime): void {
  // Whole to every key: what a worker has taken are ids, and those tell nothing of their queues.
  app.get('/v1/workers', { config: { scope: 'read', query: [] } }, async () => {
    const members = await withDeadline(runtime, tasks.fleet(), 'ZOOKEEPER_UNAVAILABLE');
    return { workers: members.map(workerViewOf) };
  });
}

function workerViewOf({ id, pid, host, queues, types, concurrency, ...rest }: FleetMember): WorkerView {
  const { startedAt, session, tasks } = rest;
  return { id, pid, host, queues, types, concurrency, startedAt: iso(startedAt), session, tasks };
}
