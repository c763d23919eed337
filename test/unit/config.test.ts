// config.test.ts: what a process is told from outside: precedence, bounds, and that a slip is named with what was meant.

import { describe, expect, test } from 'vitest';
import { flagOf, resolveConfig, settings } from '../../src/runtime/index.js';

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
      api: 'http://127.0.0.1:7411',
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
    ['redis', '127.0.0.1:6379'],
    ['redis', 'http://127.0.0.1'],
    ['prefix', 'a:b'],
    ['sessionTimeoutMs', '999'],
    ['sessionTimeoutMs', '1e4'],
    ['host', 'a b'],
    ['port', '65536'],
    ['port', '-1'],
    ['port', '80.5'],
    ['port', ''],
    ['api', 'localhost:80'],
    ['logLevel', 'loud'],
    ['concurrency', '0'],
    ['queues', 'a,,b'],
    ['queues', '../x'],
  ] as const)('%s = %j, naming the flag and the value', (key, value) => {
    expect(() => resolveConfig({ [key]: value }, {})).toThrow(`${flagOf(key)}: ${JSON.stringify(value)}`);
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
