export { type Clock, delay, systemClock, type Timer } from './clock.js';
export { type Config, environmentOf, type Flags, flagOf, resolveConfig, settings } from './config.js';
export { Emitter, type Unsubscribe } from './emitter.js';
export { createLogger, type Logger, type LogLevel, logLevels, silentLogger } from './logger.js';
export { type Random, systemRandom } from './random.js';
export { type Service, startAll } from './service.js';
export { unlessAborted, within } from './within.js';

import type { Clock } from './clock.js';
import type { Logger } from './logger.js';
import type { Random } from './random.js';

/** Time, chance and the log travel together. */
export type Runtime = { readonly clock: Clock; readonly random: Random; readonly log: Logger };
