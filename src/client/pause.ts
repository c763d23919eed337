// pause.ts: waiting, wherever this runs: the client is for any runtime, and src/runtime is for Node.js.

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}
