// open-to-all.ts: an API as most tests want it: nobody is asked for a key, and anybody may ask as often as they like.

import type { ApiOptions } from '../../src/http/index.js';

export const openToAll: Pick<ApiOptions, 'access' | 'rateLimitPerSecond'> = {
  access: { keys: { find: () => null }, required: false },
  rateLimitPerSecond: 0,
};
