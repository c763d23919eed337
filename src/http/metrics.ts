// metrics.ts: what this process has done, for Prometheus. Owns the names and labels: a route is named as it was declared and
// a code by the registry, so that no client can make up series.

import type { FastifyInstance } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { SubmitOutcome, TaskService } from './port.js';

/** The runtime's own, of the process and not of an API in it: made once, as prom-client cannot take its observers back. */
let ofProcess: Registry | null = null;

const methodsKnown = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'];
const sessionStates = ['connecting', 'connected', 'suspended', 'lost', 'closed', 'unproven', 'halted'];

export class Metrics {
  readonly #registry = new Registry();
  readonly #service: TaskService;
  readonly #durations = new Histogram({
    name: 'claimkeeper_http_request_duration_seconds',
    help: 'From a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [this.#registry],
  });
  readonly #accepted = new Counter({
    name: 'claimkeeper_submissions_total',
    help: 'Submissions by outcome: created, same, or the code of the refusal.',
    labelNames: ['outcome'],
    registers: [this.#registry],
  });

  constructor(service: TaskService) {
    this.#service = service;
    this.#addStats();
  }

  /** Measures what is answered from now on. */
  watch(app: FastifyInstance): void {
    app.addHook('onResponse', async ({ method, routeOptions }, reply) => {
      const known = methodsKnown.includes(method) ? method : 'other';
      const labels = { method: known, route: routeOptions.url ?? 'none', status: reply.statusCode };
      this.#durations.observe(labels, reply.elapsedTime / 1_000);
    });
  }

  count(outcomes: readonly SubmitOutcome[]): void {
    for (const outcome of outcomes) {
      this.#accepted.inc({ outcome: outcome.kind === 'refused' ? outcome.error.code : outcome.kind });
    }
  }

  /** In Prometheus's text format. */
  async text(): Promise<string> {
    ofProcess ??= processRegistry();
    return Registry.merge([this.#registry, ofProcess]).metrics();
  }

  #addStats(): void {
    const service = this.#service;
    const registers = [this.#registry];
    const commits = {
      multis: 'multis sent',
      operations: 'operations in them',
      transactions: 'transactions in them',
    };
    for (const [key, what] of Object.entries({ ...commits, refusedMultis: 'multis refused' })) {
      new Counter({
        name: `claimkeeper_commit_${key === 'refusedMultis' ? 'refused_multis' : key}_total`,
        help: `Group commit: ${what}.`,
        registers,
        collect() {
          this.reset();
          this.inc(service.stats().commits[key as keyof typeof commits]);
        },
      });
    }
    const dropped = {
      deliveries: ['deliveriesDropped', 'Deliveries given up; the reconciler repeats them.'],
      view_words: ['viewWordsDropped', 'Words for the read model given up; the reconciler repairs it.'],
    } as const;
    for (const [name, [key, help]] of Object.entries(dropped)) {
      new Counter({
        name: `claimkeeper_${name}_dropped_total`,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(service.stats()[key]);
        },
      });
    }
    new Gauge({
      name: 'claimkeeper_zookeeper_session',
      help: '1 for the state that the ZooKeeper session is in.',
      labelNames: ['state'],
      registers,
      collect() {
        const { zookeeper } = service.ready();
        for (const state of sessionStates) this.set({ state }, state === zookeeper ? 1 : 0);
      },
    });
    new Gauge({
      name: 'claimkeeper_redis_ready',
      help: '1 while Redis answers.',
      registers,
      collect() {
        this.set(service.ready().redis === 'ready' ? 1 : 0);
      },
    });
  }
}

function processRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}
