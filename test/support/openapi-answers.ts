// openapi-answers.ts: answers held to the OpenAPI document: their status, type, body and headers must be described for their
// route. Every application that is made in a process that has asked for it is watched: no answer escapes.

import diagnostics from 'node:diagnostics_channel';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { FastifyInstance } from 'fastify';
import { afterEach, expect } from 'vitest';
import { openApiDocument } from '../../src/http/openapi.js';

export type Answer = {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
};

const document = openApiDocument();
const ajv = new Ajv2020({ strict: false, allErrors: true });
(formats as unknown as { default: (ajv: Ajv2020) => void }).default(ajv);
ajv.addSchema({ ...document, $id: 'openapi.json' });

type Responses = Readonly<
  Record<string, { readonly headers?: object; readonly content?: Readonly<Record<string, unknown>> }>
>;

/** What is wrong with it; empty: nothing. */
export function violationsOf({ method, url, status, headers, body }: Answer): string[] {
  const at = `${method} ${url} → ${status}`;
  const path = pathOf(method, url);
  const operations = path === undefined ? undefined : document.paths[path];
  const verb = method === 'HEAD' ? 'get' : method.toLowerCase();
  const operation = operations?.[verb];
  // A stream has no HEAD.
  const isRefusedHead = method === 'HEAD' && status === 405;
  if (path === undefined || operation === undefined || isRefusedHead)
    return ofNoOperation(at, operations, { method, status, headers, body });
  const response = (operation.responses as Responses)[status];
  if (response === undefined) return [`${at}: the status is not described: ${body}`];
  const wrong = headerViolations(at, response.headers ?? {}, headers, status);
  const type = String(headers['content-type'] ?? '').split(';')[0] ?? '';
  const content = response.content?.[type];
  if (type === '') return response.content === undefined ? wrong : [...wrong, `${at}: it has no body`];
  if (content === undefined) return [...wrong, `${at}: ${type} is not described`];
  if (method === 'HEAD' || !type.endsWith('json')) return wrong;
  const pointer = ['paths', path, verb, 'responses', status, 'content', type, 'schema'];
  return [...wrong, ...bodyViolations(at, pointer, body)];
}

/** As {@link violationsOf}, of a request and its answer as they were on the wire. */
export function violationsOnWire(request: string, answer: string): string[] {
  const [method = '', url = ''] = request.split('\r\n', 1)[0]?.split(' ') ?? [];
  const [head = '', body = ''] = answer.split('\r\n\r\n', 2);
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  const status = Number(statusLine.split(' ')[1]);
  return violationsOf({ method, url, status, headers: Object.fromEntries(headers), body });
}

/** What is wrong with it as one of the document's schemas. */
export function violationsOfSchema(name: string, body: string): string[] {
  return bodyViolations(name, ['components', 'schemas', name], body);
}

/** Makes every test of the file fail that saw an answer which the document does not describe. Returns how many were seen. */
export function checkEveryAnswer(): () => number {
  const violations: string[] = [];
  let seen = 0;
  diagnostics.subscribe('fastify.initialization', (message) => {
    (message as { fastify: FastifyInstance }).fastify.addHook('onSend', async (request, reply, payload) => {
      const { method, url } = request;
      const body = Buffer.isBuffer(payload) ? payload.toString() : String(payload ?? '');
      seen += 1;
      violations.push(
        ...violationsOf({ method, url, status: reply.statusCode, headers: reply.getHeaders(), body }),
      );
      return payload;
    });
  });
  afterEach(() => expect(violations.splice(0)).toEqual([]));
  return () => seen;
}

/** Of a path of a request, as the document writes it. */
export function pathOf(method: string, url: string): string | undefined {
  const verb = method === 'HEAD' ? 'get' : method.toLowerCase();
  const parts = (url.split('?', 1)[0] ?? '').split('/');
  const fits = (template: string): boolean => {
    const wanted = template.split('/');
    return (
      wanted.length === parts.length && wanted.every((part, i) => part.startsWith('{') || part === parts[i])
    );
  };
  const found = Object.keys(document.paths).filter(fits);
  // A path without parameters comes first, unless it does not take the method.
  found.sort((a, b) => Number(a.includes('{')) - Number(b.includes('{')));
  return found.find((template) => document.paths[template]?.[verb] !== undefined) ?? found[0];
}

function ofNoOperation(
  at: string,
  operations: object | undefined,
  { method, status, headers, body }: Pick<Answer, 'method' | 'status' | 'headers' | 'body'>,
): string[] {
  const early = [400, 403, 413, 415, 429]; // Before anybody looks at the method.
  if (operations !== undefined && headers.allow === undefined && !early.includes(status)) {
    return [`${at}: there is no Allow`];
  }
  if (method === 'HEAD') return [];
  if (status === 204) return body === '' ? [] : [`${at}: it has a body`];
  return [...early, operations === undefined ? 404 : 405].includes(status)
    ? bodyViolations(at, ['components', 'schemas', 'Problem'], body)
    : [`${at}: no such answer is described`];
}

function headerViolations(
  at: string,
  described: object,
  headers: Answer['headers'],
  status: number,
): string[] {
  const names = Object.keys(described).map((name) => name.toLowerCase());
  const undescribed = ['location', 'etag', 'retry-after'].filter(
    (name) => headers[name] !== undefined && !names.includes(name),
  );
  const missing = names.filter((name) => status < 300 && headers[name] === undefined);
  return [
    ...undescribed.map((name) => `${at}: the header ${name} is not described`),
    ...missing.map((name) => `${at}: the header ${name} is missing`),
  ];
}

function bodyViolations(at: string, pointer: readonly (string | number)[], body: string): string[] {
  const escaped = pointer.map((part) =>
    encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1')),
  );
  const validate = ajv.getSchema(`openapi.json#/${escaped.join('/')}`);
  if (validate === undefined) return [`${at}: there is no schema at ${pointer.join(' ')}`];
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return [`${at}: it is no JSON: ${body.slice(0, 100)}`];
  }
  return validate(value) ? [] : [`${at}: ${ajv.errorsText(validate.errors)}: ${body.slice(0, 300)}`];
}
