// regressions.ts: seeds that once found something, and are simulated by every run of the tests ever since.

export const regressions: readonly (readonly [seed: number, what: string])[] = [
  [
    4336,
    'the twin let sessions expire that were connected, when a quorum came back that had never been lost',
  ],
  [
    7112,
    'a readoption whose word came late set its run back to an attempt that was over, and it was run again',
  ],
  [13_701, 'a session lost while the first generation was being made: the next one was never proven'],
  [20_150, 'a claim that a restore brought back was taken for gone, as it had been before'],
  [7304, 'a process that was still starting when all was stopped'],
];
