// regressions.ts: seeds that once found something, and are simulated by every run of the tests ever since. Each still breaks an
// invariant when its defect is put back; where a change of the plans takes that from it, it goes.

export const regressions: readonly (readonly [seed: number, what: string])[] = [
  [1368, 'a deadline that rounding kept from ever being over: a write was tried again without end'],
  [13_701, 'a session lost while the first generation was being made: the next one was never proven'],
];
