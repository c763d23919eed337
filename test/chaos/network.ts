// network.ts: the network of one process: a proxy of its own before each ZooKeeper server and before Redis, and one before
// itself where it is asked by others. Owns what a fault of the network is made of; when and on whom is faults.ts.

import { type FaultyNetwork, startProxy } from '../support/proxy.js';

export class Network {
  readonly zookeeper: readonly FaultyNetwork[];
  readonly redis: FaultyNetwork;
  /** Between those who ask it and itself. */
  readonly front: FaultyNetwork | null;

  constructor(zookeeper: readonly FaultyNetwork[], redis: FaultyNetwork, front: FaultyNetwork | null) {
    this.zookeeper = zookeeper;
    this.redis = redis;
    this.front = front;
  }

  static async open(ports: {
    readonly zookeeper: readonly number[];
    readonly redis: number;
    readonly front: number | null;
  }): Promise<Network> {
    const zookeeper = await Promise.all(ports.zookeeper.map((port) => startProxy(port)));
    const front = ports.front === null ? null : await startProxy(ports.front);
    return new Network(zookeeper, await startProxy(ports.redis), front);
  }

  get zookeeperUrl(): string {
    return this.zookeeper.map(({ url }) => url).join(',');
  }

  get redisUrl(): string {
    return `redis://${this.redis.url}`;
  }

  /** What it depends on. */
  get behind(): readonly FaultyNetwork[] {
    return [...this.zookeeper, this.redis];
  }

  async stop(): Promise<void> {
    const all = [...this.behind, ...(this.front === null ? [] : [this.front])];
    await Promise.all(all.map((proxy) => proxy.stop()));
  }
}
