// overview-twin.ts: lists, queues and events of the API's service, in memory: for tests of the API's shapes and of its clients.

import type { FeedItem } from '../../src/delivery/index.js';
import {
  coversQueue,
  type EpochMs,
  type FollowInput,
  type ListInput,
  parseFollowing,
  parseListing,
  type State,
  states,
  type TaskSummary,
} from '../../src/domain/index.js';
import type { OverviewService } from '../../src/http/index.js';

export class OverviewTwin implements OverviewService {
  summaries: readonly TaskSummary[] = [];
  feed: readonly FeedItem[] = [];
  rebuilding = false;
  overviewFailure: unknown = null;
  readonly paused = new Map<string, EpochMs>();
  /** What was asked, as it came. */
  readonly asked: (ListInput | FollowInput)[] = [];
  /** Streams that nobody has ended. */
  following = 0;

  async list(input: ListInput) {
    this.asked.push(input);
    const query = parseListing(input);
    this.#fail();
    const tasks = this.summaries.filter(({ state }) => query.state === null || state === query.state);
    return { tasks: tasks.slice(0, query.limit), cursor: null, rebuilding: this.rebuilding };
  }

  async queues() {
    this.#fail();
    const names = [...new Set(this.summaries.map(({ queue }) => String(queue)))].sort();
    const queues = names.map((queue) => ({
      queue,
      counts: Object.fromEntries(
        states.map((state) => [
          state,
          this.summaries.filter((task) => task.queue === queue && task.state === state).length,
        ]),
      ) as Record<State, number>,
      oldestDueMs: 1_500,
      paused: this.paused.has(queue),
      pausedSince: this.paused.get(queue) ?? null,
    }));
    return { queues, rebuilding: this.rebuilding };
  }

  async pauseQueue(queue: string) {
    this.#fail();
    this.paused.set(queue, 0 as EpochMs);
    return { paused: true, since: 0 as EpochMs };
  }

  async resumeQueue(queue: string) {
    this.#fail();
    this.paused.delete(queue);
    return { paused: false, since: 0 as EpochMs };
  }

  async events(input: FollowInput, signal: AbortSignal): Promise<AsyncGenerator<FeedItem, void, void>> {
    this.asked.push(input);
    const { queues } = parseFollowing(input);
    this.#fail();
    return this.#events(queues, signal);
  }

  /** What there is, and then nothing until the end. */
  async *#events(queues: readonly string[], signal: AbortSignal): AsyncGenerator<FeedItem, void, void> {
    this.following += 1;
    try {
      yield* this.feed.filter((item) => item.kind !== 'event' || coversQueue(queues, item.task.queue));
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } finally {
      this.following -= 1;
    }
  }

  #fail(): void {
    if (this.overviewFailure !== null) throw this.overviewFailure;
  }
}
