// figures.ts: numbers out of many: quantiles, and the median and spread of rounds. Pure.

/** What one run measured, by the name of the metric. */
export type Measures = Readonly<Record<string, number>>;

export type Figure = {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
};

/** The smallest value that `q` of all do not exceed. */
export function quantile(values: readonly number[] | Float64Array, q: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low, high] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** Of every metric that any of the runs measured. */
export function figuresOf(runs: readonly Measures[]): Record<string, Figure> {
  const names = new Set(runs.flatMap((run) => Object.keys(run)));
  return Object.fromEntries(
    [...names].map((name) => {
      const values = runs.flatMap((run) => run[name] ?? []);
      const figure = {
        median: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
        rounds: values.length,
      };
      return [name, figure];
    }),
  );
}
