// outbox.ts: hints on their way to Redis, in parcels. A parcel that is sent again is the same job (parcel.ts).

import { type Hint, limits } from '../domain/index.js';
import type { Runtime } from '../runtime/index.js';
import { Backlog, type Batch, type Road } from './backlog.js';
import { type Parcel, pack, slices } from './parcel.js';

type Parcels = readonly Parcel[];

const hintsPerPack = 10_000;

export class Outbox extends Backlog<Hint, Parcels> {
  constructor(road: Road<Parcels>, runtime: Runtime) {
    const batches = (hints: readonly Hint[]): Batch<Parcels>[] =>
      slices(pack(hints, runtime.clock.now(), runtime.random), limits.deliveryParcelsPerSend).map(
        (content) => ({ content, items: content.reduce((sum, { ids }) => sum + ids.length, 0) }),
      );
    const { deliveryBufferMax: keptMax } = limits;
    super(road, { name: 'deliveries', keptMax, packedMax: hintsPerPack, paceMs: 0, pack: batches }, runtime);
  }
}
