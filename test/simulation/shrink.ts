// shrink.ts: makes a history that breaks an invariant as small as it can while it still breaks the same one: faults, acts,
// tasks and processes are left out, many at once first, then one after the other. Owns the search; leaving out is plan.ts.

import { judge } from './judge.js';
import { type Keep, kept, type Plan, planOf } from './plan.js';
import { type Options, simulate } from './simulate.js';

export type Shrunk = {
  readonly keep: Required<Keep>;
  readonly plan: Plan;
  readonly violated: readonly string[];
  readonly runs: number;
};

const parts = ['faults', 'acts', 'tasks', 'workers', 'schedulers'] as const satisfies readonly (keyof Keep)[];
/** Without anybody nothing comes to its end, which shows nothing. */
const leastOf: { readonly [Part in keyof Keep]?: number } = { workers: 1, schedulers: 1 };
/** Enough for a large history; a search is not worth more. */
const runsMax = 1_500;

/** `seed` is one that breaks an invariant; what it breaks first, or `name`, must stay broken. */
export async function shrink(
  seed: number,
  options: Pick<Options, 'mutation'> = {},
  name: string | null = null,
): Promise<Shrunk> {
  return new Shrinking(planOf(seed), options, name).run();
}

class Shrinking {
  readonly #plan: Plan;
  readonly #options: Pick<Options, 'mutation'>;
  #keep: Required<Keep>;
  #name: string | null;
  #violated: readonly string[] = [];
  #runs = 0;

  constructor(plan: Plan, options: Pick<Options, 'mutation'>, name: string | null) {
    this.#plan = plan;
    this.#name = name;
    this.#options = options;
    this.#keep = {
      faults: plan.faults.map(({ n }) => n),
      acts: plan.acts.map(({ n }) => n),
      tasks: plan.tasks.map(({ n }) => n),
      workers: plan.workers.map((_, i) => i + 1),
      schedulers: plan.schedulers.map((_, i) => i + 1),
    };
  }

  async run(): Promise<Shrunk> {
    this.#violated = await this.#violations(this.#keep);
    const [first] = this.#violated;
    if (first === undefined) throw new Error(`seed ${this.#plan.seed} breaks no invariant`);
    this.#name ??= nameOf(first);
    for (let before = -1; before !== this.#size() && this.#runs < runsMax; ) {
      before = this.#size();
      for (const part of parts) await this.#thin(part);
    }
    return {
      keep: this.#keep,
      plan: kept(this.#plan, this.#keep),
      violated: this.#violated,
      runs: this.#runs,
    };
  }

  /** Leaves out halves, quarters … single ones, as long as the same invariant stays broken. */
  async #thin(part: (typeof parts)[number]): Promise<void> {
    for (let size = this.#keep[part].length; size >= 1; size = Math.floor(size / 2)) {
      for (let from = 0; from < this.#keep[part].length && this.#runs < runsMax; ) {
        const numbers = this.#keep[part];
        const left = [...numbers.slice(0, from), ...numbers.slice(from + size)];
        const keep = { ...this.#keep, [part]: left };
        const violated = left.length < (leastOf[part] ?? 0) ? [] : await this.#violations(keep);
        if (violated.some((line) => nameOf(line) === this.#name)) {
          this.#keep = keep;
          this.#violated = violated;
        } else from += size;
      }
    }
  }

  async #violations(keep: Keep): Promise<string[]> {
    this.#runs += 1;
    try {
      return judge(await simulate(kept(this.#plan, keep), this.#options));
    } catch (error) {
      return [`the simulation failed: ${error}`];
    }
  }

  #size(): number {
    return parts.reduce((sum, part) => sum + this.#keep[part].length, 0);
  }
}

/** The invariant that a violation names. */
export function nameOf(violation: string): string {
  return violation.slice(0, violation.indexOf(':'));
}
