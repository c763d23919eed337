// blank-view.ts: a read model that shows nothing and takes everything, for tests that are not about it.

import type { ViewPort } from '../../src/scheduler/view-repair.js';

export const blankView: ViewPort = {
  show: async () => [],
  replace: async () => undefined,
  idsIn: async () => [],
  running: async () => [],
  stampsOf: async () => [],
  drop: async () => undefined,
};
