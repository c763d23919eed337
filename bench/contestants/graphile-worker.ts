// graphile-worker.ts: Graphile Worker in both of its modes: as it comes, where every slot asks the database for each job, and with
// the local queue and batched completion that its documentation recommends for throughput.

import { EventEmitter } from 'node:events';
import { Logger, makeWorkerUtils, run, runMigrations, type WorkerEvents } from 'graphile-worker';
import type { Payload } from '../task.js';
import { type Contestant, submitConnections } from './contestant.js';

const identifier = 'task';
/** One connection per slot and one to listen, as in its own measurements, up to what the server has room for. */
const connectionsMax = 100;
const logger = new Logger(() => (level, message) => {
  if (level === 'error') console.error(message);
});

/** As its documentation has it for throughput. */
const batching = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

export function graphileWorker(mode: 'default' | 'local queue'): Contestant {
  return {
    prepare: ({ postgres: connectionString }) => runMigrations({ connectionString, logger }),

    async submitter({ postgres: connectionString }) {
      const utils = await makeWorkerUtils({ connectionString, maxPoolSize: submitConnections, logger });
      return {
        async bulk(tasks) {
          await utils.addJobs(tasks.map(({ payload }) => ({ identifier, payload })));
        },
        async one({ payload }) {
          await utils.addJob(identifier, payload);
        },
        // What is done is not kept.
        left: () =>
          utils.withPgClient(async (client) => {
            const text = 'SELECT count(*)::int AS jobs FROM graphile_worker._private_jobs';
            return (await client.query(text)).rows[0].jobs;
          }),
      };
    },

    async worker({ postgres: connectionString }, { slots, handle, completed }) {
      const events: WorkerEvents = new EventEmitter();
      events.on('job:complete', ({ job, error }) => {
        if (!error) completed((job.payload as Payload).n);
      });
      const maxPoolSize = Math.min(slots + 1, connectionsMax);
      const batches = mode === 'local queue' ? batching : {};
      const worker = { connectionString, maxPoolSize, concurrentJobs: slots, ...batches };
      const taskList = { [identifier]: async (payload: unknown) => handle((payload as Payload).n) };
      return {
        async start() {
          await run({ taskList, events, logger, noHandleSignals: true, preset: { worker } });
        },
      };
    },
  };
}
