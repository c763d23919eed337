// docs.test.ts: the documents agree with the code, and each check is shown to bite.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { exitCodes } from '../../src/cli/exit.js';
import { run } from '../../src/cli/program.js';
import { defaultPolicy, errorRegistry, limits, table } from '../../src/domain/index.js';
import { flagOf, settings } from '../../src/runtime/index.js';
import { brokenLinks, codes, commandsOf, exampleOf, pathsIn, tableUnder } from '../support/markdown.js';
import { readSources, type Sources } from '../support/source-text.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const atRoot = readdirSync(root).filter((name) => name.endsWith('.md'));
const documents: Sources = new Map([
  ...atRoot.map((name): [string, string] => [name, read(name)]),
  ...readSources(root, ['docs', 'infra', 'examples'], ['.md']),
]);
const document = (path: string): string => documents.get(path) ?? '';

test('there are documents to hold to the code', () => {
  expect([...documents.keys()]).toEqual(
    expect.arrayContaining(['README.md', 'CHANGELOG.md', 'docs/architecture.md', 'docs/guarantees.md']),
  );
});

describe('tables say what the code says', () => {
  test('the state table', () => {
    const rows = tableUnder(document('docs/architecture.md'), 'The state table');
    const shown = rows.map(([from = '', event = '', to = '']) => [
      codes(from)[0],
      codes(event)[0],
      codes(to),
    ]);
    expect(shown).toEqual(table);
  });

  test('every error, its status, whether it is retryable, and its text', () => {
    const registry = Object.entries(errorRegistry).map(([code, { status, retryable, text }]) => [
      `\`${code}\``,
      String(status),
      retryable ? 'yes' : 'no',
      text,
    ]);
    expect(tableUnder(document('docs/errors.md'), 'Registry')).toEqual(registry);
  });

  test('every setting with its flag, variable, default and meaning', () => {
    const known = Object.entries(settings).map(([key, setting]) => [
      `\`${flagOf(key as keyof typeof settings)}\``,
      `\`${setting.env}\``,
      setting.default === null ? 'none' : `\`${setting.default}\``,
      setting.help,
    ]);
    expect(tableUnder(document('README.md'), 'Settings')).toEqual(known);
  });

  test('every limit with its value', () => {
    const rows = tableUnder(document('docs/configuration.md'), 'Limits');
    const shown = rows.map(([name = '', value = '']) => [codes(name)[0], Number(value.replaceAll(',', ''))]);
    expect(Object.fromEntries(shown)).toEqual(limits);
  });

  test("a task's default policy", () => {
    const rows = tableUnder(document('docs/configuration.md'), '`defineTask(name, options)`');
    const shown = new Map(
      rows.map(([name = '', value = '']) => [codes(name)[0], value.replace(/[,`]/g, '')]),
    );
    const { retry, timeoutMs, onInterrupted } = defaultPolicy;
    for (const [key, value] of Object.entries(retry)) expect(shown.get(`retry.${key}`)).toBe(String(value));
    expect(shown.get('timeoutMs')).toBe(String(timeoutMs));
    expect(shown.get('onInterrupted')).toBe(onInterrupted);
  });

  test('every exit code', () => {
    const shown = tableUnder(document('docs/errors.md'), 'Exit codes').map(([code]) => Number(code));
    expect(shown).toEqual(Object.values(exitCodes));
  });

  test('every route', () => {
    const http = [...readSources(root, ['src/http'], ['.ts']).values()].join('\n');
    const routes = [...http.matchAll(/app\.(get|post|put|patch|delete)(?:<\w+>)?\(\s*'([^']+)'/g)];
    const shown = tableUnder(document('README.md'), 'Over HTTP').map(([route = '']) => codes(route)[0]);
    expect(routes.length).toBeGreaterThan(0);
    expect(shown.sort()).toEqual(
      routes.map(([, method = '', path]) => `${method.toUpperCase()} ${path}`).sort(),
    );
  });

  test('a table is read from its own heading, cell by cell', () => {
    const text =
      '# A\n\n| x |\n| - |\n| 1 |\n\n## B\n\ntext\n\n| x | y |\n| - | - |\n| `a\\|b`, `c` | 2 |\n\n| z |\n';
    expect(tableUnder(text, 'A')).toEqual([['1']]);
    expect(tableUnder(text, 'B')).toEqual([['`a\\|b`, `c`', '2']]);
    expect(codes('`a`, `b`')).toEqual(['a', 'b']);
    expect(() => tableUnder(text, 'C')).toThrow('no table under "C"');
  });
});

describe('every relative link leads somewhere', () => {
  const exists = (path: string): boolean => existsSync(join(root, path));

  test('in the documents', () => expect(brokenLinks(documents, exists)).toEqual([]));

  test('a missing file and a missing heading are found; what is there, and what is elsewhere, is not', () => {
    const files = new Map([
      ['README.md', '[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#one) [d](#two) [e](https://example.org/x)'],
      [
        'docs/a.md',
        '# One: `it`\n\n[f](../README.md) [g](#one-it) [h](../LICENSE)\n\n```sh\n[i](j.md)\n```\n',
      ],
    ]);
    const broken = brokenLinks(files, (path) => path === 'LICENSE');
    expect(broken).toEqual(['README.md: docs/b.md', 'README.md: docs/a.md#one', 'README.md: #two']);
  });
});

describe('every command exists', () => {
  const all = [...documents.values()].join('\n');

  test('of npm', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = commandsOf(all, 'npm').filter((command) => /^npm (start|test|run)\b/.test(command));
    expect(named).toEqual(expect.arrayContaining(['npm start', 'npm test', 'npm run build']));
    expect(unknownScripts(named, scripts)).toEqual([]);
    expect(unknownScripts(['npm run gone', 'npm run build'], scripts)).toEqual(['npm run gone']);
  });

  test('of claimkeeper, with every flag', async () => {
    const named = [...commandsOf(all, 'claimkeeper')];
    expect(named.length).toBeGreaterThan(5);
    expect(await unknownCommands(named)).toEqual([]);
  });

  test('an unknown command and an unknown flag are found', async () => {
    const bad = ['claimkeeper dance', 'claimkeeper queues dance', 'claimkeeper get --loud x'];
    expect(await unknownCommands([...bad, 'claimkeeper get --api http://x y', 'claimkeeper --help'])).toEqual(
      bad,
    );
  });

  test('commands are found in blocks and in the text', () => {
    const text =
      '```sh\nx a\n```\n\n```console\n$ x b --c\nx-out\n```\n\n`x d` x e `y x f`\n\n```ts\nx g\n```\n';
    expect(commandsOf(text, 'x')).toEqual(['x a', 'x b --c', 'x d']);
  });
});

describe('every file that is named exists', () => {
  test('in the documents', () => {
    const missing = [...documents].flatMap(([from, text]) =>
      pathsIn(text)
        .filter((path) => path !== 'dist' && !existsSync(join(root, path)))
        .map((path) => `${from}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  test('paths are found in text, and the build’s stand for their sources', () => {
    const text =
      'See `src/a/b.ts`, src/c and dist/src/cli/main.js; not `/src/d` or https://example.org/docs/e.';
    expect(pathsIn(text)).toEqual(['src/a/b.ts', 'src/c', 'src/cli/main.ts']);
  });
});

describe('the library example is the very text of a file that runs', () => {
  test.each(['examples/quickstart/tasks.ts', 'examples/quickstart/main.ts'])('%s', (path) => {
    expect(exampleOf(document('README.md'), path)).toBe(asPublished(read(path)));
  });

  test('another text, and none, are found', () => {
    const text = '<!-- a.ts -->\n\n```ts\nconst a = 1;\n```\n';
    expect(exampleOf(text, 'a.ts')).toBe('const a = 1;\n');
    expect(exampleOf(text, 'b.ts')).toBeNull();
    expect(asPublished("// a.ts: is a.\n\nimport { x } from '../../src/index.js';\n")).toBe(
      "import { x } from 'claimkeeper';\n",
    );
  });
});

describe('no document names a place on somebody’s machine', () => {
  const place = /(?<![\w./-])\/(?:home|Users|root|tmp|work)\b/g;

  test('in the documents', () => {
    const found = [...documents].flatMap(([from, text]) => [...text.matchAll(place)].map(() => from));
    expect(found).toEqual([]);
  });

  test('such a place is found', () => {
    expect('in /home/ada/x'.match(place)).toHaveLength(1);
    expect('GET /v1/tasks and src/worker/x'.match(place)).toBeNull();
  });
});

function unknownScripts(commands: readonly string[], scripts: Readonly<Record<string, string>>): string[] {
  return commands.filter((command) => {
    const [, verb = '', name = ''] = command.split(' ');
    return scripts[verb === 'run' ? name : verb] === undefined;
  });
}

async function unknownCommands(commands: readonly string[]): Promise<string[]> {
  const unknown = await Promise.all(
    commands.map(async (command) => {
      const [, first = '', second = ''] = command.split(' ');
      const help = first.startsWith('-') ? await helpOf([]) : await helpOfDeepest(first, second);
      const flags = [...command.replace(/'[^']*'/g, '').matchAll(/(?<= )--[\w-]+/g)].map(([flag]) => flag);
      return help !== null && flags.every((flag) => help.includes(`${flag} `)) ? [] : [command];
    }),
  );
  return unknown.flat();
}

/** Of `claimkeeper keys create`, or of `claimkeeper get` where the second word is an argument: it has no commands of its own. */
async function helpOfDeepest(first: string, second: string): Promise<string | null> {
  const help = await helpOf([first]);
  const isCommand = /^[a-z]/.test(second) && help?.includes('\nCommands:\n');
  return isCommand ? helpOf([first, second]) : help;
}

/** What the command prints of itself; null when there is no such command. */
async function helpOf(command: readonly string[]): Promise<string | null> {
  const lines: string[] = [];
  const terminal = {
    env: {},
    stdin: Readable.from([]),
    print: (line: string) => lines.push(line),
    say: () => 0,
  };
  const code = await run([...command, '--help'], '0.0.0', terminal);
  const help = lines.join('\n');
  return code === exitCodes.ok && help.startsWith(`Usage: ${['claimkeeper', ...command].join(' ')} `)
    ? help
    : null;
}

/** As a user of the package writes it: without the file's header, and from the package. */
function asPublished(text: string): string {
  return text.replace(/^\/\/.*\n\n/, '').replace("'../../src/index.js'", "'claimkeeper'");
}
