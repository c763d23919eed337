// json.ts: request bodies. Owns what is refused before anything looks at the values: too deep a nesting, which code that
// walks it would not survive, and keys that name a prototype.

import { ClaimkeeperError, limits } from '../domain/index.js';

/** A payload at its deepest, within its task, within a batch. */
const depthMax = limits.payloadDepthMax + 3;

/** @throws ClaimkeeperError `REQUEST_INVALID` */
export function parseBody(text: string): unknown {
  if (text === '') return undefined;
  refuseDepth(text);
  try {
    // Looking at every key costs as much as the parsing: only where one may be meant, however it is escaped.
    const mayNamePrototype = text.includes('__proto__') || text.includes('\\u00');
    return mayNamePrototype ? JSON.parse(text, refusePrototypes) : JSON.parse(text);
  } catch (error) {
    if (error instanceof ClaimkeeperError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new ClaimkeeperError('REQUEST_INVALID', `the body is not JSON: ${why}`, { cause: error });
  }
}

/** Counts brackets outside of strings; whether they match is JSON.parse's to say. */
function refuseDepth(text: string): void {
  // Most bodies have no more of them, wherever they are; to look for them so costs a tenth.
  if (count(text, '{') + count(text, '[') <= depthMax) return;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (inString) {
      if (char === '\\') i += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') {
      depth += 1;
      if (depth > depthMax) {
        throw new ClaimkeeperError('REQUEST_INVALID', `the body is nested deeper than ${depthMax} levels`);
      }
    } else if (char === '}' || char === ']') depth -= 1;
  }
}

function count(text: string, char: string): number {
  let found = 0;
  for (let at = text.indexOf(char); at >= 0; at = text.indexOf(char, at + 1)) found += 1;
  return found;
}

function refusePrototypes(key: string, value: unknown): unknown {
  if (key === '__proto__') {
    throw new ClaimkeeperError('REQUEST_INVALID', 'the body has a key "__proto__", which is not accepted');
  }
  return value;
}

/** @throws ClaimkeeperError `REQUEST_INVALID` when there is one */
export function refuseBody(body: unknown): void {
  if (body !== undefined) throw new ClaimkeeperError('REQUEST_INVALID', 'this route takes no body');
}
