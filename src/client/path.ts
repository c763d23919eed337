// path.ts: an id as a part of a path, and the query behind it.

import { ClaimkeeperApiError } from './api-error.js';

type PathCode = 'TASK_ID_INVALID' | 'SCHEDULE_INVALID' | 'NAME_INVALID';

/** `.` and `..` would be taken for a way in it. @throws ClaimkeeperApiError */
export function pathPart(id: string, code: PathCode, what: string): string {
  if (id !== '' && !id.startsWith('.')) return encodeURIComponent(id);
  const detail = `the ${what} ${JSON.stringify(id)} is not valid: it is empty or starts with a dot`;
  throw new ClaimkeeperApiError({
    code,
    status: 422,
    retryable: false,
    detail,
    field: what.endsWith(' id') ? 'id' : what,
  });
}

/** With its question mark; empty where there is nothing to ask. */
export function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query.size === 0 ? '' : `?${query}`;
}
