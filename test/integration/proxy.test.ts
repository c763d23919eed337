// proxy.test.ts: the failing network does what the fault tests believe it does.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../support/eventually.js';
import { type FaultyNetwork, startProxy } from '../support/proxy.js';

let echo: Server;
let atServer: Socket[];
let received: Buffer;
let proxy: FaultyNetwork;
const clients: Socket[] = [];

beforeEach(async () => {
  atServer = [];
  received = Buffer.alloc(0);
  echo = createServer((socket) => {
    atServer.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      socket.write(bytes);
    });
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await startProxy((echo.address() as { port: number }).port);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.stop();
  for (const socket of atServer) socket.destroy();
  echo.close();
});

/** A connection through the proxy, and all that it has heard. */
async function dial(): Promise<{ socket: Socket; heard: () => Buffer }> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1' });
  clients.push(socket);
  let heard = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (bytes) => {
    heard = Buffer.concat([heard, bytes]);
  });
  await once(socket, 'connect');
  return { socket, heard: () => heard };
}

/** As ZooKeeper replies: length, xid, text. */
function reply(xid: number, text: string): Buffer {
  const frame = Buffer.alloc(8 + text.length);
  frame.writeInt32BE(4 + text.length, 0);
  frame.writeInt32BE(xid, 4);
  frame.write(text, 8);
  return frame;
}

/** Whether the connection's close is a reset. */
function reset(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => socket.once('close', resolve));
}

function hears(client: { heard: () => Buffer }, expected: Buffer): Promise<void> {
  return eventually(() => expect(client.heard()).toEqual(expected), { what: `the client hears ${expected}` });
}

test('passes text of any protocol as it comes', async () => {
  const client = await dial();
  client.socket.write('+PO');
  await hears(client, Buffer.from('+PO'));
  client.socket.write('NG\r\n');
  await hears(client, Buffer.from('+PONG\r\n'));
});

test('passes frames that arrive in pieces', async () => {
  const client = await dial();
  const bytes = Buffer.concat([reply(1, 'one'), reply(2, 'two')]);
  for (const byte of bytes) client.socket.write(Buffer.from([byte]));
  await hears(client, bytes);
});

test('a black hole passes nothing, not even a close, until it ends', async () => {
  const client = await dial();
  client.socket.write(reply(1, 'before'));
  await hears(client, reply(1, 'before'));

  proxy.blackhole(true);
  client.socket.end(reply(2, 'during'));
  let ended = false;
  atServer[0]?.once('end', () => {
    ended = true;
  });
  // A later connection past the proxy is answered first: what was held back had its chance to come.
  const direct = connect((echo.address() as { port: number }).port, '127.0.0.1');
  clients.push(direct);
  direct.write('x');
  await once(direct, 'data');
  expect({ heard: client.heard(), ended }).toEqual({ heard: reply(1, 'before'), ended: false });

  proxy.blackhole(false);
  await eventually(
    () => expect({ ended, received: received.includes('during') }).toEqual({ ended: true, received: true }),
    {
      what: 'the held bytes and the close arrive',
    },
  );
});

test('swallows the next replies to operations; pings and events pass; the server has had the requests', async () => {
  const client = await dial();
  const swallowed = proxy.dropReplies(2);
  for (const frame of [
    reply(-2, 'ping'),
    reply(1, 'one'),
    reply(-1, 'event'),
    reply(2, 'two'),
    reply(3, 'three'),
  ]) {
    client.socket.write(frame);
  }
  await swallowed;
  await hears(client, Buffer.concat([reply(-2, 'ping'), reply(-1, 'event'), reply(3, 'three')]));
  expect(received.includes('one') && received.includes('two')).toBe(true);
});

test('swallows what a predicate takes, until told otherwise', async () => {
  const client = await dial();
  const swallowed = proxy.dropReplies((body) => body.includes('secret'));
  for (const text of ['secret', 'plain', 'secret again']) client.socket.write(reply(1, text));
  await swallowed;
  await hears(client, reply(1, 'plain'));
  await proxy.dropReplies(0);
  client.socket.write(reply(1, 'no secret'));
  await hears(client, Buffer.concat([reply(1, 'plain'), reply(1, 'no secret')]));
});

test('a cut resets both ends, and new connections are accepted', async () => {
  const client = await dial();
  client.socket.write('x');
  await hears(client, Buffer.from('x'));
  const server = atServer[0];
  if (server === undefined) throw new Error('the server has no connection');
  const resets = Promise.all([reset(client.socket), reset(server)]);
  proxy.cut();
  expect(await resets).toEqual([true, true]);
  expect(proxy.connections()).toBe(0);
  const again = await dial();
  again.socket.write('y');
  await hears(again, Buffer.from('y'));
});

test('refuses new connections while told to; those there are stay', async () => {
  const client = await dial();
  await proxy.refuse(true);
  const refused = connect({ port: proxy.port, host: '127.0.0.1' });
  expect((await once(refused, 'error'))[0]).toMatchObject({ code: 'ECONNREFUSED' });
  client.socket.write('still here');
  await hears(client, Buffer.from('still here'));
  await proxy.refuse(false);
  const again = await dial();
  again.socket.write('back');
  await hears(again, Buffer.from('back'));
});

test.each(['client', 'server'] as const)(
  'holds what goes to the %s, and lets the other direction pass; afterwards what was held arrives',
  async (towards) => {
    const client = await dial();
    client.socket.write('a');
    await hears(client, Buffer.from('a'));
    proxy.hold(towards, true);
    client.socket.write('to the server');
    atServer[0]?.write('to the client');
    if (towards === 'client') {
      await eventually(() => expect(received.toString()).toBe('ato the server'), {
        what: 'it has the bytes',
      });
      expect(client.heard().toString()).toBe('a');
    } else {
      await hears(client, Buffer.from('ato the client'));
      expect(received.toString()).toBe('a');
    }
    proxy.hold(towards, false);
    await eventually(
      () => {
        expect(received.toString()).toBe('ato the server');
        expect(client.heard().toString()).toContain('to the server');
      },
      { what: 'all has arrived' },
    );
  },
);

test('delays both directions and keeps the order, also when the delay ends meanwhile', async () => {
  const client = await dial();
  proxy.latency(150);
  const answerOnItsWay = new Promise<void>((resolve) => {
    void proxy.dropReplies(() => {
      resolve();
      return false;
    });
  });
  const askedAt = performance.now();
  client.socket.write('slow ');
  await answerOnItsWay;
  expect(received.toString()).toBe('slow ');
  const tookMs = performance.now() - askedAt;
  expect(tookMs).toBeGreaterThan(140);
  proxy.latency(0);
  client.socket.write('fast');
  await hears(client, Buffer.from('slow fast'));
  expect(performance.now() - askedAt).toBeGreaterThan(290);
});

test('what is delayed arrives before the close that followed it', async () => {
  const client = await dial();
  proxy.latency(60_000);
  client.socket.end('last words');
  await eventually(() => expect(received.toString()).toBe('last words'), { what: 'the server has it' });
});

test.each(['client', 'server'] as const)(
  'half-open: the %s is not told that the other end is gone, and new connections pass',
  async (survivor) => {
    const client = await dial();
    client.socket.write('x');
    await hears(client, Buffer.from('x'));
    const server = atServer[0];
    if (server === undefined) throw new Error('the server has no connection');
    const left = survivor === 'client' ? client.socket : server;
    const gone = reset(survivor === 'client' ? server : client.socket);
    proxy.halfOpen(survivor);
    expect(await gone).toBe(true);
    left.write('is there anybody');
    const again = await dial();
    again.socket.write('y');
    await hears(again, Buffer.from('y'));
    expect(left.writable && !left.readableEnded).toBe(true);
    expect(received.toString()).toBe('xy');
    const told = reset(left);
    proxy.cut();
    expect(await told).toBe(true);
  },
);

test('connections after a new target go there; the old ones stay until they are cut', async () => {
  const other = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('I am another');
  });
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const old = await dial();
  proxy.retarget((other.address() as { port: number }).port);
  old.socket.write('x');
  await hears(old, Buffer.from('x'));
  await hears(await dial(), Buffer.from('I am another'));
  const told = reset(old.socket);
  proxy.cut();
  expect(await told).toBe(true);
  other.close();
});
