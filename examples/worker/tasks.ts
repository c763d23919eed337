// tasks.ts: a module for `claimkeeper worker`: its default export is a list of task types. This one reads a file from the web
// and says its checksum: it has no effects, so that it may be run again wherever a worker died.

import { createHash } from 'node:crypto';
import { defineTask, NonRetryable } from '../../src/index.js';

const checksum = defineTask<{ url: string }>('checksum', {
  retry: { attempts: 4, delayMsMin: 1_000 },
  timeoutMs: 5 * 60_000,
  onInterrupted: 'rerun',
  handler: async ({ url }, { signal, progress, log }) => {
    const response = await fetch(url, { signal }); // Stops when the attempt must.
    if (response.status >= 400 && response.status < 500)
      throw new NonRetryable(`${url} answered ${response.status}`);
    if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}`);
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of response.body) {
      hash.update(chunk);
      bytes += chunk.length;
      progress({ bytes }); // Shown by `claimkeeper get` while the task runs.
    }
    log.info({ bytes }, 'read');
    return { bytes, sha256: hash.digest('hex') };
  },
});

export default [checksum];
