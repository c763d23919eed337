// queue-routes.ts: queues over HTTP: counted, paused, resumed.

import type { FastifyInstance } from 'fastify';
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

  app.post<QueueRoute>(
    '/v1/queues/:queue/pause',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }) => {
      refuseBody(body);
      const queue = parseName(params.queue, 'queue');
      return settingViewOf(
        queue,
        await withDeadline(runtime, guarded(tasks, caller).pauseQueue(queue), 'OUTCOME_UNKNOWN'),
      );
    },
  );

  app.post<QueueRoute>(
    '/v1/queues/:queue/resume',
    { config: { scope: 'operate', query: [] } },
    async ({ params, body, caller }) => {
      refuseBody(body);
      const queue = parseName(params.queue, 'queue');
      return settingViewOf(
        queue,
        await withDeadline(runtime, guarded(tasks, caller).resumeQueue(queue), 'OUTCOME_UNKNOWN'),
      );
    },
  );
}
