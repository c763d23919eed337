export { type AcceptOutcome, accept, acceptAll } from './accept.js';
export {
  type Candidate,
  type Claim,
  type ClaimOptions,
  type ClaimOutcome,
  claimsStanding,
  dropClaim,
  type StandingClaim,
  takeClaim,
  tasksOfClaims,
} from './claim.js';
export {
  hintAt,
  type LedgerContext,
  readAllHeld,
  readAllSurely,
  readHeld,
  wantsDelivery,
  wantsVerification,
} from './context.js';
export { again, drive, type Until } from './drive.js';
export { Endings } from './endings.js';
export { Finish, type Finished } from './finish.js';
export { type InterruptOutcome, interrupt, orphansOf } from './interrupt.js';
export { type MoveOutcome, move } from './move.js';
export { cancel, replay, resolve } from './operate.js';
export {
  breakerPath,
  claimOfName,
  claimsOf,
  claimsPath,
  cursorPath,
  keyPath,
  keysPath,
  leaderPath,
  queuePath,
  recordPath,
  schedulePath,
  schedulesPath,
  treePaths,
  workersPath,
} from './paths.js';
export { decodeQueueSetting, type QueueSetting, queueSettings, setPaused } from './queues.js';
export { isExpired, removeExpired } from './retention.js';
export {
  type ChangeOutcome,
  type CreateOutcome,
  changeSchedule,
  createSchedule,
  type HeldCursor,
  type HeldSchedule,
  type RemoveOutcome,
  readCursor,
  readSchedule,
  readSchedules,
  removeSchedule,
  revisionOf,
  scheduleIds,
} from './schedules.js';
export { refuseHalted, unavailable } from './unavailable.js';
export { walk } from './walk.js';
