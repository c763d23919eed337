// twin-api.ts: the API on a port of its own with a twin for its service, for tests of what asks it.

import { onTestFinished } from 'vitest';
import { type Api, type ApiOptions, createApi } from '../../src/http/index.js';
import { silentLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { openToAll } from './open-to-all.js';
import { TaskServiceTwin } from './task-service-twin.js';

export type TwinApi = {
  readonly service: TaskServiceTwin;
  readonly server: Api;
  readonly url: string;
  /** Of a command that is to ask it. */
  readonly env: { readonly CLAIMKEEPER_API: string };
};

type TwinOptions = Partial<Omit<ApiOptions, 'tasks'>> & {
  readonly service?: TaskServiceTwin;
  /** 0, the default: any free one. */
  readonly port?: number;
};

/** Listens until the test is over. */
export async function startTwinApi(options: TwinOptions = {}): Promise<TwinApi> {
  const { service = new TaskServiceTwin(), port = 0, ...more } = options;
  const runtime = { clock: systemClock, random: systemRandom, log: silentLogger };
  const server = createApi({ ...openToAll, tasks: service, runtime, ...more });
  onTestFinished(() => server.close());
  const url = await server.listen({ host: '127.0.0.1', port });
  return { service, server, url, env: { CLAIMKEEPER_API: url } };
}
