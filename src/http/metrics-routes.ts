// metrics-routes.ts: where Prometheus asks.

import type { FastifyInstance } from 'fastify';
import type { Metrics } from './metrics.js';

export function addMetricsRoutes(app: FastifyInstance, metrics: Metrics): void {
  app.get('/metrics', { config: { scope: 'read', query: [] } }, async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics.text()),
  );
}
