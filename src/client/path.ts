// path.ts: an id as a part of a path.

import { ClaimkeeperApiError } from './api-error.js';

/** `.` and `..` would be taken for a way in it. @throws ClaimkeeperApiError */
export function pathPart(id: string, code: 'TASK_ID_INVALID' | 'SCHEDULE_INVALID', what: string): string {
  if (id !== '' && !id.startsWith('.')) return encodeURIComponent(id);
  const detail = `the ${what} id ${JSON.stringify(id)} is not valid: it is empty or starts with a dot`;
  throw new ClaimkeeperApiError({ code, status: 422, retryable: false, detail, field: 'id' });
}
