// host.mjs: a process that runs the product as it is shipped, on a test's orders: connections by name, and what the library
// lets one do with them. It has no failpoints: those are outside of it.

import { connect, createLogger, defineTask, NonRetryable, RetryAfter } from '../../dist/src/index.js';

const connections = new Map();
/** By queue: several on one connection. */
const workers = new Map();
const log = createLogger(process.env.TEST_LOG === 'info' ? 'info' : 'silent');

async function ask(place, { id: task }, { attempt = 0, fence = 0, signal = null } = {}) {
  const query = new URLSearchParams({ task, attempt, fence });
  const response = await fetch(`${process.env.OUTSIDE_URL}/${place}?${query}`, { method: 'POST', signal });
  return response.json();
}

/** The payload says what each attempt does; without a word it succeeds. */
const work = defineTask('work', {
  retry: { attempts: 4, delayMsMin: 50, delayMsMax: 50, factor: 1 },
  handler: async ({ plan = [], proves = false }, context) => {
    await ask('entered', context.task, context);
    const word = plan[context.attempt - 1] ?? 'succeed';
    if (word === 'fail soon') throw new Error('on purpose');
    if (word === 'fail, later') throw new RetryAfter(1_500, 'on purpose');
    if (word === 'refuse') throw new NonRetryable('on purpose');
    if (proves) await context.assertOwned();
    await ask('effect', context.task, context);
    return { attempt: context.attempt };
  },
  verify: (task) => ask('asked', task),
});

/** A slow machine may miss the deadlines of a start. */
async function again(act, times) {
  try {
    return await act();
  } catch (error) {
    if (times <= 1 || error.code !== 'ZOOKEEPER_UNAVAILABLE') throw error;
    return again(act, times - 1);
  }
}

const orders = {
  async connect(name, options) {
    connections.set(name, await again(() => connect({ ...options, log }), 5));
  },
  async work(keeper, queue) {
    const worker = keeper.worker({ types: [work], queues: [queue], concurrency: 2, drainMsMax: 10_000 });
    workers.set(queue, worker);
    await worker.start();
    return worker.id;
  },
  leave: (_, queue) => workers.get(queue)?.stop(),
  lead: (keeper) => keeper.scheduler().start(),
  submit: async (keeper, input) => ((await keeper.submit(input)).created ? 'created' : 'same'),
  get: (keeper, id) => keeper.get(id),
  replay: async (keeper, id) => void (await keeper.replay(id)),
  cancel: async (keeper, id) => void (await keeper.cancel(id)),
  resolve: async (keeper, id) => void (await keeper.resolve(id, 'completed', 'seen outside')),
  close: (keeper) => keeper.close(),
  /** Answered once every order before it has begun. */
  ping: async () => undefined,
};

process.on('message', async ({ number, name, order, argument }) => {
  try {
    const subject = order === 'connect' ? name : connections.get(name);
    const value = await orders[order](subject, argument);
    process.send({ number, value: value ?? null });
  } catch (error) {
    process.send({ number, error: error.code ?? String(error) });
  }
});
process.on('disconnect', () => process.exit(1));
process.send({ number: 0, value: 'ready' });
