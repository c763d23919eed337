// mail-service.ts: a mail service, played: it takes `PUT /mails/<id>`, and `GET /mails/<id>` says whether it did.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export async function startMailService(): Promise<{ readonly url: string; close(): void }> {
  const sent = new Set<string>();
  const server = createServer((request, response) => {
    const { method, url = '' } = request;
    if (method === 'PUT') sent.add(url);
    request.resume().on('end', () => response.writeHead(sent.has(url) ? 204 : 404).end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
