// main.ts: the same e-mail asked for three times at once, as by a button that is pressed thrice: it is one task, sent once.

import { connect } from '../../src/index.js';
import types, { type Mail } from './tasks.js';

const keeper = await connect({
  zookeeper: process.env.CLAIMKEEPER_ZOOKEEPER ?? '127.0.0.1:2181',
  redis: process.env.CLAIMKEEPER_REDIS ?? 'redis://127.0.0.1:6379',
  chroot: '/example-email',
  prefix: 'example-email',
});
const worker = keeper.worker({ types });
const ended = new Promise((resolve) => worker.on('ended', resolve));
await keeper.scheduler().start();
await worker.start();

const payload: Mail = { to: 'ada@example.org', subject: 'Your order 17' };
const order = { id: 'order-17:confirmation', type: 'email', payload };
const answers = await Promise.all([order, order, order].map((task) => keeper.submit(task)));
console.log(`accepted ${answers.filter(({ created }) => created).length} of ${answers.length}`);
if (answers.some(({ created }) => created)) await ended;
const record = await keeper.get(order.id);
console.log(record?.state, record?.result);
await keeper.close();
