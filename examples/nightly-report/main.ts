// main.ts: a report every night at two, Berlin's time: makes the schedule, says when it fires next, and runs it once now.

import { connect, defineTask } from '../../src/index.js';

const report = defineTask<{ of: string }>('report', {
  retry: { attempts: 3, delayMsMin: 60_000 },
  onInterrupted: 'rerun', // Counting twice does no harm.
  handler: async ({ of }, { task }) => ({ report: of, rows: 3, by: task.id }),
});

const keeper = await connect({
  zookeeper: process.env.CLAIMKEEPER_ZOOKEEPER ?? '127.0.0.1:2181',
  redis: process.env.CLAIMKEEPER_REDIS ?? 'redis://127.0.0.1:6379',
  chroot: '/example-report',
  prefix: 'example-report',
});
const worker = keeper.worker({ types: [report] });
const ended = new Promise((resolve) => worker.on('ended', resolve));
await keeper.scheduler().start(); // It fires the schedule, for as long as it runs.
await worker.start();

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
if (task.state === 'waiting') await ended;
const record = await keeper.get(task.id);
console.log(record?.id, record?.state, record?.result);
await keeper.close();
