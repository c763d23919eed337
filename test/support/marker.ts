// marker.ts: the scheduler's mark in Redis, by which it knows that Redis has kept its data: for tests that wait for a pass.

import type { Redis } from 'ioredis';
import { expect } from 'vitest';
import { eventually } from './eventually.js';

type Place = { readonly prefix: string };

/** Resolves once the mark stands: what waited has been delivered anew since it was gone. */
export function markerStands(redis: Redis, place: Place): Promise<void> {
  return eventually(async () => expect(await redis.get(keyOf(place))).toMatch(/^[0-9a-f-]{36}$/), {
    what: 'the marker is written',
  });
}

/** As if Redis had lost its data: the leader's next pass delivers all that waits. */
export async function removeMarker(redis: Redis, place: Place): Promise<void> {
  await redis.del(keyOf(place));
}

function keyOf({ prefix }: Place): string {
  return `${prefix}:@marker`;
}
