export { Deliveries, type DeliveryOptions, type HistoryEntry } from './deliveries.js';
export type { Envelope } from './envelope.js';
export type { FeedItem, TaskEvent } from './event-log.js';
export { Intake, type IntakeOptions } from './intake.js';
export type { QueueCounts, ReadModel, Shown, TaskPage } from './read-model.js';
