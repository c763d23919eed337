// log-writer.ts: transaction logs as a ZooKeeper server writes them, made up: for the tests of those who read them.

import { adler32, type LoggedOp, type Transaction } from './transaction-log.js';

/** `kind`: default `writes`. */
export type Written = Omit<Transaction, 'kind'> & { readonly kind?: Transaction['kind'] };

const opTypes = { create: 1, delete: 2, set: 5, check: 13 } as const;

/** The file `log.<zxid>` of these transactions, without padding. */
export function logFile(transactions: readonly Written[]): Buffer {
  return Buffer.concat([
    Buffer.from('ZKLG'),
    int(2),
    long(0n),
    ...transactions.flatMap((transaction) => {
      const record = recordOf(transaction);
      return [long(BigInt(adler32(record))), int(record.length), record, Buffer.from('B')];
    }),
  ]);
}

function recordOf({ session, zxid, at, kind = 'writes', ops }: Written): Buffer {
  const types = { writes: 14, opened: -10, closed: -11, expired: -11, refused: -1 } as const;
  const header = [
    long(BigInt.asIntN(64, BigInt(`0x${session}`))),
    int(kind === 'expired' ? 0 : 1),
    long(zxid),
    long(BigInt(at)),
    int(types[kind]),
  ];
  switch (kind) {
    case 'writes':
      return Buffer.concat([
        ...header,
        int(ops.length),
        ...ops.flatMap((op) => [int(opTypes[op.kind]), sized(bodyOf(op))]),
      ]);
    case 'closed':
    case 'expired':
      return Buffer.concat([...header, int(ops.length), ...ops.map(({ path }) => text(path))]);
    default:
      return Buffer.concat([...header, int(0)]);
  }
}

function bodyOf(op: LoggedOp): Buffer {
  switch (op.kind) {
    case 'create': {
      const acl = [int(1), int(31), text('world'), text('anyone')];
      return Buffer.concat([text(op.path), sized(op.data), ...acl, Buffer.of(op.ephemeral ? 1 : 0), int(1)]);
    }
    case 'set':
      return Buffer.concat([text(op.path), sized(op.data), int(op.version)]);
    case 'delete':
      return text(op.path);
    case 'check':
      return Buffer.concat([text(op.path), int(1)]);
  }
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function long(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function sized(bytes: Buffer): Buffer {
  return Buffer.concat([int(bytes.length), bytes]);
}

function text(value: string): Buffer {
  return sized(Buffer.from(value));
}
