// evidence-reader.ts: reads what a chaos run left behind (evidence.ts).

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AnswerLine, FaultLine, LedgerLine, RunFacts, TrustLine, WitnessLine } from './evidence.js';
import { historyOf, mergeLogs, readServerLog, type Step, type Transaction } from './transaction-log.js';

export type Evidence = {
  readonly run: RunFacts;
  readonly faults: readonly FaultLine[];
  readonly answers: readonly AnswerLine[];
  readonly witness: readonly WitnessLine[];
  readonly trust: readonly TrustLine[];
  readonly ledger: readonly LedgerLine[];
  readonly log: {
    readonly servers: number;
    readonly steps: readonly Step[];
    /** See {@link mergeLogs}. */
    readonly left: readonly Transaction[];
    /** See {@link historyOf}. */
    readonly gaps: readonly string[];
  };
};

export async function readEvidence(folder: string): Promise<Evidence> {
  const text = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  const lines = async <T>(name: string): Promise<T[]> =>
    (await text(`${name}.ndjson`))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T);
  const ledger = await lines<LedgerLine>('ledger');
  return {
    run: JSON.parse(await text('run.json')) as RunFacts,
    faults: await lines<FaultLine>('faults'),
    answers: await lines<AnswerLine>('answers'),
    witness: await lines<WitnessLine>('witness'),
    trust: await lines<TrustLine>('trust'),
    ledger,
    log: await readLog(join(folder, 'zookeeper'), ledger),
  };
}

async function readLog(folder: string, ledger: readonly LedgerLine[]): Promise<Evidence['log']> {
  const servers = (await readdir(folder)).filter((name) => /^\d+$/.test(name));
  const logs = await Promise.all(servers.map((name) => readServerLog(join(folder, name))));
  const versions = new Map(ledger.map(({ version, record }) => [(record as { id: string }).id, version]));
  const atTheEnd = (path: string): number | undefined =>
    versions.get(/\/tasks\/[0-9a-f]{2}\/([^/]+)$/.exec(path)?.[1] ?? '');
  const { transactions, left } = mergeLogs(logs, atTheEnd);
  const { steps, gaps } = historyOf(transactions);
  return { servers: servers.length, steps, left, gaps };
}
