// scope.ts: what a caller must be allowed to do for a route to be answered. Every route declares one.

/** `open`: anybody may. `submit`: make tasks. `read`: look at what is there. `operate`: steer what is there. */
export type Scope = 'open' | 'submit' | 'read' | 'operate';

declare module 'fastify' {
  interface FastifyContextConfig {
    scope?: Scope;
  }
}
