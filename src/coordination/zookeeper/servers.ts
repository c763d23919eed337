// servers.ts: the ensemble's addresses, and whose turn it is.

import { ClaimkeeperError, shown } from '../../domain/index.js';

export type Server = { readonly host: string; readonly port: number };

const defaultPort = 2181;
const serverPattern = /^(?:\[(?<v6>[^\]]+)\]|(?<name>[^:[\]]+))(?::(?<port>\d{1,5}))?$/;

/**
 * `host:port[,host:port…]`; IPv6 in brackets; the port defaults to 2181.
 * @throws ClaimkeeperError `CONFIG_INVALID` naming the address at fault.
 */
export function parseServers(text: string): readonly [Server, ...Server[]] {
  const [first, ...rest] = text.split(',').map((item) => parseServer(item.trim()));
  return [first as Server, ...rest];
}

function parseServer(text: string): Server {
  const groups = serverPattern.exec(text)?.groups;
  const host = groups?.v6 ?? groups?.name;
  const port = Number(groups?.port ?? defaultPort);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new ClaimkeeperError('CONFIG_INVALID', `${shown(text)} is no ZooKeeper address: write host:port`);
  }
  return { host, port };
}

export function nameOfServer(server: Server): string {
  return server.host.includes(':') ? `[${server.host}]:${server.port}` : `${server.host}:${server.port}`;
}
