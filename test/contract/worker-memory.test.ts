// worker-memory.test.ts: workers keep their contract on the memory twin.

import { memoryWorld } from '../support/memory-world.js';
import { workerContract } from './worker-contract.js';

workerContract('the memory twin', memoryWorld);
