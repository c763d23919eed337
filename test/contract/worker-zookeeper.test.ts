// worker-zookeeper.test.ts: workers keep their contract on real ZooKeeper.

import { zookeeperWorld } from '../support/zookeeper-world.js';
import { workerContract } from './worker-contract.js';

workerContract('ZooKeeper', zookeeperWorld);
