// completion.ts: `claimkeeper completion`: what a shell needs to complete the command line. Derived from the commands
// themselves, so that it knows all of them and no other.

import type { Command, Option } from 'commander';
import { examples } from './flags.js';
import type { Terminal } from './terminal.js';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

/** A command by the words that lead to it: `''`, `' get'`, `' keys create'`. */
type Place = {
  readonly path: string;
  readonly commands: readonly Word[];
  readonly flags: readonly Flag[];
};
type Word = { readonly name: string; readonly help: string };
/** `values`: what may follow; `file` anything that a path may be, null no value. */
type Flag = {
  readonly names: readonly string[];
  readonly help: string;
  readonly values: readonly string[] | 'file' | 'any' | null;
};

export function addCompletion(root: Command, terminal: Terminal): void {
  const command = root
    .command('completion')
    .description('Prints what lets a shell complete commands and flags')
    .argument('<shell>', shells.join(', '))
    .action((shell: string) => {
      const known = shells.find((each) => each === shell);
      if (known === undefined)
        command.error(`error: there is no completion for ${shell}, but for ${shells.join(', ')}`);
      else terminal.print(completionOf(root, known));
    });
  examples(command, [
    'claimkeeper completion bash > ~/.local/share/bash-completion/completions/claimkeeper',
    'source <(claimkeeper completion zsh)',
    'claimkeeper completion fish > ~/.config/fish/completions/claimkeeper.fish',
  ]);
}

function completionOf(root: Command, shell: Shell): string {
  const places = placesBelow(root, '');
  return shell === 'fish' ? ofFish(places) : shell === 'bash' ? ofBash(places) : ofZsh(places);
}

function placesBelow(command: Command, path: string): Place[] {
  const help = command.createHelp();
  const commands = help
    .visibleCommands(command)
    .map((each) => ({ name: each.name(), help: help.subcommandDescription(each) }));
  const flags = help.visibleOptions(command).map(flagOf);
  const below = command.commands.flatMap((each) => placesBelow(each, `${path} ${each.name()}`));
  return [{ path, commands, flags }, ...below];
}

function flagOf(option: Option): Flag {
  const names = [option.short, option.long].filter((name) => name !== undefined && name !== null);
  const takesFile = /<file>/.test(option.flags);
  const values =
    option.argChoices ?? (takesFile ? 'file' : option.required || option.optional ? 'any' : null);
  return { names, help: option.description, values };
}

/** The words of a `case` that finds out which command the line is at: each path but the root's. */
function pathsOf(places: readonly Place[]): string {
  return places
    .filter(({ path }) => path !== '')
    .map(({ path }) => `'${path}'`)
    .join(' | ');
}

function wordsOf({ commands, flags }: Place): string {
  return [...commands.map(({ name }) => name), ...flags.flatMap(({ names }) => names)].join(' ');
}

/** Each flag that takes a value, as the words `command flag`. */
function valued(
  places: readonly Place[],
): { readonly at: string; readonly values: NonNullable<Flag['values']> }[] {
  return places.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, values }) =>
      values === null ? [] : [{ at: names.map((name) => `'${path} ${name}'`).join(' | '), values }],
    ),
  );
}

function ofBash(places: readonly Place[]): string {
  // As bash 3.2 has it, which macOS comes with. No reply means files.
  const reply = (words: string): string => `COMPREPLY=($(compgen -W '${words}' -- "$current"))`;
  const after = valued(places).map(({ at, values }) => {
    const words = typeof values === 'string' ? 'COMPREPLY=()' : reply(values.join(' '));
    return `    ${at}) ${words}; return ;;`;
  });
  const words = places.map((place) => `    '${place.path}') ${reply(wordsOf(place))} ;;`);
  return `# bash completion for claimkeeper
_claimkeeper() {
  local current=\${COMP_WORDS[COMP_CWORD]} at= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
    ${pathsOf(places)}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at \${COMP_WORDS[COMP_CWORD - 1]}" in
${after.join('\n')}
  esac
  case "$at" in
${words.join('\n')}
  esac
}
complete -o default -F _claimkeeper claimkeeper`;
}

function ofZsh(places: readonly Place[]): string {
  const after = valued(places).map(({ at, values }) => {
    const then =
      values === 'file' ? '_files' : values === 'any' ? '_message value' : `compadd -- ${values.join(' ')}`;
    return `    ${at}) ${then}; return ;;`;
  });
  const words = places.map((place) => `    '${place.path}') compadd -- ${wordsOf(place)} ;;`);
  return `#compdef claimkeeper
_claimkeeper() {
  local at= i
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
    ${pathsOf(places)}) at="$at \${words[i]}" ;;
    esac
  done
  case "$at \${words[CURRENT - 1]}" in
${after.join('\n')}
  esac
  case "$at" in
${words.join('\n')}
  esac && return
  [[ "\${words[CURRENT]}" == -* ]] || _files
}
# Sourced, or found by zsh as a file of this name.
if [[ "\${funcstack[1]}" == _claimkeeper ]]; then _claimkeeper; else compdef _claimkeeper claimkeeper; fi`;
}

function ofFish(places: readonly Place[]): string {
  return [
    '# fish completion for claimkeeper',
    'complete -c claimkeeper -f',
    ...places.flatMap(fishLines),
  ].join('\n');
}

function fishLines({ path, commands, flags }: Place): string[] {
  const here = path.split(' ').slice(1);
  const below = commands.map(({ name }) => name).join(' ');
  const when = [
    ...here.map((word) => `__fish_seen_subcommand_from ${word}`),
    ...(below === '' ? [] : [`not __fish_seen_subcommand_from ${below}`]),
  ].join('; and ');
  const line = `complete -c claimkeeper${when === '' ? '' : ` -n ${quoted(when)}`}`;
  return [
    ...commands.map(({ name, help }) => `${line} -a ${name} -d ${quoted(help)}`),
    ...flags.map(({ names, help, values }) => {
      const spelt = names.map((name) => name.replace(/^--/, '-l ').replace(/^-(?!l )/, '-s '));
      return `${line} ${spelt.join(' ')}${fishValues(values)} -d ${quoted(help)}`;
    }),
  ];
}

function fishValues(values: Flag['values']): string {
  if (values === null) return '';
  if (values === 'file') return ' -r -F';
  return values === 'any' ? ' -x' : ` -x -a '${values.join(' ')}'`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
