// regressions.ts: seeds that once found something, and are simulated by every run of the tests ever since.

export const regressions: readonly (readonly [seed: number, what: string])[] = [];
