// contestant.ts: what every system that is compared must do, so that all are measured alike. Nothing is closed: each part is a
// process, which is killed when its run is over, and its servers are thrown away.

import type { Task } from '../task.js';

/** To PostgreSQL: as many as submits that are under way at once. */
export const submitConnections = 64;

/** Where the servers of a run are; empty where there is none. */
export type Place = { readonly zookeeper: string; readonly redis: string; readonly postgres: string };

export type Contestant = {
  /** Once, before any of the parts: tables, queues. */
  prepare(place: Place): Promise<void>;
  submitter(place: Place): Promise<Submitter>;
  /** Connects; the worker begins when it is started. */
  worker(place: Place, work: Work): Promise<Worker>;
  /** Its own way to be submitted to over HTTP; without it, the submitter's `one` behind Fastify. */
  front?(place: Place): Promise<Front>;
  /** What an installation needs beside its workers. */
  helper?(place: Place): Promise<Part>;
};

export type Part = {
  /** That it has sent to ZooKeeper in transactions. */
  operations?(): number;
};

export type Submitter = Part & {
  /** Resolves once all are accepted, as durably as the servers are set up for. */
  bulk(tasks: readonly Task[]): Promise<void>;
  one(task: Task): Promise<void>;
  /** Of so many that were submitted, those that are not over, as its own store says. */
  left(submitted: number): Promise<number>;
  /** Delivers tasks that are there once more. */
  deliverAgain?(ids: readonly string[]): void;
};

export type Work = {
  /** Tasks run at once. */
  readonly slots: number;
  /** The handler. */
  handle(n: number): Promise<void> | void;
  /** To be called once the system has recorded that the task is over. */
  completed(n: number): void;
};

export type Worker = Part & { start(): Promise<void> };

export type Front = Part & { readonly url: string };
