export { MemoryEnsemble } from './memory.js';
export type {
  CreateMode,
  OpResult,
  RefusalCode,
  Session,
  SessionEvents,
  SessionId,
  SessionState,
  Stat,
  WatchListener,
  WriteOp,
  WriteOptions,
  WriteOutcome,
  Znode,
} from './port.js';
export { ensureTree } from './tree.js';
