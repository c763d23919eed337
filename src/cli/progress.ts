// progress.ts: how far a submission is, as a bar on a terminal.

import { Presets, SingleBar } from 'cli-progress';

export type Counts = { readonly created: number; readonly same: number; readonly refused: number };

export type Progress = {
  /** How many lines have had which outcome. */
  show(counts: Counts): void;
  /** Makes room for a line; the bar is drawn again below it. */
  clear(): void;
  /** Leaves the bar as it stands. */
  stop(): void;
};

/** Lines that were there already count as done: a submission that is repeated moves on from where it had come to. */
export function showProgress(screen: NodeJS.WritableStream, total: number): Progress {
  const format = ' {bar} {value}/{total} lines: {created} created, {same} already there, {refused} refused';
  const bar = new SingleBar({ format, stream: screen, hideCursor: true }, Presets.shades_classic);
  let counts: Counts = { created: 0, same: 0, refused: 0 };
  bar.start(total, 0, counts);
  return {
    show(now) {
      counts = { ...now };
      bar.update(now.created + now.same + now.refused, counts);
    },
    clear: () => void screen.write('\r\u001b[K'),
    stop: () => bar.stop(),
  };
}
