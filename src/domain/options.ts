// options.ts: options that a program gives, against a schema. Owns what is said of those that are not valid.

import type { z } from 'zod';
import { ClaimkeeperError } from './errors.js';

/** @throws ClaimkeeperError `CONFIG_INVALID` naming `what` and the option */
export function parseOptions<S extends z.ZodType>(schema: S, options: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.code === 'unrecognized_keys' ? issue.keys.join(', ') : issue?.path.join('.');
  throw new ClaimkeeperError(
    'CONFIG_INVALID',
    `${what}: ${at || 'options'}: ${issue?.message ?? 'not valid'}`,
  );
}
