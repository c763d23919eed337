// health-routes.ts: what keeps processes running asks: is it alive, may it be sent requests.

import type { FastifyInstance } from 'fastify';
import type { TaskService } from './port.js';
import { retryAfterSeconds } from './problem.js';

export function addHealthRoutes(app: FastifyInstance, tasks: TaskService): void {
  app.get('/livez', { config: { scope: 'open', query: [] } }, async () => ({ status: 'alive' }));

  app.get('/readyz', { config: { scope: 'open', query: [] } }, async (_request, reply) => {
    const { ready, zookeeper, redis } = tasks.ready();
    reply.code(ready ? 200 : 503);
    if (!ready) reply.header('retry-after', retryAfterSeconds);
    return { status: ready ? 'ready' : 'not ready', zookeeper, redis };
  });
}
