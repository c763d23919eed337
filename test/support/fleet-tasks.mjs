// fleet-tasks.mjs: the task types that worker processes of the tests run. Every effect goes to the witness.

import { defineTask } from '../../dist/src/index.js';

const witness = process.env.WITNESS_URL;

async function effect({ task, attempt, fence, signal }) {
  const query = new URLSearchParams({ task: task.id, attempt, fence, pid: process.pid });
  const response = await fetch(`${witness}/effect?${query}`, { method: 'POST', signal });
  if (!response.ok) throw new Error(`the witness answered ${response.status}`);
  await response.text();
  return { attempt, pid: process.pid };
}

export default [
  defineTask('effect', {
    timeoutMs: 60_000,
    handler: (payload, context) => {
      context.progress({ doing: payload });
      return effect(context);
    },
  }),
  defineTask('verified', {
    timeoutMs: 60_000,
    onInterrupted: 'verify',
    handler: (_payload, context) => effect(context),
    verify: async ({ id }) => (await fetch(`${witness}/verify?task=${encodeURIComponent(id)}`)).json(),
  }),
  defineTask('flaky', {
    retry: { attempts: 5, delayMsMin: 400, factor: 10, delayMsMax: 4_000 },
    breaker: { attemptsMin: 1_000 },
    handler: async ({ failures }, context) => {
      await effect(context);
      if (context.attempt <= failures) throw new Error(`failing on purpose, attempt ${context.attempt}`);
      return context.attempt;
    },
  }),
  defineTask('downstream', {
    retry: { attempts: 50, delayMsMin: 20, delayMsMax: 100 },
    breaker: { attemptsMin: 5, errorPercentMax: 50, windowMs: 5_000, openMs: 1_000 },
    handler: (_payload, context) => effect(context),
  }),
];
