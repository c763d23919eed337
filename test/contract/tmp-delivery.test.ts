// tmp-delivery.test.ts: x
import { expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../infra/servers.js';
import { Deliveries, Intake } from '../../src/delivery/index.js';
import { createLogger, systemClock, systemRandom } from '../../src/runtime/index.js';
import { startProxy } from '../support/proxy.js';

const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms));
for (const how of ['blackhole', 'freeze', 'cut'] as const) for (const lastMs of [8_000, 20_000])
  test(`${how} ${lastMs}`, { timeout: 120_000 }, async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const proxy = await startProxy(redis.port);
    onTestFinished(() => proxy.stop());
    const runtime = { clock: systemClock, random: systemRandom, log: createLogger('info') };
    const url = `redis://127.0.0.1:${proxy.port}`;
    const deliveries = new Deliveries({ redisUrl: url, prefix: 'x' }, runtime);
    await deliveries.start();
    onTestFinished(() => deliveries.stop());
    const intake = new Intake({ redisUrl: url, prefix: 'x', queue: 'q' as never }, runtime);
    await intake.start();
    onTestFinished(() => intake.stop());
    const taken: { id: string; at: number }[] = [];
    const t0 = performance.now();
    void (async () => {
      for (;;) {
        const e = await intake.take();
        if (e === null) return;
        for (const id of e.ids) taken.push({ id, at: performance.now() - t0 });
        await e.done();
      }
    })();
    const hint = (id: string) => deliveries.deliver([{ id: id as never, queue: 'q' as never, priority: 0, notBefore: null }]);
    hint('before');
    await sleep(500);
    if (how === 'blackhole') proxy.blackhole(true);
    if (how === 'freeze') redis.freeze();
    if (how === 'cut') { await proxy.refuse(true); proxy.cut(); }
    const at = performance.now();
    while (performance.now() - at < lastMs) { hint(`during-${Math.round(performance.now() - at)}`); await sleep(1000); }
    if (how === 'blackhole') proxy.blackhole(false);
    if (how === 'freeze') redis.thaw();
    if (how === 'cut') await proxy.refuse(false);
    const healed = performance.now() - t0;
    for (let i = 0; i < 20; i++) { hint(`after-${i}`); await sleep(1000); }
    console.log(how, lastMs, 'healed', healed, JSON.stringify(taken.map((x) => [x.id, Math.round(x.at - healed)])));
    expect(taken.map((x) => x.id)).toContain('after-19');
    expect(new Set(taken.map((x) => x.id)).size).toBe(1 + lastMs / 1000 + 20);
  });
