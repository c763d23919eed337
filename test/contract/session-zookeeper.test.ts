// session-zookeeper.test.ts: a session of a real server keeps the same contract.

import { zookeeperWorld } from '../support/zookeeper-world.js';
import { sessionContract } from './session-contract.js';

sessionContract('ZooKeeper', zookeeperWorld);
