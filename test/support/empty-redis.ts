// empty-redis.ts: Redis, as the scheduler sees it, with nothing in it: it takes everything and shows nothing, for tests that are
// not about it.

import type { DeliveryPort } from '../../src/scheduler/reconcile.js';

export const emptyRedis: DeliveryPort = {
  pending: async () => new Set(),
  readMarker: async () => null,
  writeMarker: async () => undefined,
  flush: async () => undefined,
  putHistory: async () => undefined,
  view: {
    show: async () => [],
    replace: async () => undefined,
    idsIn: async () => [],
    running: async () => [],
    stampsOf: async () => [],
    drop: async () => undefined,
  },
};
