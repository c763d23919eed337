// member.test.ts: what a worker's log says of its trust is understood, and the product says it.

import { expect, test } from 'vitest';
import { ClaimkeeperError } from '../../src/domain/index.js';
import { createLogger } from '../../src/runtime/index.js';
import { trustIn } from './member.js';

function logged(level: 'info' | 'warn', fields: object, message: string): string {
  const lines: string[] = [];
  createLogger('info', { write: (line) => void lines.push(line) })[level](fields, message);
  return lines.join('').trim();
}

test('trust is gained with a connection, and lost with the lease or the session; nothing else says anything of it', () => {
  const sessionId = '0100000000000000';
  const said = (line: string) => {
    const trust = trustIn(line);
    return trust === null ? null : { session: trust.session, trusted: trust.trusted };
  };
  expect(said(logged('info', { sessionId }, 'ZooKeeper session connected'))).toEqual({
    session: sessionId,
    trusted: true,
  });
  expect(said(logged('info', { sessionId }, 'the lease has ended'))).toEqual({
    session: sessionId,
    trusted: false,
  });
  expect(said(logged('warn', { sessionId }, 'ZooKeeper session lost'))).toEqual({
    session: sessionId,
    trusted: false,
  });
  expect(said(logged('warn', { sessionId }, 'ZooKeeper session suspended'))).toBeNull();
  const error = new ClaimkeeperError('LEASE_LOST', 'ZooKeeper session lost');
  expect(said(logged('warn', { err: error }, 'could not claim'))).toBeNull();
  expect(said('a line that is no JSON')).toBeNull();
});

test('its time is the log line’s own', () => {
  const before = Date.now();
  const at = trustIn(logged('info', { sessionId: 'x' }, 'the lease has ended'))?.at ?? 0;
  expect(at).toBeGreaterThanOrEqual(before);
  expect(at).toBeLessThanOrEqual(Date.now());
});
