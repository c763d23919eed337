// openapi-service.ts: the routes that are about the service itself, written down: the fleet, health, metrics, documents.

import { answer, type Operation, ofReading, ref, textHeader } from './openapi-parts.js';

const tag = 'Service';
const page = (description: string, type: string) => ({
  description,
  content: { [type]: { schema: { type: 'string' } } },
});

/** By path and method, as OpenAPI has them. */
export const serviceOperations: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  '/v1/workers': {
    get: {
      id: 'listWorkers',
      summary: 'The workers that are alive, and what each has taken',
      tag,
      scope: 'read',
      answers: { 200: answer('The fleet.', ref('Workers')) },
      problems: ofReading,
    },
  },
  '/livez': {
    get: {
      id: 'live',
      summary: '200 while the process runs',
      tag,
      scope: 'open',
      answers: { 200: answer('It runs.', ref('Liveness')) },
      problems: [],
    },
  },
  '/readyz': {
    get: {
      id: 'ready',
      summary: '200 while tasks can be accepted, else 503',
      tag,
      scope: 'open',
      answers: {
        200: answer('Tasks can be accepted.', ref('Readiness')),
        503: answer('They cannot.', ref('Readiness'), {
          'Retry-After': textHeader('Seconds until another try is worth it'),
        }),
      },
      problems: [],
    },
  },
  '/metrics': {
    get: {
      id: 'metrics',
      summary: 'Counters of this process, as Prometheus reads them',
      tag,
      scope: 'read',
      answers: { 200: page('The metrics.', 'text/plain') },
      problems: [],
    },
  },
  '/openapi.json': {
    get: {
      id: 'openapi',
      summary: 'This document',
      tag,
      scope: 'open',
      answers: { 200: answer('OpenAPI 3.1.', { type: 'object' }) },
      problems: [],
    },
  },
  '/docs': {
    get: {
      id: 'docs',
      summary: 'This document, for people',
      tag,
      scope: 'open',
      answers: { 200: page('A page.', 'text/html') },
      problems: [],
    },
  },
  '/docs/{file}': {
    get: {
      id: 'docsFile',
      summary: 'What that page is made of',
      tag,
      scope: 'open',
      parameters: [
        { name: 'file', in: 'path', description: 'One that the page asks for', schema: { type: 'string' } },
      ],
      answers: {
        200: {
          description: 'The file.',
          content: {
            'text/css': { schema: { type: 'string' } },
            'text/javascript': { schema: { type: 'string' } },
          },
        },
      },
      problems: ['ROUTE_NOT_FOUND'],
    },
  },
};
