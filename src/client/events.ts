// events.ts: the stream of changes of state, read: server-sent events (WHATWG HTML, "Server-sent events") as the API writes them.

import type { Change } from './shapes.js';

/** `gap`: some are no longer kept. `quiet`: nothing has happened. `id` is where to go on. */
export type StreamItem =
  | { readonly kind: 'event'; readonly id: string | null; readonly change: Change }
  | { readonly kind: 'gap' | 'quiet'; readonly id: string | null };

type Texts = AsyncGenerator<string, void, undefined>;

/** Whoever stops reading ends the request. */
export async function* itemsOf(
  texts: (over: AbortSignal) => Texts,
  signal: AbortSignal | undefined,
): AsyncGenerator<StreamItem, void, undefined> {
  const over = new AbortController();
  const end = (): void => over.abort();
  if (signal?.aborted === true) return;
  signal?.addEventListener('abort', end);
  let rest = '';
  try {
    for await (const text of texts(over.signal)) {
      const parts = (rest + text).split('\n\n');
      rest = parts.pop() ?? '';
      for (const part of parts) yield itemIn(part);
    }
  } finally {
    signal?.removeEventListener('abort', end);
    end();
  }
}

/** What has no meaning here is left out. */
function itemIn(text: string): StreamItem {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name = '', value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name !== '') fields.set(name, value);
  }
  const id = fields.get('id') ?? null;
  const event = fields.get('event');
  if (event === 'task') return { kind: 'event', id, change: JSON.parse(fields.get('data') ?? '') as Change };
  return { kind: event === 'gap' ? 'gap' : 'quiet', id };
}
