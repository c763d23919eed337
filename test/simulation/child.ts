// child.ts: a process that simulates chunks of seeds for main.ts and answers with what they amount to. What a history throws,
// or leaves rejected and not caught, is wrong with that history.

import { judge } from './judge.js';
import { simulate } from './simulate.js';
import { count, newTally, type Tally } from './tally.js';

export type Chunk = { readonly from: number; readonly to: number };

// Nobody reads them, and they cost as much as what is simulated.
Error.stackTraceLimit = 0;

let seed = 0;
const thrown: string[] = [];
process.on('unhandledRejection', (error) => thrown.push(`not caught: ${error}`));
process.on('uncaughtException', (error) => thrown.push(`thrown: ${error}`));

async function simulateAll({ from, to }: Chunk): Promise<Tally> {
  const tally = newTally();
  for (seed = from; seed < to; seed += 1) {
    try {
      const history = await simulate(seed);
      count(tally, history, [...judge(history), ...thrown.splice(0)]);
    } catch (error) {
      tally.seeds += 1;
      tally.failures.push({ seed, violated: [`the simulation failed: ${error}`, ...thrown.splice(0)] });
    }
  }
  return tally;
}

process.on('message', async (chunk: Chunk) => {
  process.send?.(await simulateAll(chunk));
});
process.on('disconnect', () => process.exit());
