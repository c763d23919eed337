// tasks.ts: the report's task type; the module that `claimkeeper worker` is given for as long as the schedule is to fire.

import { defineTask } from '../../src/index.js';

const report = defineTask<{ of: string }>('report', {
  retry: { attempts: 3, delayMsMin: 60_000 },
  onInterrupted: 'rerun', // Counting twice does no harm.
  handler: async ({ of }, { task }) => ({ report: of, rows: 3, by: task.id }),
});

export default [report];
