// openapi.ts: the API as one OpenAPI 3.1 document. Owns how its parts are put together; what the routes are is in the files
// of their nouns.

import { overviewOperations, overviewSchemas } from './openapi-overview.js';
import { type JsonSchema, type Operation, operation } from './openapi-parts.js';
import { scheduleOperations } from './openapi-schedules.js';
import { schemas } from './openapi-schemas.js';
import { serviceOperations } from './openapi-service.js';
import { taskOperations } from './openapi-tasks.js';

export type OpenApiDocument = {
  readonly openapi: string;
  readonly info: JsonSchema;
  readonly tags: readonly JsonSchema[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, JsonSchema>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly securitySchemes: JsonSchema;
  };
};

const operations = merged([taskOperations, overviewOperations, scheduleOperations, serviceOperations]);

export function openApiDocument(): OpenApiDocument {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Claimkeeper',
      version: '1',
      summary: 'A task scheduler for work that must not run twice.',
      description:
        'Errors are RFC 9457 problems: `code` keeps its meaning for ever, `field` names what was wrong, `retryable` says whether the same request may succeed later. Times are ISO 8601 in UTC. A path that takes other methods answers 405 with `Allow`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    tags: ['Tasks', 'Queues', 'Schedules', 'Service'].map((name) => ({ name })),
    paths: Object.fromEntries(
      Object.entries(operations).map(([path, methods]) => [path, described(methods)]),
    ),
    components: {
      schemas: { ...schemas(), ...overviewSchemas },
      securitySchemes: {
        apiKey: {
          type: 'http',
          scheme: 'bearer',
          description:
            'A key of the form ck_<id>_<secret>, as "claimkeeper keys create" makes it, with the scope that x-scope names. A key for some queues sees and changes nothing of the others, but that /v1/workers shows the fleet whole to every key.',
        },
      },
    },
  };
}

type Operations = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** A path may have its methods from several. */
function merged(parts: readonly Operations[]): Operations {
  const all: Record<string, Readonly<Record<string, Operation>>> = {};
  for (const part of parts) {
    for (const [path, methods] of Object.entries(part)) all[path] = { ...all[path], ...methods };
  }
  return all;
}

function described(methods: Readonly<Record<string, Operation>>): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(Object.entries(methods).map(([method, of]) => [method, operation(method, of)]));
}
