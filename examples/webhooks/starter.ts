// starter.ts: whether whoever started the example still runs. `npm start` puts a shell between itself and this process, and
// the end of neither ends what it started.

import { readFileSync } from 'node:fs';

const lookEveryMs = 1_000;

/** Calls `gone` once the process that started this one has ended, or the one behind it when that is a shell. */
export function whenStarterEnds(gone: () => void): void {
  const { ppid } = process;
  const shell = lookUp(ppid);
  const behind = shell !== null && /^(ba|da|k|z|a)?sh$/.test(shell.name) ? shell.ppid : null;
  const timer = setInterval(() => {
    const same = process.ppid === ppid && (behind === null || lookUp(ppid)?.ppid === behind);
    if (same) return;
    clearInterval(timer);
    gone();
  }, lookEveryMs);
  timer.unref();
}

/** Null where there is no /proc to say so; macOS has a shell that steps aside for its only command. */
function lookUp(pid: number): { readonly name: string; readonly ppid: number } | null {
  try {
    const [, name, ppid] = /^\d+ \((.*)\) \S (\d+) /s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return name === undefined ? null : { name, ppid: Number(ppid) };
  } catch {
    return null;
  }
}
