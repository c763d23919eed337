export { type CommitOptions, type CommitStats, Commits, type Lane } from './commits.js';
export { confirmRestore, Generation } from './generation.js';
export { Election, type ElectionOptions, type Leadership } from './leadership.js';
export { announce, listMembers, type Member } from './members.js';
export { type EnsembleSnapshot, MemoryEnsemble } from './memory.js';
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
export { type Watch, watchChildren, watchNode } from './watched.js';
export { openSession, type SessionOptions } from './zookeeper/index.js';
