// fleet.ts: the workers whose session is alive, and what each has taken. Owns what a worker says of itself to the others.

import { z } from 'zod';
import { listMembers, type Member } from './coordination/index.js';
import type { EpochMs, FleetMember, Name, WorkerId } from './domain/index.js';
import { claimsStanding, type LedgerContext, tasksOfClaims, workersPath } from './ledger/index.js';

/** As it stands in ZooKeeper, as JSON. */
export type WorkerDescription = Omit<FleetMember, 'id' | 'session' | 'tasks'>;

const name = z.string().transform((text) => text as Name);
const descriptionSchema = z.object({
  pid: z.number(),
  host: z.string(),
  queues: z.array(name),
  types: z.array(name),
  concurrency: z.number(),
  startedAt: z.number().transform((at) => at as EpochMs),
});

/** Those that this version can read; others are logged and left out. @throws ClaimkeeperError `ZOOKEEPER_UNAVAILABLE` */
export async function readFleet(ctx: LedgerContext): Promise<readonly FleetMember[]> {
  const members = (await listMembers(ctx.session, workersPath)).flatMap((member) => {
    const description = descriptionIn(ctx, member);
    const id = member.name as WorkerId;
    return description === null ? [] : [{ id, ...description, session: member.owner ?? '' }];
  });
  const claims = await claimsStanding(
    ctx,
    members.map(({ id }) => id),
  );
  const taken = await tasksOfClaims(
    ctx,
    claims.flat().map(({ path }) => path),
  );
  return members.map((member, i) => {
    const own = taken.splice(0, claims[i]?.length ?? 0);
    return { ...member, tasks: own.flatMap((tasks) => tasks ?? []) };
  });
}

function descriptionIn({ runtime }: LedgerContext, { name, data }: Member): WorkerDescription | null {
  try {
    return descriptionSchema.parse(JSON.parse(data.toString()));
  } catch (error) {
    runtime.log.error({ err: error, worker: name }, 'what a worker says of itself cannot be read: left out');
    return null;
  }
}
