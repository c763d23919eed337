// config.test.ts: what a process is told from outside: precedence, bounds, and that a slip is named with what was meant.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { environmentOf, flagOf, resolveConfig, settings } from '../../src/runtime/index.js';

describe('precedence', () => {
  test('without flags and environment every setting has its default', () => {
    expect(resolveConfig({}, {})).toEqual({
      zookeeper: '127.0.0.1:2181',
      chroot: '/claimkeeper',
      redis: 'redis://127.0.0.1:6379',
      prefix: 'claimkeeper',
      sessionTimeoutMs: 10_000,
      graceMs: 1_000,
      dedupWindowMs: 604_800_000,
      drainMsMax: 30_000,
      host: '127.0.0.1',
      port: 7411,
      requireKeys: 'off-loopback',
      rateLimitPerSecond: 0,
      api: 'http://127.0.0.1:7411',
      apiKey: null,
      logLevel: 'info',
      concurrency: 10,
      queues: ['default'],
    });
  });

  test('the environment goes before the default, a flag before both', () => {
    const env = { CLAIMKEEPER_PORT: '8001', CLAIMKEEPER_QUEUES: 'a, b,a' };
    expect(resolveConfig({}, env)).toMatchObject({ port: 8_001, queues: ['a', 'b'] });
    expect(resolveConfig({ port: '8002' }, env)).toMatchObject({ port: 8_002, queues: ['a', 'b'] });
  });

  test('an empty variable is as good as none, an empty flag is not', () => {
    expect(resolveConfig({}, { CLAIMKEEPER_PREFIX: '' }).prefix).toBe('claimkeeper');
    expect(() => resolveConfig({ prefix: '' }, {})).toThrow('--prefix');
  });

  test('the result cannot be changed', () => {
    const config = resolveConfig({ queues: 'a,b' }, {});
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.queues)).toBe(true);
  });
});

describe('what is refused', () => {
  test.each([
    ['zookeeper', 'localhost'],
    ['zookeeper', 'a:1,,b:2'],
    ['zookeeper', 'a:1/chroot'],
    ['chroot', 'claimkeeper'],
    ['chroot', '/'],
    ['chroot', '/a/../b'],
    ['prefix', 'a:b'],
    ['sessionTimeoutMs', '999'],
    ['sessionTimeoutMs', '1e4'],
    ['host', 'a b'],
    ['port', '65536'],
    ['port', '-1'],
    ['port', '80.5'],
    ['port', ''],
    ['requireKeys', 'never'],
    ['rateLimitPerSecond', '0.5'],
    ['api', 'localhost:80'],
    ['logLevel', 'loud'],
    ['concurrency', '0'],
    ['queues', 'a,,b'],
    ['queues', '../x'],
  ] as const)('%s = %j, naming the flag and the value', (key, value) => {
    expect(() => resolveConfig({ [key]: value }, {})).toThrow(`${flagOf(key)}: ${JSON.stringify(value)}`);
  });

  test.each([
    ['redis', '127.0.0.1:6379'],
    ['redis', 'http://127.0.0.1'],
    ['redis', 'rediss//:hunter2@host'],
    ['apiKey', 'hunter2'],
  ] as const)('%s = %j, naming the flag, and not the value: it is a secret', (key, value) => {
    const resolve = () => resolveConfig({ [key]: value }, {});
    expect(resolve).toThrow(`${flagOf(key)}: the value (not shown) is not`);
    expect(resolve).not.toThrow(value);
  });

  test('a bad value from the environment is named by its variable', () => {
    expect(() => resolveConfig({}, { CLAIMKEEPER_PORT: 'x' })).toThrow('CLAIMKEEPER_PORT: "x"');
  });

  test('an unknown variable of ours, with what may have been meant', () => {
    expect(() => resolveConfig({}, { CLAIMKEEPER_ZOOKEPER: 'a:1' })).toThrow(
      'did you mean CLAIMKEEPER_ZOOKEEPER?',
    );
    expect(() => resolveConfig({}, { CLAIMKEEPER_COLOUR_SCHEME: 'x' })).toThrow('known are CLAIMKEEPER_');
  });
});

describe('files', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'claimkeeper-config-'));
    return () => rmSync(folder, { recursive: true });
  });
  const file = (name: string, content: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  const key = `ck_0123456789abcdef_${'s'.repeat(43)}`;

  test('a configuration goes before the default, the environment and a flag before it', () => {
    const config = file('a.json', { port: 8_001, prefix: 'filed', queues: ['a', 'b'], chroot: '/filed' });
    const env = { CLAIMKEEPER_CONFIG: config, CLAIMKEEPER_PREFIX: 'env', CLAIMKEEPER_CHROOT: '/env' };
    const expected = { port: 8_001, prefix: 'env', queues: ['a', 'b'], chroot: '/flag', host: '127.0.0.1' };
    expect(resolveConfig({ chroot: '/flag' }, env)).toMatchObject(expected);
    const other = file('b.json', { port: '8002' });
    expect(resolveConfig({ config: other }, env)).toMatchObject({ port: 8_002, queues: ['default'] });
  });

  test.each([
    ['an unknown key', { prot: 1 }, 'there is no setting "prot": did you mean port?'],
    ['a key in another spelling', { 'log-level': 'info' }, 'did you mean logLevel?'],
    ['a value out of range', { port: 70_000 }, 'port: "70000" is not within'],
    ['a value of another kind', { port: { a: 1 } }, 'port: [object] is no text, number or list'],
    ['a yes or no', { host: true }, 'host: true is no text'],
    ['a list', [], 'is no JSON object'],
    ['no JSON', '{"redis":"redis://:hunter2@h', 'is no JSON'],
  ])('%s is refused, naming the file', (_name, content, why) => {
    const config = file('bad.json', content);
    expect(() => resolveConfig({ config }, {})).toThrow(why);
    expect(() => resolveConfig({ config }, {})).toThrow(config);
    expect(() => resolveConfig({ config }, {})).not.toThrow('hunter2');
  });

  test('a configuration that is not there is refused, by its name', () => {
    expect(() => resolveConfig({ config: join(folder, 'none.json') }, {})).toThrow(
      /none.json" cannot be read: ENOENT/,
    );
  });

  test.each([
    ['as it is', key],
    ['with a newline at its end', `${key}\n`],
    ['with one of Windows', `${key}\r\n`],
  ])('a secret is read from a file, %s', (_name, content) => {
    const env = { CLAIMKEEPER_API_KEY_FILE: file('key', content) };
    expect(resolveConfig({}, env).apiKey).toBe(key);
  });

  test('every secret may be in a file, nothing else may', () => {
    const url = 'redis://:hunter2@127.0.0.1:6379';
    expect(resolveConfig({}, { CLAIMKEEPER_REDIS_FILE: file('url', `${url}\n`) }).redis).toBe(url);
    expect(() => resolveConfig({}, { CLAIMKEEPER_PORT_FILE: 'x' })).toThrow('there is no setting');
  });

  test('a flag goes before a secret in a file', () => {
    const env = { CLAIMKEEPER_API_KEY_FILE: join(folder, 'none') };
    expect(resolveConfig({ apiKey: key }, env).apiKey).toBe(key);
  });

  test('a secret both in a variable and in a file is refused, as is a file that cannot be read or holds none', () => {
    const both = { CLAIMKEEPER_API_KEY: key, CLAIMKEEPER_API_KEY_FILE: file('key', key) };
    expect(() => resolveConfig({}, both)).toThrow('both set');
    const missing = { CLAIMKEEPER_API_KEY_FILE: join(folder, 'none') };
    expect(() => resolveConfig({}, missing)).toThrow(
      /CLAIMKEEPER_API_KEY_FILE: .*none" cannot be read: ENOENT/,
    );
    const empty = { CLAIMKEEPER_API_KEY_FILE: file('empty', 'hunter2') };
    expect(() => resolveConfig({}, empty)).toThrow(
      'CLAIMKEEPER_API_KEY_FILE: the value (not shown) is not a key',
    );
  });

  test('a process that is given the resolved configuration resolves it to the same, whatever files its starter had', () => {
    const env = {
      CLAIMKEEPER_CONFIG: file('c.json', { port: 8_001, queues: ['a', 'b'] }),
      CLAIMKEEPER_REDIS_FILE: file('url', 'redis://:pw@127.0.0.1:1'),
    };
    const config = resolveConfig({}, env);
    expect(resolveConfig({}, { ...env, ...environmentOf(config) })).toEqual(config);
  });
});

test('takes several servers, IPv6, and variables that are not ours', () => {
  const env = { PATH: '/bin', CLAIMKEEPER_ZOOKEEPER_HOME: '/opt/zookeeper' };
  const config = resolveConfig({ zookeeper: 'zk-1.example:2181,[::1]:2182', host: '::1' }, env);
  expect(config).toMatchObject({ zookeeper: 'zk-1.example:2181,[::1]:2182', host: '::1' });
});

test('flags and variables are the setting’s name in their own spelling', () => {
  for (const [key, { env }] of Object.entries(settings)) {
    const flag = flagOf(key as keyof typeof settings);
    expect(env).toBe(`CLAIMKEEPER_${flag.slice(2).toUpperCase().replaceAll('-', '_')}`);
  }
});
