// list-routes.ts: tasks in lists. Owns how a query in a URL is read; what may be asked for is domain/listing.ts.

import type { FastifyInstance } from 'fastify';
import type { ListInput } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { withDeadline } from './deadline.js';
import type { TaskService } from './port.js';
import { guarded } from './queue-guard.js';
import { summaryViewOf } from './summary-view.js';

/** As `ListInput` has them. */
const parameters = [
  ...['state', 'queue', 'type', 'errorCode'],
  ...['acceptedAfter', 'acceptedBefore', 'limit', 'cursor'],
];

export function addListRoutes(app: FastifyInstance, tasks: TaskService, runtime: Runtime): void {
  app.get('/v1/tasks', { config: { scope: 'read', query: parameters } }, async ({ query, caller }) => {
    const page = await withDeadline(
      runtime,
      guarded(tasks, caller).list(listInput(query)),
      'REDIS_UNAVAILABLE',
    );
    return { ...page, tasks: page.tasks.map(summaryViewOf) };
  });
}

/** Everything in a URL is text: numbers are made of what reads as one, and the rest is refused as what it is. */
function listInput(query: unknown): ListInput {
  const given = { ...(query as Record<string, unknown>) };
  for (const name of ['limit', 'acceptedAfter', 'acceptedBefore']) {
    const value = given[name];
    if (typeof value === 'string' && /^\d{1,15}$/.test(value)) given[name] = Number(value);
  }
  return given as ListInput;
}
