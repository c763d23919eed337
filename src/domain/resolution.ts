// resolution.ts: what an operator says of an uncertain task. Owns what may be said; what follows from it is transitions.ts.

import { z } from 'zod';
import { ClaimkeeperError } from './errors.js';
import { limits } from './limits.js';

/** `note`: how the operator knows, 1–500 characters; kept in the record. */
export type Resolution = { readonly as: 'completed' | 'failed'; readonly note: string };

export const resolutionSchema = z.strictObject({
  as: z.enum(['completed', 'failed']),
  note: z.string().trim().min(1).max(limits.errorMessageCharsMax),
});

/** @throws ClaimkeeperError `REQUEST_INVALID` naming the field */
export function parseResolution(input: unknown): Resolution {
  const parsed = resolutionSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.join('.');
  const message = `a resolution is { "as": "completed" | "failed", "note": "how you know" }: ${issue?.message}`;
  throw new ClaimkeeperError('REQUEST_INVALID', message, field ? { field } : {});
}
