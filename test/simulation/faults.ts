// faults.ts: lays the faults of a plan on a fleet. Owns what each kind does; that it really happened to somebody is counted
// where it does.

import type { WriteOp } from '../../src/coordination/index.js';
import type { Fleet } from './fleet.js';
import type { Machine, World } from './machine.js';
import type { Client } from './observed-ensemble.js';
import type { Fault, RequestKind } from './trouble.js';

type Request = Parameters<World['ensemble']['serve']>[1];
type Laying<Kind extends Fault['kind']> = (fault: Extract<Fault, { kind: Kind }>) => void;

/** A write that waits for its moment: of which process, of which kind, and what then. */
type Trap = { readonly machine: Machine; readonly of: RequestKind; readonly spring: () => void };

export class Faults {
  readonly #world: World;
  readonly #fleet: Fleet;
  #traps: Trap[] = [];

  constructor(world: World, fleet: Fleet) {
    this.#world = world;
    this.#fleet = fleet;
    world.ensemble.onApplied = (client, ops) => this.#onApplied(client, ops);
  }

  lay(fault: Fault): void {
    (this.#layings[fault.kind] as (fault: Fault) => void)(fault);
  }

  /** What has not happened yet will not, and what has is mended. */
  mend(): void {
    const { ensemble, redis } = this.#world;
    this.#traps = [];
    redis.relent();
    redis.comeBack();
    ensemble.up();
    for (const machine of this.#fleet.machines) machine.mend();
  }

  readonly #layings: { readonly [Kind in Fault['kind']]: Laying<Kind> } = {
    expiry: ({ on }) => this.#fleet.at(on)?.expire(),
    partition: ({ on, forMs }) => this.#fleet.at(on)?.partition(false, forMs),
    silence: ({ on, forMs }) => this.#fleet.at(on)?.partition(true, forMs),
    freeze: ({ on, forMs }) => this.#fleet.at(on)?.freeze(forMs),
    jump: ({ on, byMs }) => this.#fleet.at(on)?.jump(byMs),
    pause: ({ on, lane, skip, forMs }) => this.#fleet.at(on)?.pauseLater({ lane, skip, forMs }),
    kill: ({ on, backInMs }) => {
      const machine = this.#fleet.at(on);
      if (machine !== null) this.#fleet.replace(machine, backInMs);
    },
    retire: ({ on }) => {
      const machine = this.#fleet.at(on);
      if (machine !== null) this.#fleet.retire(machine);
    },
    request: (fault) => this.#request(fault),
    atWrite: (fault) => this.#atWrite(fault),
    down: ({ forMs }) => this.#down(forMs),
    redisAway: ({ forMs }) => this.#redisAway(forMs),
    flush: () => {
      if (this.#world.redis.flush()) this.#happened('Redis flushed', 'redis');
    },
    failOver: ({ lagMs }) => this.#failOver(lagMs),
    delivery: ({ how, lateMs }) => {
      this.#world.redis.meddle({ how, lateMs, onHit: () => this.#happened(`delivery ${how}`, 'redis') });
    },
  };

  #request({ on, of, skip, how }: Extract<Fault, { kind: 'request' }>): void {
    const machine = this.#fleet.at(on);
    if (machine === null) return;
    const kind = typeof how === 'object' ? 'slow reply' : how === 'replyLost' ? 'reply lost' : 'request lost';
    this.#world.ensemble.meddle(machine.client, {
      which: (request) => isOf(request, of),
      skip,
      how,
      onHit: () => this.#happened(kind, machine.name),
    });
  }

  #atWrite({ on, of, thereupon, forMs }: Extract<Fault, { kind: 'atWrite' }>): void {
    const machine = this.#fleet.at(on);
    if (machine === null) return;
    const spring = {
      kill: () => this.#fleet.replace(machine, forMs),
      freeze: () => machine.freeze(forMs),
      silence: () => machine.partition(true, forMs),
    }[thereupon];
    this.#traps.push({ machine, of, spring });
  }

  #onApplied(client: Client, ops: readonly WriteOp[]): void {
    const at = this.#traps.findIndex(
      ({ machine, of }) => machine.client === client && machine.whole && isOf({ kind: 'write', ops }, of),
    );
    if (at >= 0) this.#traps.splice(at, 1)[0]?.spring();
  }

  #down(forMs: number): void {
    const { ensemble, chronicle, clock } = this.#world;
    if (this.#fleet.alive().some(({ client }) => ensemble.isLinked(client))) chronicle.hit('no quorum', '*');
    const over = chronicle.broke('no quorum', '*');
    ensemble.down();
    clock.after(forMs, () => {
      ensemble.up();
      over();
    });
  }

  /** It counts once somebody has missed it. */
  #redisAway(forMs: number): void {
    const { redis, chronicle, clock } = this.#world;
    const over = chronicle.broke('Redis away', 'redis');
    redis.onMissed = () => {
      redis.onMissed = () => undefined;
      chronicle.hit('Redis away', 'redis');
    };
    redis.leave();
    clock.after(forMs, () => {
      redis.onMissed = () => undefined;
      redis.comeBack();
      over();
    });
  }

  #failOver(lagMs: number): void {
    const { redis, clock } = this.#world;
    const replica = redis.snapshot();
    clock.after(lagMs, () => {
      if (redis.failOver(replica)) this.#happened('Redis failed over', 'redis');
    });
  }

  #happened(kind: string, on: string): void {
    this.#world.chronicle.broke(kind, on)();
    this.#world.chronicle.hit(kind, on);
  }
}

/** What a request is, to the protocol. */
function isOf(request: Request, kind: RequestKind): boolean {
  switch (kind) {
    case 'any':
      return request.kind !== 'bye';
    case 'record':
      return (
        (request.kind === 'read' && isRecord(request.path)) ||
        (request.kind === 'readAll' && request.paths.some(isRecord))
      );
    case 'listing':
      return (
        (request.kind === 'children' && !isRecord(request.path)) ||
        (request.kind === 'childrenOfAll' && !request.paths.some(isRecord))
      );
    case 'sync':
      return request.kind === 'sync';
    default:
      return request.kind === 'write' && (kind === 'write' || request.ops.some((op) => isPart(op, kind)));
  }
}

function isRecord(path: string): boolean {
  return path.startsWith('/tasks/');
}

function isPart({ kind, path }: WriteOp, of: 'claim' | 'outcome' | 'accept' | 'drop'): boolean {
  switch (of) {
    case 'claim':
      return kind === 'create' && path.startsWith('/claims/') && path.includes('/claim-');
    case 'drop':
      return kind === 'delete' && path.includes('/claim-');
    case 'accept':
      return kind === 'create' && isRecord(path);
    case 'outcome':
      return kind === 'set' && isRecord(path);
  }
}
