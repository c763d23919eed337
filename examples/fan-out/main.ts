// main.ts: announces one event to a hundred shops, and says what arrived. The shops are played by the receiver of the example
// beside it.

import { connect } from '../../src/index.js';
import { startReceiver } from '../webhooks/receiver.js';
import { type Announcement, typesWith } from './tasks.js';

const count = 100;

const receiver = await startReceiver(5);
const keeper = await connect({
  zookeeper: process.env.CLAIMKEEPER_ZOOKEEPER ?? '127.0.0.1:2181',
  redis: process.env.CLAIMKEEPER_REDIS ?? 'redis://127.0.0.1:6379',
  chroot: '/example-fan-out',
  prefix: 'example-fan-out',
});
const worker = keeper.worker({
  types: typesWith(keeper, (shop) => `${receiver.url}?shop=${shop}`),
  concurrency: 20,
});
const left = new Set(Array.from({ length: count }, (_, i) => `release-7:${i}`));
const allOver = new Promise<void>((resolve) => {
  worker.on('ended', ({ id }) => {
    left.delete(id);
    if (left.size === 0) resolve();
  });
});
await keeper.scheduler().start();
await worker.start();

const shops = Array.from({ length: count }, (_, i) => `shop-${i}`);
const payload: Announcement = { event: 'release 7 is out', shops };
const { created } = await keeper.submit({ id: 'release-7', type: 'announcement', payload });
console.log(created ? 'announced' : 'announced before');
if (created) await allOver;
const twice = [...receiver.arrivals.values()].filter((times) => times > 1).length;
console.log(`${receiver.arrivals.size} webhooks have arrived, ${twice} of them twice`);
await keeper.close();
await receiver.close();
