// results.ts: what was found: every run, and the figures of every entry of a case.

import type { Figure, Measures } from './figures.js';

export type Run = {
  readonly entry: string;
  readonly round: number;
  /** The share of the machine that others had. */
  readonly disturbance: number;
  /** Why it does not count; null: it does. */
  readonly discarded: string | null;
  readonly measures: Measures;
};

export type CaseResult = {
  readonly title: string;
  /** What its entries are compared by. */
  readonly metric: string;
  readonly entries: readonly { readonly name: string; readonly figures: Readonly<Record<string, Figure>> }[];
  readonly runs: readonly Run[];
};

/** By the name of the case. */
export type Results = Readonly<Record<string, CaseResult>>;
