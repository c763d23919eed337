// task.ts: the tasks of a run: numbered from 0, all alike, so that a process can make them by itself and count them by number.

export type Payload = { readonly n: number; readonly text: string };

export type Task = { readonly id: string; readonly payload: Payload };

/** Tasks `from` … `from + count - 1`, with payloads of `bytes` as JSON. */
export type Batch = { readonly from: number; readonly count: number; readonly bytes: number };

export function tasksOf({ from, count, bytes }: Batch): Task[] {
  return Array.from({ length: count }, (_, i) => taskOf(from + i, bytes));
}

function taskOf(n: number, bytes: number): Task {
  const frame = JSON.stringify({ n, text: '' }).length;
  return { id: `task-${n}`, payload: { n, text: 'x'.repeat(Math.max(0, bytes - frame)) } };
}

export function numberOf(id: string): number {
  return Number(id.slice('task-'.length));
}
