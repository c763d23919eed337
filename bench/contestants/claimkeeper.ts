// claimkeeper.ts: this project, with its defaults.

import { Deliveries } from '../../src/delivery/index.js';
import type { Hint, Name, TaskId } from '../../src/domain/index.js';
import { createApi } from '../../src/http/index.js';
import { type Claimkeeper, connect, createLogger, defineTask } from '../../src/index.js';
import { type Runtime, systemClock, systemRandom } from '../../src/runtime/index.js';
import { numberOf, type Payload, type Task } from '../task.js';
import type { Contestant, Part, Place } from './contestant.js';

const log = createLogger('error');
const runtime: Runtime = { clock: systemClock, random: systemRandom, log };
const type = 'task';

function join({ zookeeper, redis }: Place): Promise<Claimkeeper> {
  return connect({ zookeeper, redis, log });
}

function partOf(keeper: Claimkeeper): Part {
  return { operations: () => keeper.stats().commits.operations };
}

function submissionOf({ id, payload }: Task) {
  return { id, type, payload };
}

function hintOf(id: string): Hint {
  return { id: id as TaskId, queue: 'default' as Name, priority: 0, notBefore: null };
}

const claimkeeper: Contestant = {
  async prepare(place) {
    await (await join(place)).close();
  },

  async submitter(place) {
    const keeper = await join(place);
    const again = new Deliveries({ redisUrl: place.redis, prefix: 'claimkeeper' }, runtime);
    await again.start();
    return {
      ...partOf(keeper),
      async bulk(tasks) {
        const outcomes = await keeper.submitMany(tasks.map(submissionOf));
        const other = outcomes.find(({ kind }) => kind !== 'created');
        if (other !== undefined) throw new Error(`a submit was answered ${JSON.stringify(other)}`);
      },
      async one(task) {
        const { created } = await keeper.submit(submissionOf(task));
        if (!created) throw new Error(`${task.id} was there before`);
      },
      async left(submitted) {
        const { queues } = await keeper.queues();
        return submitted - queues.reduce((sum, { counts }) => sum + counts.completed, 0);
      },
      deliverAgain: (ids) => again.deliver(ids.map(hintOf)),
    };
  },

  async worker(place, { slots, handle, completed }) {
    const keeper = await join(place);
    const task = defineTask<Payload>(type, { onInterrupted: 'rerun', handler: ({ n }) => handle(n) });
    const worker = keeper.worker({ types: [task], concurrency: slots });
    worker.on('ended', ({ id, ending }) => {
      if (ending === 'succeeded') completed(numberOf(id));
    });
    return { ...partOf(keeper), start: () => worker.start() };
  },

  async front(place) {
    const keeper = await join(place);
    const keys = keeper.keyRing();
    await keys.start();
    const api = createApi({
      tasks: keeper,
      runtime,
      access: { keys, required: false },
      rateLimitPerSecond: 0,
    });
    return { ...partOf(keeper), url: await api.listen({ host: '127.0.0.1', port: 0 }) };
  },

  async helper(place) {
    const keeper = await join(place);
    await keeper.scheduler().start();
    return partOf(keeper);
  },
};

export default claimkeeper;
