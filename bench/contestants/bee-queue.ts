// bee-queue.ts: Bee-Queue, without the events that only its submitters would read.

import BeeQueue from 'bee-queue';
import type { Payload, Task } from '../task.js';
import type { Contestant } from './contestant.js';

function open(redis: string, isWorker: boolean): BeeQueue<Payload> {
  const { hostname: host, port } = new URL(redis);
  return new BeeQueue<Payload>('bench', {
    redis: { host, port: Number(port) },
    isWorker,
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
  });
}

/** How often a worker looks for the tasks of others that went silent, as its documentation asks for. */
const stallCheckMs = 5_000;

const beeQueue: Contestant = {
  async prepare() {},

  async submitter({ redis }) {
    const queue = await open(redis, false).ready();
    const jobOf = ({ id, payload }: Task) => queue.createJob(payload).setId(id);
    return {
      async bulk(tasks) {
        const errors = await queue.saveAll(tasks.map(jobOf));
        for (const error of errors.values()) throw error;
      },
      async one(task) {
        await jobOf(task).save();
      },
      left: async (submitted) => submitted - (await queue.checkHealth()).succeeded,
    };
  },

  async worker({ redis }, { slots, handle, completed }) {
    const queue = await open(redis, true).ready();
    queue.on('succeeded', ({ data }) => completed(data.n));
    queue.on('error', (error) => console.error(error));
    return {
      async start() {
        queue.process(slots, async ({ data }) => handle(data.n));
        void queue.checkStalledJobs(stallCheckMs);
      },
    };
  },
};

export default beeQueue;
