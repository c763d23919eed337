// verdict.test.ts: a run in which all is well is judged good, with the figures that it has; whatever spoils it is found, and a
// run that was not hard enough is void.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { graceMs, MadeRun, root, sessionTimeoutMs } from './made-run.js';
import { writeReport } from './report.js';
import type { LoggedOp } from './transaction-log.js';
import { judge, type RunOutcome, type Verdict } from './verdict.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claimkeeper-verdict-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Spoil = (run: MadeRun) => void;

/**
 * Ten seconds: twenty tasks, one of them retried. worker-2 is killed while it runs two, of which one may be rerun. The ensemble
 * loses its leader, worker-1 its network.
 */
async function judged(spoil: Spoil = () => undefined): Promise<Verdict> {
  const run = new MadeRun();
  const [scheduler, first, second] = [
    run.process('scheduler-1', 'scheduler', 101),
    run.process('worker-1', 'worker', 102),
    run.process('worker-2', 'worker', 103),
  ];
  for (let n = 1; n <= 18; n += 1) {
    const id = `t${n}`;
    run.submit(id);
    run.now += 10;
    run.claim(first, id);
    if (n === 1) {
      run.now += 20;
      run.fail(first, id);
      run.claim(first, id);
    }
    if (n === 6) run.fault('black-hole', 'worker-1', 60);
    if (n === 9) {
      run.fault('leader-kill', 'zookeeper-2', 50);
      run.now += 40;
      run.epoch = 2;
    }
    run.now += 30;
    run.complete(first, id);
  }
  run.submit('parked');
  run.submit('rerun', 'rerun');
  run.claim(second, 'parked');
  run.claim(second, 'rerun');
  run.now += 50;
  run.tell('effect', 'parked', 103);
  run.fault('worker-kill', 'worker-2', 500);
  const { life } = second;
  run.processes[run.processes.indexOf(life)] = { ...life, to: run.at(), end: 'killed' };
  run.now += sessionTimeoutMs;
  run.expire(second, ['parked', 'rerun']);
  run.now += graceMs;
  run.interrupt(scheduler, 'parked');
  run.now += 100;
  run.interrupt(scheduler, 'rerun');
  run.now += 200;
  run.claim(first, 'rerun');
  run.now += 30;
  run.complete(first, 'rerun');
  spoil(run);
  await run.save(folder);
  return judge(folder);
}

function violated({ findings }: Verdict): string[] {
  return findings
    .filter((finding) => finding.violated.length > 0)
    .map(({ name }) => name.split(' ')[0] ?? '');
}

describe('a run in which all is well', () => {
  test('is good, and nothing that it could have checked was left out', async () => {
    const verdict = await judged();
    expect([violated(verdict), verdict.void]).toEqual([[], []]);
    expect(verdict.outcome).toBe('passed');
    const unchecked = verdict.findings.filter(({ checked }) => checked === 0).map(({ name }) => name);
    expect(unchecked).toEqual([
      'I5 recorded as not executed means that there was none',
      'I10 one task per schedule and tick',
      'I13 trust in a session ends before the session',
      'P1 a handler starts under a claim that stands',
    ]);
  });

  test('has its figures', async () => {
    const verdict = await judged();
    expect(verdict.tasks).toEqual({
      acknowledged: 20,
      accepted: 20,
      completed: 19,
      failed: 0,
      cancelled: 0,
      uncertain: 1,
      lost: 0,
      doubled: 0,
    });
    expect(verdict.uncertain).toEqual({ recall: 1, precision: 1 });
    const byKind = Object.fromEntries(verdict.kinds.map((kind) => [kind.kind, kind]));
    // Until the rerun was claimed anew.
    expect(byKind['worker-kill']?.recovery?.max).toBe(sessionTimeoutMs + graceMs + 300);
    expect(byKind['worker-kill']?.inFlight).toBe(2);
    // From the last commit under the old leader to the first under the new one.
    expect(byKind['leader-kill']?.recovery?.max).toBe(70);
    // Ended 60 ms after it began; the next task of worker-1 was completed at 70.
    expect(byKind['black-hole']?.recovery?.max).toBe(10);
    // In the one second with submits.
    expect(verdict.throughput.perSecond).toBe(18);
    expect(verdict.throughput.perSecondMin).toBeCloseTo(20 / 3, 9);
    expect(verdict.seconds.reduce((sum, { completed }) => sum + completed, 0)).toBe(19);
    expect(verdict.log).toEqual({ servers: 3, transactions: 69, left: 0 });
  });

  test('has no time in its recovery in which no scheduler could lead, and has all other time', async () => {
    const verdict = await judged((run) => {
      run.process('scheduler-2', 'scheduler', 104);
      const killedAt = run.faults.find(({ kind }) => kind === 'worker-kill')?.from ?? 0;
      const lay = (kind: string, on: string, fromMs: number, toMs: number): void => {
        const [from, to] = [killedAt + fromMs, killedAt + toMs];
        run.faults.push({ id: run.faults.length + 1, kind, on, from, to });
      };
      lay('no-zookeeper', 'scheduler-1', 1_500, 2_500);
      lay('scheduler-freeze', 'scheduler-1', 1_000, 2_000);
      lay('black-hole', 'scheduler-2', 1_800, 3_000); // Nobody leads for 700 ms.
      lay('cut-inbound', 'scheduler-1', 3_000, 3_500);
      for (const kind of ['latency', 'lost-replies', 'no-redis', 'half-open'])
        lay(kind, 'scheduler-2', 3_000, 3_500);
    });
    const killed = verdict.kinds.find(({ kind }) => kind === 'worker-kill');
    expect(killed?.recovery?.max).toBe(sessionTimeoutMs + graceMs + 300 - 700);
  });

  test('has no time in its recovery in which a server was under a fault and the ensemble committed nothing', async () => {
    const recoveryMsMax = async (spoil: Spoil): Promise<number> => {
      const { kinds } = await judged(spoil);
      return kinds.find(({ kind }) => kind === 'worker-kill')?.recovery?.max ?? Number.NaN;
    };
    const whole = await recoveryMsMax(() => undefined);
    const less = await recoveryMsMax((run) => {
      const from = (run.faults.find(({ kind }) => kind === 'worker-kill')?.from ?? 0) + 1_000;
      run.faults.push({
        id: run.faults.length + 1,
        kind: 'leader-freeze',
        on: 'zookeeper-2',
        from,
        to: from + 1,
      });
    });
    expect(whole - less).toBeGreaterThan(1_000);
  });

  test('a scheduler that did not lead has nothing to recover from', async () => {
    const recoveryOf = async (name: string): Promise<number | null | undefined> => {
      const { faults } = await judged((run) => {
        const leader = run.process(name, 'scheduler', 105);
        run.process('scheduler-3', 'scheduler', 106);
        const term = (version: number): LoggedOp => {
          return { kind: 'set', path: `${root}/leader/term`, data: Buffer.from(''), version };
        };
        run.write(leader.session, [term(1)]);
        run.trust.push({ pid: 105, session: leader.session, trusted: true, at: run.at() });
        run.fault('scheduler-freeze', 'scheduler-2', 5_000);
        run.now += 4_500;
        run.write(leader.session, [], 'expired');
        run.now += 100;
        run.write('desk', [term(2)]);
      });
      return faults.find(({ kind, on }) => kind === 'scheduler-freeze' && on === 'scheduler-2')?.recoveryMs;
    };
    expect(await recoveryOf('scheduler-2')).toBe(4_600);
    expect(await recoveryOf('scheduler-4')).toBeNull();
  });
});

describe('what spoils it is found', () => {
  const ledgerWord = 'what';
  test.each<[what: string, spoil: Spoil, violated: readonly string[]]>([
    [
      'a task that was acknowledged and is not there',
      (run) =>
        run.answers.push({ call: 'submit', task: 'ghost', at: run.at(), until: run.at(), status: 201 }),
      ['I1'],
    ],
    [
      'an effect of an attempt that nobody claimed',
      (run) => {
        const line = run.witness.find(({ task }) => task === 't2');
        if (line !== undefined) run.witness.push({ ...line, kind: 'effect', attempt: 2, at: run.at() });
      },
      ['I2', 'I3', 'I6'],
    ],
    ['an effect that happened twice', (run) => run.witness.push(...run.witness.slice(-1)), ['I3']],
    [
      'a handler that was called before its claim',
      (run) => {
        const [line] = run.witness;
        if (line !== undefined) run.witness[0] = { ...line, at: line.at - 20 };
      },
      ['P1'],
    ],
    [
      'a write by another worker',
      (run) => {
        const session = run.trust[1]?.session ?? '';
        const at = run.written.findIndex(({ ops }) => ops.some(({ kind }) => kind === 'set'));
        const write = run.written[at + 1];
        if (write !== undefined) run.written[at + 1] = { ...write, session };
      },
      ['I4', 'I8'],
    ],
    [
      'an id with two contents',
      (run) => {
        const [line] = run.answers;
        if (line !== undefined) run.answers.push({ ...line, body: 'another', status: 200 });
      },
      ['I9'],
    ],
    [
      'an end that came too late',
      (run) => {
        run.facts = { settledAt: run.at(600_000) };
      },
      ['I12'],
    ],
    [
      'an end that never came',
      (run) => {
        run.facts = { settledAt: null };
      },
      ['I12'],
    ],
    [
      'something left over',
      (run) => {
        run.facts = { leftOver: ['/claims/x'] };
      },
      ['nothing'],
    ],
    [
      'a process that crashed',
      (run) => {
        const [life] = run.processes;
        if (life !== undefined) run.processes[0] = { ...life, to: run.at(), end: 'crashed' };
      },
      ['nothing'],
    ],
    [
      'a claim that nobody dropped',
      (run) => {
        run.expire = () => undefined;
        const end = run.written.findIndex(({ kind }) => kind === 'expired');
        run.written.splice(end, 1);
      },
      ['I8', 'nothing'],
    ],
    [
      'an uncertain task without a fault on its worker',
      (run) => {
        run.faults.splice(
          run.faults.findIndex(({ kind }) => kind === 'worker-kill'),
          1,
        );
      },
      ['uncertain'],
    ],
    [
      'a move that the ledger does not show',
      (run) => {
        const end = run.written.at(-1);
        const [op] = end?.ops.filter(({ kind }) => kind === 'set') ?? [];
        if (op?.kind === 'set') run.write('desk', [{ ...op, version: op.version + 1 }]);
      },
      ['I8', ledgerWord],
    ],
  ])('%s', async (_what, spoil, names) => {
    const verdict = await judged(spoil);
    expect([...new Set(violated(verdict))]).toEqual(names);
    expect(verdict.outcome).toBe('broken');
  });

  test('a session that was trusted when the server ended it, its process undisturbed', async () => {
    const cutOff: Spoil = (run) => {
      run.fault('black-hole', 'worker-1', sessionTimeoutMs);
      run.now += sessionTimeoutMs - 1;
      const worker = run.processes.find(({ name }) => name === 'worker-1');
      const session = run.trust.find(({ pid }) => pid === worker?.pid)?.session ?? '';
      run.write(session, [], 'expired');
    };
    const inTime: Spoil = (run) => {
      const [line] = run.trust;
      run.now += 3_000;
      if (line !== undefined) run.trust.push({ ...line, trusted: false, at: run.at() });
      run.now -= 3_000;
      cutOff(run);
    };
    expect(violated(await judged(cutOff))).toEqual(['I13']);
    expect(violated(await judged(inTime))).toEqual([]);
  });
});

const flushedAfterwards: Spoil = (run) => {
  run.now += 100;
  run.fault('flushall', 'redis', 0);
};

describe('a run that was not hard enough has not passed: it is void, or broken where a promise was', () => {
  test.each<[what: string, spoil: Spoil, reason: string, violated: readonly string[], outcome: RunOutcome]>([
    ['no fault', (run) => run.faults.splice(0), 'no fault was laid', ['uncertain'], 'broken'],
    [
      'a kind of fault that met nothing',
      flushedAfterwards,
      'flushall met no task in flight, 1 times',
      [],
      'void',
    ],
    [
      'little was done for the load',
      (run) => {
        run.facts = { loadPerSecond: 1_000 };
      },
      'tasks were completed per second, less than 333.3',
      [],
      'void',
    ],
    [
      'too much did not complete',
      (run) => {
        for (let n = 0; n < 5; n += 1) run.submit(`late${n}`);
      },
      '19 of 25 tasks were completed, less than 90 %',
      ['I1'],
      'broken',
    ],
    [
      'little was acknowledged',
      (run) => {
        for (const [i, line] of run.answers.entries()) if (i > 8) run.answers[i] = { ...line, status: null };
      },
      'only 9 of 20 accepted tasks were acknowledged',
      [],
      'void',
    ],
    [
      'the log has a gap, and so is no witness to what it contradicts',
      (run) => {
        const at = run.written.findIndex(({ ops }) => ops.some(({ kind }) => kind === 'set'));
        run.written.splice(at, 1);
      },
      'the log has a gap',
      ['I4', 'I8', 'P1'],
      'void',
    ],
    [
      'something was never asked',
      (run) => {
        run.answers.splice(
          0,
          run.answers.length,
          ...run.answers.map((line) => ({ ...line, call: 'cancel' as const })),
        );
      },
      'not once checked: I9 one id, one content',
      [],
      'void',
    ],
  ])('%s', async (_what, spoil, reason, names, outcome) => {
    const verdict = await judged(spoil);
    expect(verdict.void.join('; ')).toContain(reason);
    expect([...new Set(violated(verdict))]).toEqual(names);
    expect(verdict.outcome).toBe(outcome);
  });
});

describe('the report', () => {
  test('says of a run what the verdict says, in one file that needs no other and no script', async () => {
    const verdict = await judged((run) =>
      run.answers.push({ call: 'submit', task: 'ghost<&>', at: run.at(), until: run.at(), status: 201 }),
    );
    const html = await readFile(await writeReport(folder, verdict), 'utf8');
    expect(html).not.toMatch(/<script|https?:|url\(|@import| src=/);
    for (const text of [
      'A promise was broken',
      'ghost&lt;&amp;&gt; is lost',
      'npm run chaos -- --minutes 1 --seed 7',
      'worker-kill on worker-2',
      ...verdict.findings.map(({ name }) => name),
      ...verdict.kinds.map(({ kind }) => kind),
    ])
      expect(html).toContain(text);
    expect(html.match(/<svg/g)).toHaveLength(3);
    expect(JSON.parse(await readFile(join(folder, 'report.json'), 'utf8'))).toEqual(verdict);
  });

  test.each<[string, Spoil]>([
    ['Passed', () => undefined],
    ['Void', flushedAfterwards],
  ])('says %s', async (word, spoil) => {
    const html = await readFile(await writeReport(folder, await judged(spoil)), 'utf8');
    expect(html).toContain(`">${word}</span>`);
  });
});
