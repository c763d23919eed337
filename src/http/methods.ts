// methods.ts: which methods a path takes: for the answer to any other (405, with `Allow`), and to OPTIONS.

import type { FastifyInstance } from 'fastify';

type Known = { readonly pattern: RegExp; readonly methods: Set<string> };

export class Methods {
  readonly #known = new Map<string, Known>();

  /** Sees the routes that are added from now on. */
  constructor(app: FastifyInstance) {
    app.addHook('onRoute', ({ url, method }) => {
      const known = this.#known.get(url) ?? { pattern: patternOf(url), methods: new Set() };
      this.#known.set(url, known);
      for (const each of [method].flat()) known.methods.add(each);
    });
  }

  /** As `Allow` lists them; null: there is no such path. */
  of(url: string): string | null {
    const [path = url] = url.split('?', 1);
    const known = [...this.#known.values()].filter(({ pattern }) => pattern.test(path));
    if (known.length === 0) return null;
    return [...new Set(['OPTIONS', ...known.flatMap(({ methods }) => [...methods])])].sort().join(', ');
  }
}

/** `/v1/tasks/:id` is any path of three parts whose first are these. */
function patternOf(url: string): RegExp {
  const parts = url.split('/').map((part) => (part.startsWith(':') ? '[^/]*' : part.replaceAll('.', '\\.')));
  return new RegExp(`^${parts.join('/')}$`);
}
