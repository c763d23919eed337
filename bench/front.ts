// front.ts: an HTTP server before a contestant that has none: the same framework as Claimkeeper's API, and one submit per request.

import Fastify from 'fastify';
import type { Front, Submitter } from './contestants/contestant.js';
import type { Task } from './task.js';

export async function openFront(submitter: Submitter): Promise<Front> {
  const app = Fastify({ logger: false });
  app.post<{ Body: Task }>('/v1/tasks', async ({ body: { id, payload } }, reply) => {
    await submitter.one({ id, payload });
    reply.code(201);
    return { id };
  });
  return { url: await app.listen({ host: '127.0.0.1', port: 0 }) };
}
