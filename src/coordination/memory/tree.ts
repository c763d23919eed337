// tree.ts: the memory twin's znodes: what ZooKeeper's data tree does with a transaction, and nothing of sessions,
// connections or time. Synchronous; every write takes one zxid, refused ones included.

import type { OpResult, RefusalCode, SessionId, Stat, WriteOp, WriteOutcome, Znode } from '../port.js';

type Node = {
  data: Buffer;
  readonly czxid: bigint;
  mzxid: bigint;
  version: number;
  readonly owner: SessionId | null;
  readonly children: Set<string>;
  /** How many children were ever created here, as an int32: the next sequential name's number. */
  created: number;
};

/** A watch's place: the data (or the existence) of a znode, or the list of its children. */
export type WatchKey = `data:${string}` | `children:${string}`;

export type Applied = Extract<WriteOutcome, { kind: 'applied' }>;
export type Refused = Extract<WriteOutcome, { kind: 'refused' }>;
export type TreeOutcome = { readonly outcome: Applied | Refused; readonly touched: readonly WatchKey[] };

/** Everything a tree holds, detached from it. */
export type TreeSnapshot = { readonly zxid: bigint; readonly nodes: ReadonlyMap<string, Node> };

class Refusal {
  constructor(
    readonly code: RefusalCode,
    readonly detail?: string,
  ) {}
}

/** What a transaction did so far: how to take it back, and which watches it will fire. */
type Changes = { readonly undo: (() => void)[]; readonly touched: WatchKey[] };

export class ZnodeTree {
  #zxid = 0n;
  #nodes = new Map<string, Node>([['/', newNode(Buffer.alloc(0), 0n, null)]]);
  readonly #ephemerals = new Map<SessionId, Set<string>>();

  get zxid(): bigint {
    return this.#zxid;
  }

  /** Takes a zxid without changing a znode: a session began. */
  tick(): void {
    this.#zxid += 1n;
  }

  /** All or nothing, as the session `owner`. */
  apply(ops: readonly WriteOp[], owner: SessionId): TreeOutcome {
    this.#zxid += 1n;
    const changes: Changes = { undo: [], touched: [] };
    const results: OpResult[] = [];
    for (const [index, op] of ops.entries()) {
      const result = this.#applyOne(op, owner, changes);
      if (result instanceof Refusal) {
        for (const undo of changes.undo.reverse()) undo();
        const { code, detail } = result;
        return {
          outcome: { kind: 'refused', index, code, ...(detail === undefined ? {} : { detail }) },
          touched: [],
        };
      }
      results.push(result);
    }
    return { outcome: { kind: 'applied', results, zxid: this.#zxid }, touched: changes.touched };
  }

  /** The session ended: its ephemerals go, as one transaction. */
  removeEphemeralsOf(owner: SessionId): readonly WatchKey[] {
    this.#zxid += 1n;
    const changes: Changes = { undo: [], touched: [] };
    for (const path of [...(this.#ephemerals.get(owner) ?? [])]) this.#remove(path, changes);
    this.#ephemerals.delete(owner);
    return changes.touched;
  }

  read(path: string): Znode | null {
    const node = this.look(path);
    return node === null ? null : { data: Buffer.from(node.data), stat: node.stat };
  }

  /** As {@link read}, for who writes nothing into the data: it is the tree's own, and the same one until it changes. */
  look(path: string): Znode | null {
    const node = this.#nodes.get(path);
    if (node === undefined) return null;
    const stat: Stat = {
      czxid: node.czxid,
      mzxid: node.mzxid,
      version: node.version,
      ephemeralOwner: node.owner,
      numChildren: node.children.size,
    };
    return { data: node.data, stat };
  }

  children(path: string): string[] | null {
    const node = this.#nodes.get(path);
    return node === undefined ? null : [...node.children];
  }

  snapshot(): TreeSnapshot {
    return { zxid: this.#zxid, nodes: copyNodes(this.#nodes) };
  }

  restore(snapshot: TreeSnapshot): void {
    this.#zxid = snapshot.zxid;
    this.#nodes = copyNodes(snapshot.nodes);
    this.#ephemerals.clear();
    for (const [path, node] of this.#nodes) this.#index(path, node);
  }

  #applyOne(op: WriteOp, owner: SessionId, changes: Changes): OpResult | Refusal {
    switch (op.kind) {
      case 'create':
        return this.#create(op, owner, changes);
      case 'set':
        return this.#set(op, changes);
      case 'delete':
        return this.#delete(op, changes);
      case 'check': {
        const node = this.#at(op.path, op.version);
        return node instanceof Refusal ? node : { kind: 'checked' };
      }
    }
  }

  #create(op: Extract<WriteOp, { kind: 'create' }>, owner: SessionId, changes: Changes): OpResult | Refusal {
    if (!isPath(op.path)) return new Refusal('OTHER', 'BAD_ARGUMENTS');
    const parentPath = parentOf(op.path);
    const parent = this.#nodes.get(parentPath);
    if (parent === undefined) return new Refusal('NO_NODE');
    const path = op.mode.endsWith('sequential') ? `${op.path}${sequenceName(parent.created)}` : op.path;
    if (this.#nodes.has(path)) return new Refusal('NODE_EXISTS');
    if (parent.owner !== null) return new Refusal('NO_CHILDREN_FOR_EPHEMERALS');
    const created = parent.created;
    const node = newNode(Buffer.from(op.data), this.#zxid, op.mode.startsWith('ephemeral') ? owner : null);
    this.#attach(path, node, parent);
    parent.created = (created + 1) | 0;
    changes.undo.push(() => {
      this.#detach(path, node, parent);
      parent.created = created;
    });
    changes.touched.push(`data:${path}`, `children:${parentPath}`);
    return { kind: 'created', path };
  }

  #set(op: Extract<WriteOp, { kind: 'set' }>, changes: Changes): OpResult | Refusal {
    const node = this.#at(op.path, op.version);
    if (node instanceof Refusal) return node;
    const { data, version, mzxid } = node;
    Object.assign(node, { data: Buffer.from(op.data), version: version + 1, mzxid: this.#zxid });
    changes.undo.push(() => Object.assign(node, { data, version, mzxid }));
    changes.touched.push(`data:${op.path}`);
    return { kind: 'set', version: node.version };
  }

  #delete(op: Extract<WriteOp, { kind: 'delete' }>, changes: Changes): OpResult | Refusal {
    const node = this.#at(op.path, op.version);
    if (node instanceof Refusal) return node;
    if (op.path === '/') return new Refusal('OTHER', 'BAD_ARGUMENTS');
    if (node.children.size > 0) return new Refusal('NOT_EMPTY');
    this.#remove(op.path, changes);
    return { kind: 'deleted' };
  }

  #remove(path: string, changes: Changes): void {
    const node = this.#nodes.get(path);
    const parent = this.#nodes.get(parentOf(path));
    if (node === undefined || parent === undefined) return;
    this.#detach(path, node, parent);
    changes.undo.push(() => this.#attach(path, node, parent));
    changes.touched.push(`data:${path}`, `children:${path}`, `children:${parentOf(path)}`);
  }

  #attach(path: string, node: Node, parent: Node): void {
    this.#nodes.set(path, node);
    parent.children.add(nameOf(path));
    this.#index(path, node);
  }

  #detach(path: string, node: Node, parent: Node): void {
    this.#nodes.delete(path);
    parent.children.delete(nameOf(path));
    if (node.owner !== null) this.#ephemerals.get(node.owner)?.delete(path);
  }

  #index(path: string, node: Node): void {
    if (node.owner === null) return;
    const paths = this.#ephemerals.get(node.owner) ?? new Set();
    this.#ephemerals.set(node.owner, paths.add(path));
  }

  /** The znode, if it is there at exactly `version` (null: at any). */
  #at(path: string, version: number | null): Node | Refusal {
    const node = this.#nodes.get(path);
    if (node === undefined) return new Refusal('NO_NODE');
    return version === null || version === node.version ? node : new Refusal('BAD_VERSION');
  }
}

function newNode(data: Buffer, zxid: bigint, owner: SessionId | null): Node {
  return { data, czxid: zxid, mzxid: zxid, version: 0, owner, children: new Set(), created: 0 };
}

function copyNodes(nodes: ReadonlyMap<string, Node>): Map<string, Node> {
  return new Map([...nodes].map(([path, node]) => [path, { ...node, children: new Set(node.children) }]));
}

/** As Java's `%010d` prints an int. */
function sequenceName(n: number): string {
  return n < 0 ? `-${String(-n).padStart(9, '0')}` : String(n).padStart(10, '0');
}

function isPath(path: string): boolean {
  return path.startsWith('/') && !path.endsWith('/') && !path.includes('//');
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
