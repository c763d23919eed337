// outbox.ts: hints on their way to Redis, in parcels, and those sent lately once more where Redis may have forgotten them. A
// parcel that is sent again is the same job (parcel.ts).

import { type Hint, limits } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { Backlog, type Batch, type Road } from './backlog.js';
import { type Parcel, pack, slices } from './parcel.js';
import { RecentParcels } from './recent.js';

type Parcels = readonly Parcel[];

const hintsPerPack = 10_000;

export class Outbox extends Backlog<Hint, Parcels> {
  readonly #recent: RecentParcels;

  constructor(road: Road<Parcels>, runtime: Runtime) {
    const recent = new RecentParcels(runtime.clock);
    const send = async (parcels: Parcels): Promise<void> => {
      await road.send(parcels);
      recent.note(parcels);
    };
    const packed = (hints: readonly Hint[]): Batch<Parcels>[] =>
      batchesOf(pack(hints, runtime.clock.now(), runtime.random));
    const { deliveryBufferMax: keptMax } = limits;
    const goods = { name: 'deliveries', keptMax, packedMax: hintsPerPack, paceMs: 0, pack: packed };
    super({ ready: () => road.ready(), send }, goods, runtime);
    this.#recent = recent;
  }

  /** Redis may have forgotten what it took. */
  repeat(): void {
    this.putPacked(batchesOf(this.#recent.parcels()));
  }
}

function batchesOf(parcels: Parcels): Batch<Parcels>[] {
  return slices(parcels, limits.deliveryParcelsPerSend).map((content) => ({
    content,
    items: content.reduce((sum, { ids }) => sum + ids.length, 0),
  }));
}
