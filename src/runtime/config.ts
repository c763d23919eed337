// config.ts: what a process is told from outside. Owns the settings' names, defaults and bounds, and their precedence:
// flag > environment > file > default. The result is complete and frozen; nothing else reads the environment.

import { z } from 'zod';
import { ClaimkeeperError, type Name, nearest, parseKeyText, parseName, shown } from '../domain/index.js';
import { readConfigFile, readSecretFile } from './config-file.js';
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
  readonly requireKeys: RequireKeys;
  /** 0: any number. */
  readonly rateLimitPerSecond: number;
  /** Where the commands that ask the API find it. */
  readonly api: string;
  /** What they present there; null: nothing. */
  readonly apiKey: string | null;
  readonly logLevel: LogLevel;
  readonly concurrency: number;
  readonly queues: readonly Name[];
};

const requireKeys = ['off-loopback', 'always'] as const;
type RequireKeys = (typeof requireKeys)[number];

type Setting<Value> = {
  readonly env: string;
  /** Null: none. */
  readonly default: string | null;
  readonly help: string;
  readonly schema: z.ZodType<Value, string>;
  /** Is not shown in messages, and may be the content of the file that the variable with `_FILE` at its end names. */
  readonly secret?: true;
};

const serverList =
  /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5}(,(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5})*$/;

function whole(min: number, max: number): z.ZodType<number, string> {
  const text = z.string().regex(/^\d{1,12}$/, 'is not a whole number');
  return text
    .transform(Number)
    .refine((value) => value >= min && value <= max, `is not within ${min} – ${max}`);
}

function oneOf<Word extends string>(words: readonly Word[]): z.ZodType<Word, string> {
  return z.string().transform((text, context) => {
    const word = words.find((known) => known === text);
    if (word !== undefined) return word;
    context.addIssue(`is none of ${words.join(', ')}`);
    return z.NEVER;
  });
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
    secret: true,
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
  requireKeys: {
    env: 'CLAIMKEEPER_REQUIRE_KEYS',
    default: 'off-loopback',
    help: `who must show the API a key: ${requireKeys.join(', ')}; on loopback it is optional unless always`,
    schema: oneOf(requireKeys),
  },
  rateLimitPerSecond: {
    env: 'CLAIMKEEPER_RATE_LIMIT_PER_SECOND',
    default: '0',
    help: 'requests per second that an API process answers to one key, or to one address without a key; 0 for any number',
    schema: whole(0, 1_000_000),
  },
  api: {
    env: 'CLAIMKEEPER_API',
    default: 'http://127.0.0.1:7411',
    help: "the API's URL",
    schema: url(['http:', 'https:']),
  },
  apiKey: {
    env: 'CLAIMKEEPER_API_KEY',
    default: null,
    help: 'the key that commands show to the API; others on the machine may see a flag',
    schema: z
      .string()
      .refine((text) => parseKeyText(text) !== null, 'is not a key of the form ck_<id>_<secret>'),
    secret: true,
  },
  logLevel: {
    env: 'CLAIMKEEPER_LOG_LEVEL',
    default: 'info',
    help: `${logLevels.join(', ')}; logs are JSON lines on standard error`,
    schema: oneOf(logLevels),
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

const configEnv = 'CLAIMKEEPER_CONFIG';

type Env = Readonly<Record<string, string | undefined>>;
/** `config`: the file. */
export type Flags = { readonly [Key in keyof Config | 'config']?: string | undefined };

/** A value, and where it was given. */
type Given = { readonly value: string; readonly name: string };

/** @throws ClaimkeeperError `CONFIG_INVALID` naming the flag, the variable or the file and its key, the value, and what it may be */
export function resolveConfig(flags: Flags, env: Env): Config {
  refuseUnknownKeys(env);
  const path = flags.config ?? given(env, configEnv)?.value;
  const file = path === undefined ? new Map<string, string>() : readConfigFile(path, keysOf(settings));
  const resolved = keysOf(settings).map((key) => {
    const flag = flags[key];
    const fromFile = file.get(key);
    const found: Given | null =
      (flag === undefined ? null : { value: flag, name: flagOf(key) }) ??
      fromEnv(env, key) ??
      (fromFile === undefined ? null : { value: fromFile, name: `the configuration ${path}: ${key}` });
    return [key, found === null ? defaultOf(key) : parsed(key, found)];
  });
  return Object.freeze(Object.fromEntries(resolved)) as Config;
}

function parsed(key: keyof Config, { value, name }: Given): unknown {
  const { schema, secret }: Setting<Config[typeof key]> = settings[key];
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const why = result.error.issues[0]?.message ?? 'is not valid';
  const quoted = secret ? 'the value (not shown)' : shown(value);
  throw new ClaimkeeperError('CONFIG_INVALID', `${name}: ${quoted} ${why}`, { field: name });
}

function defaultOf(key: keyof Config): unknown {
  const { schema, default: value }: Setting<Config[typeof key]> = settings[key];
  return value === null ? null : schema.parse(value);
}

function fromEnv(env: Env, key: keyof Config): Given | null {
  const { env: name, secret }: Setting<Config[typeof key]> = settings[key];
  const plain = given(env, name);
  const file = secret ? given(env, fileEnvOf(name)) : null;
  if (plain !== null && file !== null) {
    const message = `${name} and ${file.name} are both set: keep one`;
    throw new ClaimkeeperError('CONFIG_INVALID', message, { field: file.name });
  }
  return file === null ? plain : { value: readSecretFile(file.value, file.name), name: file.name };
}

/** An empty variable is as good as none. */
function given(env: Env, name: string): Given | null {
  const value = env[name];
  return value === undefined || value === '' ? null : { value, name };
}

function fileEnvOf(name: string): string {
  return `${name}_FILE`;
}

/** The configuration as resolved, for a process that resolves it again: what says where it came from is empty. */
export function environmentOf(config: Config): Record<string, string> {
  const values = keysOf(settings).map((key) => [settings[key].env, String(config[key] ?? '')]);
  const files = keysOf(settings).flatMap((key) => {
    const { env, secret }: Setting<Config[typeof key]> = settings[key];
    return secret ? [[fileEnvOf(env), '']] : [];
  });
  return Object.fromEntries([...values, ...files, [configEnv, '']]);
}

/** `sessionTimeoutMs` → `--session-timeout-ms` */
export function flagOf(key: keyof Config): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function refuseUnknownKeys(env: Env): void {
  const known = [
    ...keysOf(settings).flatMap((key) => {
      const { env: name, secret }: Setting<Config[typeof key]> = settings[key];
      return secret ? [name, fileEnvOf(name)] : [name];
    }),
    configEnv,
    ...otherKeys,
  ];
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
