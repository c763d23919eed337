#!/usr/bin/env node
// main.ts: one chaos run from the command line: starts an installation, loads it, breaks it by a plan drawn from the seed,
// waits until all is over, leaves the evidence (evidence.ts) and has it judged. Exits 1 when a promise was
// broken, 3 when the run says nothing.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { run } from './drive.js';

type Flags = { readonly minutes: number; readonly seed: number; readonly out?: string };

function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It is not a number within ${min} – ${max}.`);
  };
}

const exitCodes = { passed: 0, broken: 1, void: 3 } as const;

const command = new Command('chaos')
  .description('Runs an installation of real processes, breaks it for some minutes, and judges what it did')
  .option('--minutes <n>', 'how long it is broken', number(1.5, 600), 2)
  .option('--seed <n>', 'what the plan and the load are drawn from', number(0, 2 ** 31), 1)
  .option(
    '--out <folder>',
    'an empty folder for the evidence; without it, one that is removed unless something is wrong',
  )
  .action(async ({ minutes, seed, out }: Flags) => {
    const folder = out === undefined ? mkdtempSync(`${tmpdir()}/claimkeeper-chaos-`) : resolve(out);
    mkdirSync(folder, { recursive: true });
    const outcome = await run({ minutes, seed, folder });
    if (outcome === 'passed' && out === undefined) rmSync(folder, { recursive: true });
    else console.log(`evidence: ${folder}`);
    process.exitCode = exitCodes[outcome];
  });

await command.parseAsync();
