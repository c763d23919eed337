// pg-boss.ts: pg-boss by its fetch and complete, a batch for all slots at a time: its own polling worker asks twice a second at
// most.

import { setTimeout as pause } from 'node:timers/promises';
import { PgBoss } from 'pg-boss';
import type { Payload } from '../task.js';
import { type Contestant, submitConnections } from './contestant.js';

const queue = 'bench';
/** An empty queue is asked again after this: the shortest time that its own worker would take. */
const idleMs = 500;

async function open(connectionString: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString, max: submitConnections });
  boss.on('error', (error) => console.error(error));
  return boss.start();
}

const pgBoss: Contestant = {
  async prepare({ postgres }) {
    const boss = await open(postgres);
    await boss.createQueue(queue);
    await boss.stop();
  },

  async submitter({ postgres }) {
    const boss = await open(postgres);
    return {
      async bulk(tasks) {
        const jobs = tasks.map(({ payload }) => ({ data: payload }));
        await boss.insert(queue, jobs);
      },
      async one({ payload }) {
        await boss.send(queue, payload);
      },
      async left(submitted) {
        const text = "SELECT count(*)::int AS done FROM pgboss.job WHERE state = 'completed'";
        const { rows } = await boss.getDb().executeSql(text);
        return submitted - rows[0].done;
      },
    };
  },

  async worker({ postgres }, { slots, handle, completed }) {
    const boss = await open(postgres);
    const pump = async (): Promise<never> => {
      for (;;) {
        const jobs = await boss.fetch<Payload>(queue, { batchSize: slots });
        await Promise.all(jobs.map(({ data }) => handle(data.n)));
        const ids = jobs.map(({ id }) => id);
        if (ids.length > 0) await boss.complete(queue, ids);
        else await pause(idleMs);
        for (const { data } of jobs) completed(data.n);
      }
    };
    return {
      async start() {
        void pump();
      },
    };
  },
};

export default pgBoss;
