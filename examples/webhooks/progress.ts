// progress.ts: how far the example is: a bar on a terminal, plain lines when piped.

import { Presets, SingleBar } from 'cli-progress';

export function showProgress(total: number, done: () => number): { stop(): void } {
  if (!process.stdout.isTTY) return plainLines(total, done);
  const bar = new SingleBar(
    { format: ' {bar} {value}/{total} webhooks, {duration_formatted}' },
    Presets.shades_classic,
  );
  bar.start(total, 0);
  const timer = setInterval(() => bar.update(done()), 100);
  return {
    stop() {
      clearInterval(timer);
      bar.update(done());
      bar.stop();
    },
  };
}

function plainLines(total: number, done: () => number): { stop(): void } {
  const print = (): void => console.log(`${done()}/${total} webhooks have arrived`);
  const timer = setInterval(print, 2_000);
  return {
    stop() {
      clearInterval(timer);
      print();
    },
  };
}
