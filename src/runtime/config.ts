// config.ts: what a process is told from outside. Owns the settings' names, defaults and bounds, and their precedence:
// flag > environment > default. The result is complete and frozen; nothing else reads the environment.

import { z } from 'zod';
import { ClaimkeeperError, type Name, nearest, parseName, shown } from '../domain/index.js';
import { type LogLevel, logLevels } from './logger.js';

export type Config = {
  /** `host:port[,host:port…]` */
  readonly zookeeper: string;
  readonly chroot: string;
  readonly redis: string;
  readonly prefix: string;
  readonly sessionTimeoutMs: number;
  readonly graceMs: number;
  readonly dedupWindowMs: number;
  readonly drainMsMax: number;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Where the commands that ask the API find it. */
  readonly api: string;
  readonly logLevel: LogLevel;
  readonly concurrency: number;
  readonly queues: readonly Name[];
};

type Setting<Value> = {
  readonly env: string;
  readonly default: string;
  readonly help: string;
  readonly schema: z.ZodType<Value, string>;
};

const serverList =
  /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5}(,(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5})*$/;

function whole(min: number, max: number): z.ZodType<number, string> {
  const text = z.string().regex(/^\d{1,12}$/, 'is not a whole number');
  return text
    .transform(Number)
    .refine((value) => value >= min && value <= max, `is not within ${min} – ${max}`);
}

function url(protocols: readonly string[]): z.ZodType<string, string> {
  const fits = (text: string): boolean => URL.canParse(text) && protocols.includes(new URL(text).protocol);
  return z
    .string()
    .refine(fits, `is not a URL beginning with ${protocols.map((name) => `${name}//`).join(' or ')}`);
}

/** One table: the flag is the key in kebab case, the help is the command line's, the environment's name is said in it. */
export const settings: { readonly [Key in keyof Config]: Setting<Config[Key]> } = {
  zookeeper: {
    env: 'CLAIMKEEPER_ZOOKEEPER',
    default: '127.0.0.1:2181',
    help: 'ZooKeeper servers, host:port[,host:port…]',
    schema: z.string().regex(serverList, 'is not of the form host:port[,host:port…]'),
  },
  chroot: {
    env: 'CLAIMKEEPER_CHROOT',
    default: '/claimkeeper',
    help: 'root of the znode tree',
    schema: z
      .string()
      .regex(/^(\/(?!\.\.?(\/|$))[A-Za-z0-9._-]+)+$/, 'is not a path of the form /name[/name…]'),
  },
  redis: {
    env: 'CLAIMKEEPER_REDIS',
    default: 'redis://127.0.0.1:6379',
    help: 'Redis server',
    schema: url(['redis:', 'rediss:']),
  },
  prefix: {
    env: 'CLAIMKEEPER_PREFIX',
    default: 'claimkeeper',
    help: 'before every Redis key',
    schema: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'is not 1–64 characters of A-Z a-z 0-9 . _ -'),
  },
  sessionTimeoutMs: {
    env: 'CLAIMKEEPER_SESSION_TIMEOUT_MS',
    default: '10000',
    help: 'ZooKeeper session timeout to ask for; a dead worker is noticed after it',
    schema: whole(1_000, 600_000),
  },
  graceMs: {
    env: 'CLAIMKEEPER_GRACE_MS',
    default: '1000',
    help: "from a claim's vanishing to the interruption of its tasks, in ms",
    schema: whole(0, 600_000),
  },
  dedupWindowMs: {
    env: 'CLAIMKEEPER_DEDUP_WINDOW_MS',
    default: '604800000',
    help: "how long a finished task's id is remembered in the ledger, in ms; the same for API and scheduler",
    schema: whole(0, 31_536_000_000),
  },
  drainMsMax: {
    env: 'CLAIMKEEPER_DRAIN_MS_MAX',
    default: '30000',
    help: 'how long a stopping worker waits for its tasks before it aborts them, in ms',
    schema: whole(0, 86_400_000),
  },
  host: {
    env: 'CLAIMKEEPER_HOST',
    default: '127.0.0.1',
    help: 'address the API listens on',
    schema: z.string().regex(/^[A-Za-z0-9.:_-]+$/, 'is not a host name or an address'),
  },
  port: {
    env: 'CLAIMKEEPER_PORT',
    default: '7411',
    help: 'port the API listens on; 0 for any free one',
    schema: whole(0, 65_535),
  },
  api: {
    env: 'CLAIMKEEPER_API',
    default: 'http://127.0.0.1:7411',
    help: "the API's URL",
    schema: url(['http:', 'https:']),
  },
  logLevel: {
    env: 'CLAIMKEEPER_LOG_LEVEL',
    default: 'info',
    help: `${logLevels.join(', ')}; logs are JSON lines on standard error`,
    schema: z.string().transform((text, context) => {
      const level = logLevels.find((known) => known === text);
      if (level !== undefined) return level;
      context.addIssue(`is none of ${logLevels.join(', ')}`);
      return z.NEVER;
    }),
  },
  concurrency: {
    env: 'CLAIMKEEPER_CONCURRENCY',
    default: '10',
    help: 'tasks that a worker process runs at once',
    schema: whole(1, 10_000),
  },
  queues: {
    env: 'CLAIMKEEPER_QUEUES',
    default: 'default',
    help: 'queues that a worker takes from, separated by commas',
    schema: z.string().transform((text, context) => {
      try {
        const names = text.split(',').map((name) => parseName(name.trim(), 'queue'));
        return Object.freeze([...new Set(names)]);
      } catch (error) {
        context.addIssue(error instanceof Error ? error.message : String(error));
        return z.NEVER;
      }
    }),
  },
};

/** Read elsewhere: where infra/servers.ts looks for programs. */
const otherKeys = ['CLAIMKEEPER_ZOOKEEPER_HOME'];

export type Flags = { readonly [Key in keyof Config]?: string | undefined };

/** @throws ClaimkeeperError `CONFIG_INVALID` naming the flag or the variable, its value, and what it may be */
export function resolveConfig(flags: Flags, env: Readonly<Record<string, string | undefined>>): Config {
  refuseUnknownKeys(env);
  const resolved = Object.fromEntries(
    keysOf(settings).map((key) => {
      const setting: Setting<Config[typeof key]> = settings[key];
      const fromEnv = env[setting.env] === '' ? undefined : env[setting.env];
      const value = flags[key] ?? fromEnv ?? setting.default;
      const parsed = setting.schema.safeParse(value);
      if (parsed.success) return [key, parsed.data];
      const name = flags[key] === undefined ? setting.env : flagOf(key);
      const why = parsed.error.issues[0]?.message ?? 'is not valid';
      throw new ClaimkeeperError('CONFIG_INVALID', `${name}: ${shown(value)} ${why}`, { field: name });
    }),
  );
  return Object.freeze(resolved) as Config;
}

/** `sessionTimeoutMs` → `--session-timeout-ms` */
export function flagOf(key: keyof Config): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function refuseUnknownKeys(env: Readonly<Record<string, string | undefined>>): void {
  const known = [...Object.values(settings).map((setting) => setting.env), ...otherKeys];
  const unknown = Object.keys(env).find((key) => key.startsWith('CLAIMKEEPER_') && !known.includes(key));
  if (unknown === undefined) return;
  const near = nearest(unknown, known);
  const hint = near === null ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
  throw new ClaimkeeperError('CONFIG_INVALID', `there is no setting ${unknown} in the environment: ${hint}`, {
    field: unknown,
  });
}

function keysOf<T extends object>(value: T): (keyof T)[] {
  return Object.keys(value) as (keyof T)[];
}
