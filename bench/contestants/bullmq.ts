// bullmq.ts: BullMQ with its defaults: completed jobs are kept, as Claimkeeper keeps its own.

import { Queue, Worker } from 'bullmq';
import type { Payload, Task } from '../task.js';
import type { Contestant } from './contestant.js';

const queueName = 'bench';

function connectionTo(redis: string, mayWait: boolean) {
  const { hostname: host, port } = new URL(redis);
  // A worker waits for its jobs in Redis; null is what BullMQ demands then.
  return { host, port: Number(port), ...(mayWait ? { maxRetriesPerRequest: null } : {}) };
}

function jobOf({ id, payload }: Task) {
  return { name: 'task', data: payload, opts: { jobId: id } };
}

const bullmq: Contestant = {
  async prepare() {},

  async submitter({ redis }) {
    const queue = new Queue<Payload>(queueName, { connection: connectionTo(redis, false) });
    await queue.waitUntilReady();
    return {
      async bulk(tasks) {
        await queue.addBulk(tasks.map(jobOf));
      },
      async one(task) {
        const { name, data, opts } = jobOf(task);
        await queue.add(name, data, opts);
      },
      left: async (submitted) => submitted - (await queue.getCompletedCount()),
    };
  },

  async worker({ redis }, { slots, handle, completed }) {
    const worker = new Worker<Payload>(queueName, async ({ data }) => handle(data.n), {
      connection: connectionTo(redis, true),
      concurrency: slots,
      autorun: false,
    });
    worker.on('completed', ({ data }) => completed(data.n));
    worker.on('error', (error) => console.error(error));
    await worker.waitUntilReady();
    return {
      async start() {
        void worker.run();
      },
    };
  },
};

export default bullmq;
