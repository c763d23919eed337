// task-module.ts: the user's module with task types. Owns its loading and what is said when it is not as it must be.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ClaimkeeperError, shown } from '../domain/index.js';
import type { TaskType } from '../worker/index.js';

/**
 * The task types that an ES module exports by default.
 * @throws ClaimkeeperError `CONFIG_INVALID`
 */
export async function loadTaskTypes(path: string): Promise<readonly TaskType[]> {
  const exported = await importDefault(path);
  const types = Array.isArray(exported) ? exported : [];
  if (types.length === 0 || !types.every(isTaskType)) {
    throw invalid(path, 'its default export is not a list of task types: export default [defineTask(…), …]');
  }
  const names = types.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(path, `it defines the task type ${shown(twice)} twice`);
  return types;
}

async function importDefault(path: string): Promise<unknown> {
  const url = pathToFileURL(resolve(path));
  try {
    return ((await import(url.href)) as { default?: unknown }).default;
  } catch (error) {
    throw invalid(path, `it cannot be loaded: ${error instanceof Error ? error.message : error}`, error);
  }
}

/** By its shape: the module may have been given another copy of this library. */
function isTaskType(value: unknown): value is TaskType {
  const { name, handler } = (typeof value === 'object' && value !== null ? value : {}) as Partial<TaskType>;
  return typeof name === 'string' && typeof handler === 'function';
}

function invalid(path: string, why: string, cause?: unknown): ClaimkeeperError {
  return new ClaimkeeperError('CONFIG_INVALID', `the module ${shown(path)}: ${why}`, { cause });
}
