// node-zookeeper-client.d.ts: the members of node-zookeeper-client 1.1.3 that connection.ts relies on, private ones
// included (the published types lack them). The version is pinned exactly because of them.

declare module 'node-zookeeper-client' {
  import type { Socket } from 'node:net';

  /** What the client's queue takes: it sets the xid, then calls `toBuffer` and writes the result to the socket. */
  export interface QueuedRequest {
    readonly header: { xid: number; readonly type: number };
    readonly payload: null;
    toBuffer(): Buffer;
  }
  export interface Packet {
    readonly request: QueuedRequest;
  }
  export interface WatcherEvent {
    readonly type: number;
    readonly path: string;
  }
  export interface ConnectionManager {
    state: number;
    socket: Socket | undefined;
    xid: number;
    /** Last zxid seen, big endian: sent with every handshake. */
    zxid: Buffer;
    sessionId: Buffer;
    sessionTimeout: number;
    readonly packetQueue: { queue: Packet[] };
    pendingQueue: Packet[];
    readonly watcherManager: { emit(event: WatcherEvent): void };
    connect(): void;
    setState(state: number): void;
    queue(request: QueuedRequest): void;
    onSocketConnected(): void;
    onSocketData(frame: Buffer): void;
    onSocketDrain(): void;
  }
  export interface Client {
    readonly connectionManager: ConnectionManager;
    connect(): void;
  }
  const zookeeper: {
    createClient(
      servers: string,
      options: { sessionTimeout: number; spinDelay: number; retries: number },
    ): Client;
  };
  export default zookeeper;
}
