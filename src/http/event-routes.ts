// event-routes.ts: changes of state as they happen, as server-sent events (WHATWG HTML, "Server-sent events"). Owns the streams
// of this process: how many there may be, what a slow reader means, and that none outlives the key that opened it.

import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { FeedItem } from '../delivery/index.js';
import { ClaimkeeperError, type FollowInput, limits } from '../domain/index.js';
import { delay, type Runtime } from '../runtime/index.js';
import { type Access, isStillLetIn } from './access.js';
import { withDeadline } from './deadline.js';
import { Lasting } from './lasting.js';
import type { TaskService } from './port.js';
import { guarded } from './queue-guard.js';
import { eventViewOf } from './summary-view.js';

const retryMs = 1_000;

export function addEventRoutes(
  app: FastifyInstance,
  tasks: TaskService,
  runtime: Runtime,
  access: Access,
): void {
  const streams = new Lasting(app);

  // Without HEAD: its answer would have no end.
  const config = { scope: 'read', query: ['state', 'queue', 'type', 'after'] } as const;
  app.get('/v1/events', { config, exposeHeadRoute: false }, async (request, reply) => {
    if (streams.size >= limits.followersMax) {
      const message = `${streams.size} clients follow events here already: try again later, or ask another process`;
      throw new ClaimkeeperError('FOLLOWERS_LIMIT', message);
    }
    await streams.during(reply, async (over) => {
      const { caller, headers, query } = request;
      // A client that comes back names the last event it saw; its URL may still say where it once began.
      const seen = headers['last-event-id'];
      const input = { ...(query as FollowInput), ...(typeof seen === 'string' ? { after: seen } : {}) };
      const events = guarded(tasks, caller).events(input, over.signal);
      const feed = await withDeadline(runtime, events, 'REDIS_UNAVAILABLE');
      reply.hijack();
      const goesOn = (): boolean => isStillLetIn(caller, access, runtime.clock.now());
      await send(reply.raw, feed, goesOn, over.signal, runtime);
    });
  });
}

/** `goesOn` is asked before each item; where nothing happens, an item says so every few seconds. */
async function send(
  response: ServerResponse,
  feed: AsyncGenerator<FeedItem, void, void>,
  goesOn: () => boolean,
  over: AbortSignal,
  runtime: Runtime,
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // Proxies that buffer would hold events back.
    'x-accel-buffering': 'no',
  });
  response.write(`retry: ${retryMs}\n\n`);
  try {
    for await (const item of feed) {
      if (!goesOn()) break;
      if (!response.write(textOf(item)) && !(await drained(response, over, runtime))) break;
    }
  } catch (error) {
    runtime.log.error({ err: error }, 'a stream of events broke');
  }
  response.end();
}

/** A quiet while tells the client how far it has come, by a message without data, and that somebody is there, by a comment. */
function textOf(item: FeedItem): string {
  switch (item.kind) {
    case 'event':
      return `id: ${item.id}\nevent: task\ndata: ${JSON.stringify(eventViewOf(item))}\n\n`;
    case 'gap':
      return `event: gap\ndata: ${JSON.stringify({ after: item.after })}\n\n`;
    case 'quiet':
      return `: heartbeat\nid: ${item.id}\n\n`;
  }
}

/** False: the client is gone, or does not read. */
async function drained(response: ServerResponse, over: AbortSignal, { clock }: Runtime): Promise<boolean> {
  const done = new AbortController();
  const stop = (): void => done.abort();
  const read = new Promise<boolean>((resolve) => {
    response.once('drain', () => resolve(true));
  });
  over.addEventListener('abort', stop, { once: true });
  if (over.aborted) stop();
  const late = delay(clock, limits.requestMsMax, done.signal).then(() => false);
  const isRead = await Promise.race([read, late]);
  over.removeEventListener('abort', stop);
  stop();
  if (!isRead) response.destroy();
  return isRead;
}
