// index.ts: who is compared, by name, and on which servers each runs.

import type { ServerName } from '../servers.js';
import type { Contestant } from './contestant.js';

type Entrant = { readonly servers: readonly ServerName[]; load(): Promise<Contestant> };

const claimkeeper = async (): Promise<Contestant> => (await import('./claimkeeper.js')).default;
const bullmq = async (): Promise<Contestant> => (await import('./bullmq.js')).default;
const graphile = async (mode: 'default' | 'local queue'): Promise<Contestant> =>
  (await import('./graphile-worker.js')).graphileWorker(mode);

/** A process loads the one it is for. Claimkeeper's Redis keeps nothing on disk: nothing in it must outlive it. */
export const entrants = {
  claimkeeper: { servers: ['zookeeper', 'redis'], load: claimkeeper },
  'claimkeeper-3-servers': { servers: ['ensemble', 'redis'], load: claimkeeper },
  'bullmq-always': { servers: ['redis-always'], load: bullmq },
  'bullmq-everysec': { servers: ['redis-everysec'], load: bullmq },
  'bullmq-no-fsync': { servers: ['redis-no'], load: bullmq },
  'bee-queue-always': {
    servers: ['redis-always'],
    load: async () => (await import('./bee-queue.js')).default,
  },
  'pg-boss': { servers: ['postgres'], load: async () => (await import('./pg-boss.js')).default },
  'graphile-worker': { servers: ['postgres'], load: () => graphile('default') },
  'graphile-worker-local': { servers: ['postgres'], load: () => graphile('local queue') },
} as const satisfies Record<string, Entrant>;

export type EntrantName = keyof typeof entrants;
