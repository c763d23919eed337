// openapi-parts.ts: how an operation of the API is written down in OpenAPI 3.1. Owns what all of them share: the answers that
// any request may have, and how a problem is described; what the operations are is in the files of their nouns.

import { ClaimkeeperError, type ErrorCode, errorRegistry } from '../domain/index.js';
import { type Problem, problemOf, problemType } from './problem.js';
import type { Scope } from './scope.js';

export type JsonSchema = { readonly [keyword: string]: unknown };
type Described = { readonly description: string; readonly [key: string]: unknown };

export type Parameter = {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  readonly required?: boolean;
  readonly schema: JsonSchema;
};

export type Operation = {
  /** Names it for programs that are made from the document. */
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
  readonly tag: string;
  readonly scope: Scope;
  readonly parameters?: readonly Parameter[];
  readonly body?: { readonly schema: JsonSchema; readonly required: boolean };
  readonly answers: { readonly [status: number]: Described };
  /** Beyond those that any request may meet. */
  readonly problems: readonly ErrorCode[];
};

export function ref(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** An answer with a JSON body. */
export function answer(description: string, schema: JsonSchema, headers: JsonSchema = {}): Described {
  return { description, headers, content: { 'application/json': { schema } } };
}

export function textHeader(description: string): JsonSchema {
  return { description, schema: { type: 'string' } };
}

export const location = { Location: textHeader('Where it is') };

const ofAny: readonly ErrorCode[] = ['REQUEST_INVALID', 'REQUEST_TIMEOUT', 'HEADERS_TOO_LARGE', 'INTERNAL'];
/** Of methods that may have a body, and that a web page may not use from elsewhere. */
const ofWrites: readonly ErrorCode[] = ['ORIGIN_REFUSED', 'BODY_TOO_LARGE', 'MEDIA_TYPE_UNSUPPORTED'];

/** Of whatever is not open to anybody. */
const ofKeys: readonly ErrorCode[] = [
  'KEY_REQUIRED',
  'KEY_INVALID',
  'KEY_EXPIRED',
  'SCOPE_MISSING',
  'RATE_LIMITED',
];

/** Met by whatever reads the ledger. */
export const ofReading: readonly ErrorCode[] = ['ZOOKEEPER_UNAVAILABLE', 'CLOSED'];
/** Met by whatever writes to it. */
export const ofWriting: readonly ErrorCode[] = [...ofReading, 'OUTCOME_UNKNOWN', 'GENERATION_CHANGED'];

export function operation(method: string, of: Operation): JsonSchema {
  const { id, summary, description, tag, scope, parameters, body, answers, problems } = of;
  const codes = [
    ...ofAny,
    ...(scope === 'open' ? [] : ofKeys),
    ...(method === 'get' ? [] : ofWrites),
    ...problems,
  ];
  return {
    operationId: id,
    summary,
    ...(description === undefined ? {} : { description }),
    tags: [tag],
    'x-scope': scope,
    // Without a key only where none is required.
    ...(scope === 'open' ? {} : { security: [{ apiKey: [] }, {}] }),
    ...(parameters === undefined ? {} : { parameters: parameters.map(parameterOf) }),
    ...(body === undefined
      ? {}
      : {
          requestBody: { required: body.required, content: { 'application/json': { schema: body.schema } } },
        }),
    responses: withProblems(answers, codes),
  };
}

function parameterOf(parameter: Parameter): JsonSchema {
  return { ...parameter, required: parameter.required ?? parameter.in === 'path' };
}

/** A status's answer may be of either kind: its problems are beside what else it may be. */
function withProblems(answers: Operation['answers'], codes: readonly ErrorCode[]): JsonSchema {
  const responses: Record<string, Described> = {};
  for (const [status, described] of Object.entries(answers)) responses[status] = described;
  const statuses = new Set(codes.map((code) => errorRegistry[code].status));
  for (const status of statuses) {
    const own = [...new Set(codes)].filter((code) => errorRegistry[code].status === status).sort();
    const there = responses[status];
    const problem = problemAnswer(own);
    responses[status] =
      there === undefined
        ? problem
        : {
            ...there,
            description: `${there.description} Or: ${problem.description}`,
            content: { ...(there.content as object), ...(problem.content as object) },
          };
  }
  return responses;
}

function problemAnswer(codes: readonly ErrorCode[]): Described {
  const retried = codes.some(
    (code) => [429, 503].includes(errorRegistry[code].status) && errorRegistry[code].retryable,
  );
  return {
    description: codes.map((code) => `\`${code}\`: ${errorRegistry[code].text}`).join(' '),
    ...(retried ? { headers: { 'Retry-After': textHeader('Seconds until another try is worth it') } } : {}),
    content: {
      [problemType]: {
        schema: { allOf: [ref('Problem'), { properties: { code: { enum: codes } } }] },
        examples: Object.fromEntries(codes.map((code) => [code, { value: exampleOf(code) }])),
      },
    },
  };
}

function exampleOf(code: ErrorCode): Problem {
  return problemOf(new ClaimkeeperError(code, 'what was wrong this time, and what to do'));
}
