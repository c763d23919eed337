// scope.ts: what a caller must be allowed to do for a route to be answered. Every route declares one.

import type { FastifyInstance } from 'fastify';
import type { KeyScope } from '../domain/index.js';

/** `open`: anybody may. The others are those that a key may have. */
export type Scope = 'open' | KeyScope;

declare module 'fastify' {
  interface FastifyContextConfig {
    scope?: Scope;
  }
}

/** Keeps the application from starting with a route that does not say who may ask it. */
export function requireScopes(app: FastifyInstance): void {
  const routes: { readonly url: string; readonly config?: { readonly scope?: Scope } }[] = [];
  app.addHook('onRoute', (route) => void routes.push(route));
  // Not sooner: a plugin may give its routes their scope by a hook of its own.
  app.addHook('onReady', async () => {
    const without = routes.find(({ config }) => config?.scope === undefined);
    if (without !== undefined) throw new Error(`the route ${without.url} declares no scope (config.scope)`);
  });
}
