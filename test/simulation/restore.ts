// restore.ts: the ensemble's data goes back, to what it held before or to nothing, while the fleet runs; and an operator
// confirms it after a while (P11). Owns when, and what the ledger held then; what must hold is judge.ts.

import { confirmRestore, type EnsembleSnapshot, ensureTree } from '../../src/coordination/index.js';
import { ClaimkeeperError, type Held, type TaskId } from '../../src/domain/index.js';
import { treePaths } from '../../src/ledger/index.js';
import { delay } from '../../src/runtime/index.js';
import type { Fleet } from './fleet.js';
import { Machine, type World } from './machine.js';
import type { People } from './people.js';
import type { PlannedRestore } from './plan.js';

const tryAgainMs = 300;
const connectMsMax = 2_000;

export class Restore {
  readonly #planned: PlannedRestore;
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #people: People;
  /** Its place in the story. */
  seq = Number.POSITIVE_INFINITY;
  /** What the ledger holds from then on. */
  ledger: ReadonlyMap<TaskId, Held> = new Map();
  /** Submits that had been answered by then, and tasks acknowledged. */
  submitsBefore = 0;
  acknowledgedBefore: ReadonlySet<TaskId> = new Set();
  confirmed = false;

  constructor(planned: PlannedRestore, world: World, fleet: Fleet, people: People) {
    this.#planned = planned;
    this.#world = world;
    this.#fleet = fleet;
    this.#people = people;
  }

  begin(): void {
    const { atMs, agoMs, confirmedAfterMs } = this.#planned;
    const { clock, ensemble } = this.#world;
    if (agoMs === null) clock.after(atMs, () => this.#restore(null));
    else {
      clock.after(atMs - agoMs, () => {
        const snapshot = ensemble.snapshot();
        clock.after(agoMs, () => this.#restore(snapshot));
      });
    }
    clock.after(atMs + confirmedAfterMs, () => void this.#confirm());
  }

  #restore(snapshot: EnsembleSnapshot | null): void {
    const { ensemble, chronicle } = this.#world;
    const over = chronicle.broke(snapshot === null ? 'wiped' : 'restored', '*');
    chronicle.hit(snapshot === null ? 'ZooKeeper wiped' : 'ZooKeeper restored', '*');
    if (snapshot === null) ensemble.wipe();
    else ensemble.restore(snapshot);
    ensemble.lookAtClaims();
    this.ledger = ensemble.ledger();
    this.seq = chronicle.restored(this.ledger);
    this.submitsBefore = chronicle.submits.length;
    this.acknowledgedBefore = new Set(this.#people.acknowledged);
    over();
  }

  /** As `claimkeeper confirm-restore` does, with what the logs of those who have stopped name. */
  async #confirm(): Promise<void> {
    const process = { name: 'operator', skewMs: 0, stale: false, concurrency: 1, drainMsMax: 0 };
    const operator = new Machine('operator', 'desk', process, this.#world);
    this.#fleet.machines.push(operator);
    const { session, runtime } = operator.ctx;
    while (!this.confirmed) {
      const held = this.#fleet.alive().flatMap(({ generation }) => generation.id ?? []);
      try {
        await session.connected(connectMsMax);
        await ensureTree(session, treePaths);
        await confirmRestore(session, [...new Set(held)], runtime);
        this.confirmed = true;
      } catch (error) {
        if (!(error instanceof ClaimkeeperError)) this.#world.chronicle.defects.push(`confirming: ${error}`);
        await delay(runtime.clock, tryAgainMs);
      }
    }
    this.#world.chronicle.say('operator', () => 'confirms the restore');
  }
}
