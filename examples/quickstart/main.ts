// main.ts: the library in one process: submits a task, runs it, reads what became of it.

import { connect } from '../../src/index.js';
import types from './tasks.js';

const keeper = await connect({
  zookeeper: process.env.CLAIMKEEPER_ZOOKEEPER ?? '127.0.0.1:2181',
  redis: process.env.CLAIMKEEPER_REDIS ?? 'redis://127.0.0.1:6379',
});
const scheduler = keeper.scheduler();
const worker = keeper.worker({ types });
await scheduler.start();
await worker.start();

const task = { id: 'welcome:17', type: 'email', payload: { to: 'ada@example.org' } };
const { created, state } = await keeper.submit(task); // In the ledger from here on.
console.log(created ? 'accepted' : 'known', state);
await keeper.untilEnded(task.id, AbortSignal.timeout(60_000));
const record = await keeper.get(task.id);
console.log(record?.state, record?.result);
await keeper.close();
