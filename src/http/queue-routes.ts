// queue-routes.ts: queues over HTTP: counted, paused, resumed.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseName } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { withDeadline } from './deadline.js';
import { refuseBody } from './json.js';
import type { TaskService } from './port.js';
import { guarded } from './queue-guard.js';
import { queueViewOf, settingViewOf } from './summary-view.js';

type QueueRoute = { Params: { queue: string } };

export function addQueueRoutes(app: FastifyInstance, tasks: TaskService, runtime: Runtime): void {
  app.get('/v1/queues', { config: { scope: 'read', query: [] } }, async ({ caller }) => {
    const { queues, rebuilding } = await withDeadline(
      runtime,
      guarded(tasks, caller).queues(),
      'REDIS_UNAVAILABLE',
    );
    return { queues: queues.map(queueViewOf), rebuilding };
  });

  const setting =
    (method: 'pauseQueue' | 'resumeQueue') =>
    async ({ params, body, caller }: FastifyRequest<QueueRoute>): Promise<object> => {
      refuseBody(body);
      const queue = parseName(params.queue, 'queue');
      const set = guarded(tasks, caller)[method](queue);
      return settingViewOf(queue, await withDeadline(runtime, set, 'OUTCOME_UNKNOWN'));
    };
  const config = { scope: 'operate', query: [] } as const;
  app.post<QueueRoute>('/v1/queues/:queue/pause', { config }, setting('pauseQueue'));
  app.post<QueueRoute>('/v1/queues/:queue/resume', { config }, setting('resumeQueue'));
}
