// session-memory.test.ts: the memory twin keeps the contract of a session.

import { memoryWorld } from '../support/memory-world.js';
import { sessionContract } from './session-contract.js';

sessionContract('the memory twin', memoryWorld);
