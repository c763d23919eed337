// disk.ts: a disk of our own, so that it can be full.

import { open } from 'node:fs/promises';

const chunk = Buffer.alloc(1024 * 1024);

/** Writes to `file` until there is no room for one more byte. */
export async function fillDisk(file: string): Promise<void> {
  const handle = await open(file, 'w');
  try {
    for (let size = chunk.length; size > 0; ) {
      const written = await handle.write(chunk, 0, size).then(
        ({ bytesWritten }) => bytesWritten,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOSPC') throw error;
          return 0;
        },
      );
      if (written === 0) size = Math.floor(size / 2);
    }
  } finally {
    await handle.close();
  }
}
