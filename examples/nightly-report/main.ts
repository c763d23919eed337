// main.ts: a report every night at two, Berlin's time: makes the schedule, says when it fires next, and runs it once now.

import { connect } from '../../src/index.js';
import types from './tasks.js';

const keeper = await connect({
  zookeeper: process.env.CLAIMKEEPER_ZOOKEEPER ?? '127.0.0.1:2181',
  redis: process.env.CLAIMKEEPER_REDIS ?? 'redis://127.0.0.1:6379',
  chroot: '/example-report',
  prefix: 'example-report',
});
await keeper.scheduler().start(); // It fires the schedule, for as long as it runs.
await keeper.worker({ types }).start();

const { created, schedule } = await keeper.schedules.create({
  id: 'nightly-report',
  cron: process.env.REPORT_CRON ?? '0 2 * * *',
  timeZone: 'Europe/Berlin',
  task: { type: 'report', payload: { of: 'yesterday' } },
  misfire: { policy: 'once' }, // After an outage: one report for all nights that were missed.
  overlap: 'skip', // Never two at once.
});
const [next] = await keeper.schedules.next(schedule.id, { count: 1 });
console.log(created ? 'made' : 'there already,', `${schedule.cron}, next`, new Date(next ?? 0).toISOString());

const task = await keeper.schedules.runNow(schedule.id, { key: 'first' });
await keeper.untilEnded(task.id, AbortSignal.timeout(60_000));
const record = await keeper.get(task.id);
console.log(record?.id, record?.state, record?.result);
await keeper.close();
