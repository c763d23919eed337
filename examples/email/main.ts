// main.ts: the same e-mail asked for three times at once, as by a button that is pressed thrice: it is one task, sent once.
// Where MAIL_URL names no mail service, one is played for the run.

import { connect } from '../../src/index.js';
import { startMailService } from './mail-service.js';
import { type Mail, typesWith } from './tasks.js';

const { MAIL_URL } = process.env;
const service = MAIL_URL === undefined ? await startMailService() : { url: MAIL_URL, close: () => undefined };
const keeper = await connect({
  zookeeper: process.env.CLAIMKEEPER_ZOOKEEPER ?? '127.0.0.1:2181',
  redis: process.env.CLAIMKEEPER_REDIS ?? 'redis://127.0.0.1:6379',
  chroot: '/example-email',
  prefix: 'example-email',
});
await keeper.scheduler().start();
await keeper.worker({ types: typesWith(service.url) }).start();

const payload: Mail = { to: 'ada@example.org', subject: 'Your order 17' };
const order = { id: 'order-17:confirmation', type: 'email', payload };
const answers = await Promise.all([order, order, order].map((task) => keeper.submit(task)));
console.log(`accepted ${answers.filter(({ created }) => created).length} of ${answers.length}`);
await keeper.untilEnded(order.id, AbortSignal.timeout(60_000));
const record = await keeper.get(order.id);
console.log(record?.state, record?.result);
await keeper.close();
service.close();
