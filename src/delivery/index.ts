export { Deliveries, type DeliveryOptions, type HistoryEntry } from './deliveries.js';
export type { Envelope } from './envelope.js';
export { Intake, type IntakeOptions } from './intake.js';
