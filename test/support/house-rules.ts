// house-rules.ts: the rules of the house as functions from source text to violations, each a line that names its file. Which
// files they are held against is unit/architecture.test.ts.

import { posix } from 'node:path';
import { codeOnly, importsOf, resolveImport, type Sources } from './source-text.js';

const everything = [
  'domain',
  'runtime',
  'coordination',
  'ledger',
  'delivery',
  'scheduler',
  'worker',
  'http',
] as const;

/** What the files of a folder below src may import besides their own. */
const layers: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  runtime: ['domain'],
  coordination: ['domain', 'runtime'],
  ledger: ['coordination', 'domain', 'runtime'],
  delivery: ['domain', 'runtime'],
  scheduler: ['ledger', 'delivery', 'coordination', 'domain', 'runtime'],
  worker: ['ledger', 'delivery', 'coordination', 'domain', 'runtime'],
  http: ['ledger', 'delivery', 'domain', 'runtime'],
  // Runs anywhere: it imports nothing.
  client: [],
  // The files of src itself: the package's face.
  src: everything,
  cli: [...everything, 'client', 'src', 'infra'],
};

/** The only folder in which a package may be imported. */
const packageHomes: Readonly<Record<string, string>> = {
  'node-zookeeper-client': 'src/coordination/zookeeper/',
  bullmq: 'src/delivery/',
  ioredis: 'src/delivery/',
  pino: 'src/runtime/',
  croner: 'src/domain/',
  fastify: 'src/http/',
  'prom-client': 'src/http/',
  commander: 'src/cli/',
  'cli-progress': 'src/cli/',
  'cli-table3': 'src/cli/',
};

const vagueNames = ['util', 'utils', 'common', 'helpers', 'types'];

export function againstLayers(sources: Sources): string[] {
  return eachImport(sources, ({ from, module }) => {
    if (!module.startsWith('.')) return null;
    const target = layerOf(posix.join(posix.dirname(from), module).replace(/\.js$/, '.ts'));
    const own = layerOf(from);
    const allowed = layers[own];
    if (allowed === undefined) return `${from}: ${own} is no layer`;
    return target === own || allowed.includes(target)
      ? null
      : `${from}: ${own} must not import ${target} (${module})`;
  });
}

/** A folder's files are its own: from outside it is imported through its index.ts, or the file beside it of its name. */
export function pastIndex(sources: Sources): string[] {
  return eachImport(sources, ({ from, module, target }) => {
    if (target === null || posix.basename(target) === 'index.ts') return null;
    const folder = posix.dirname(target);
    const inside = from.startsWith(`${folder}/`) || from === `${folder}.ts`;
    return inside ? null : `${from}: imports ${module} past the index.ts of ${folder}`;
  });
}

export function outOfHome(sources: Sources): string[] {
  return eachImport(sources, ({ from, module }) => {
    const home = Object.entries(packageHomes).find(
      ([name]) => module === name || module.startsWith(`${name}/`),
    )?.[1];
    return home === undefined || from.startsWith(home) ? null : `${from}: ${module} belongs below ${home}`;
  });
}

/** Each cycle once, as the files on it. */
export function cycles(sources: Sources): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const seen = trail.indexOf(path);
    if (seen >= 0) found.push([...trail.slice(seen), path].join(' → '));
    if (seen >= 0 || done.has(path)) return;
    for (const module of importsOf(sources.get(path) ?? '')) {
      const target = resolveImport(path, module, sources);
      if (target !== null) visit(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of sources.keys()) visit(path, []);
  return found;
}

/** Time and chance are arguments: the platform's are used in src/runtime alone. */
export function platformTimeOrChance(sources: Sources): string[] {
  const direct =
    /\bDate\.now\b|\bnew Date\s*(?:\(\s*\)|(?![\s(\w.]))|(?<![\w.])Date\s*\(\s*\)|(?<!\w)(?<!(?<!globalThis)\.)(?:setTimeout|setInterval)\b|\bMath\.random\b|\bperformance\.now\b|\bhrtime\b|\brandom(?:UUID|Bytes|Int)\b|\bgetRandomValues\b/g;
  const violations: string[] = [];
  for (const [path, text] of sources) {
    // The client runs where src/runtime does not.
    if (path.startsWith('src/runtime/') || path === 'src/client/pause.ts') continue;
    const lines = codeOnly(text).split('\n');
    for (const [index, line] of lines.entries()) {
      for (const [use] of line.matchAll(direct))
        violations.push(`${path}:${index + 1}: ${use} outside src/runtime`);
    }
    const timers = importsOf(text).filter((module) => /^(node:)?timers(\/|$)/.test(module));
    violations.push(...timers.map((module) => `${path}: imports ${module}`));
  }
  return violations;
}

/** A file says in its first line, or below its `#!`, what it owns; an index.ts only lists exports. */
export function headless(sources: Sources): string[] {
  return [...sources]
    .filter(([path, text]) => {
      const name = posix.basename(path);
      const header = `// ${name}: `;
      const first = text.replace(/^#!.*\n/, '');
      return name !== 'index.ts' && !(first.startsWith(header) && /^\S/.test(first.slice(header.length)));
    })
    .map(([path]) => `${path}: does not begin with "// ${posix.basename(path)}: …"`);
}

/** A folder named for what it is not about. */
export function vaguelyNamed(paths: readonly string[]): string[] {
  return paths.filter((path) =>
    posix
      .dirname(path)
      .split('/')
      .some((folder) => vagueNames.includes(folder)),
  );
}

function layerOf(path: string): string {
  const [top, folder] = path.split('/');
  if (top !== 'src') return top ?? path;
  return folder === undefined || folder.endsWith('.ts') ? 'src' : folder;
}

type Import = { readonly from: string; readonly module: string; readonly target: string | null };

function eachImport(sources: Sources, violation: (found: Import) => string | null): string[] {
  return [...sources].flatMap(([from, text]) =>
    importsOf(text)
      .map((module) => violation({ from, module, target: resolveImport(from, module, sources) }))
      .filter((line) => line !== null),
  );
}
