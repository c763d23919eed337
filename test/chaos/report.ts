// report.ts: a chaos run's verdict to read: report.json and report.html, one file that needs nothing else, no host and no
// script. Owns the page; its pictures are report-charts.ts.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Quantiles } from './figures.js';
import { escaped, groups, recoveries, throughput, timeline } from './report-charts.js';
import type { RunOutcome, Verdict } from './verdict.js';

/** Writes both into `folder`; resolves with the page's path. */
export async function writeReport(folder: string, verdict: Verdict): Promise<string> {
  await writeFile(join(folder, 'report.json'), `${JSON.stringify(verdict, null, 2)}\n`);
  const path = join(folder, 'report.html');
  await writeFile(path, page(verdict));
  return path;
}

const style = `
:root { color-scheme: light dark; --page: #fff; --ink: #1c2024; --soft: #5b646d; --rule: #e2e6ea; --panel: #f6f8fa;
  --good: #1a7f4b; --bad: #c62f3a; --void: #9a6700; --life: #cfd6dd; --shade: #64748b;
  --process: #c2410c; --network: #7c3aed; --zookeeper: #b91c5c; --redis: #0f766e; --task: #a16207; --line: #1d6fdc; --line2: #8b98a5; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --ink: #e6e9ec; --soft: #9aa5b1; --rule: #2b3138; --panel: #1c2126;
  --good: #4ac98a; --bad: #ff7b84; --void: #e3b341; --life: #3b444d; --shade: #94a3b8;
  --process: #fb923c; --network: #a78bfa; --zookeeper: #f472b6; --redis: #2dd4bf; --task: #facc15; --line: #6cb0ff; --line2: #77838f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 24px 60px; max-width: 1128px; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 26px; } h2 { margin: 36px 0 8px; font-size: 18px; }
code { font: 13px ui-monospace, monospace; background: var(--panel); padding: 2px 5px; border-radius: 4px; overflow-wrap: anywhere; }
p { margin: 6px 0; max-width: 80ch; } .soft { color: var(--soft); font-size: 13.5px; }
.head { display: flex; gap: 16px; align-items: center; flex-wrap: wrap; }
.badge { padding: 3px 14px; border-radius: 99px; border: 2px solid; font-weight: 650; }
.good { color: var(--good); } .bad { color: var(--bad); } .void { color: var(--void); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 10px; margin: 20px 0; }
.tile { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 23px; line-height: 1.25; font-variant-numeric: tabular-nums; } .tile span { color: var(--soft); font-size: 13px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
li { overflow-wrap: anywhere; }
svg { display: block; width: 100%; min-width: 720px; height: auto; font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); } .tick, .unit { fill: var(--soft); } .label { fill: var(--ink); }
.life { fill: var(--life); } .shade { fill: var(--shade); opacity: .09; }
.healed { stroke: var(--good); stroke-width: 1.5; } .least { stroke: var(--void); stroke-dasharray: 5 4; stroke-width: 1.5; }
.accepted, .completed { fill: none; stroke-width: 1.8; stroke-linejoin: round; } .accepted { stroke: var(--line2); } .completed { stroke: var(--line); }
.fault { opacity: .82; } ${Object.keys(groups)
  .map((group) => `.${group} { fill: var(--${group}); background: var(--${group}); }`)
  .join(' ')}
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--soft); font-size: 13px; margin: 4px 0 8px; }
.legend i { display: inline-block; width: 14px; height: 10px; border-radius: 2px; margin-right: 6px; }
.legend i.rule { height: 0; border-radius: 0; border-top: 2px solid; vertical-align: middle; background: none; }
`;

export function page(verdict: Verdict): string {
  const { seed, from, to, command, versions } = verdict;
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Chaos run, seed ${seed}</title>
<style>${style}</style></head>
<body>
<div class="head"><h1>Chaos run, seed ${seed}</h1>${badges[verdict.outcome]}</div>
<p class="soft">${new Date(from).toISOString()}, ${seconds(to - from)}. ${Object.entries(versions)
    .map(([name, version]) => escaped(`${name} ${version}`))
    .join(', ')}.</p>
<p>Repeat it: <code>${escaped(command)}</code></p>
${troubles(verdict)}
${tiles(verdict)}
<h2>What was broken, and when</h2>
${legend([
  ...Object.entries(groups).map(([group, what]) => [`background: var(--${group})`, what] as const),
  ['background: var(--life)', 'alive'],
  ['color: var(--good)', 'all mended'],
])}
<div class="wide">${timeline(verdict)}</div>
<h2>Throughput</h2>
${legend([
  ['color: var(--line)', 'completed'],
  ['color: var(--line2)', 'accepted'],
  [
    'color: var(--void)',
    `least, as a mean of the time with load: ${verdict.throughput.perSecondMin.toFixed(1)}`,
  ],
  ['background: var(--shade); opacity: .4', 'faults, the darker the more at once'],
  ['color: var(--good)', 'all mended'],
])}
<div class="wide">${throughput(verdict)}</div>
<h2>Recovery</h2>
<p class="soft">One dot for each fault after which there was something to recover. ${recoveryWords}</p>
<div class="wide">${recoveries(verdict)}</div>
<h2>Faults by kind</h2>
<div class="wide">${kindsTable(verdict)}</div>
<h2>Invariants</h2>
<div class="wide">${invariantsTable(verdict)}</div>
<p class="soft">Judged from the transaction logs of ${verdict.log.servers} ZooKeeper servers (${count(verdict.log.transactions)} transactions; ${count(verdict.log.left)} more were logged by a minority and never acknowledged), a witness of the handlers’ effects, and the answers of the API. “Not checked”: the run cannot observe what it takes.</p>
<h2>When a run counts for nothing</h2>
${voidRules(verdict)}
</body>
</html>
`;
}

const recoveryWords =
  'A killed worker: from the kill until the last of its tasks was claimed again, or its outcome was recorded. A worker that lived on, or was restarted: from the fault’s end until it completes a task. A scheduler that led and lost its session: until another leads. An API: from the fault’s end until a submit is accepted. A ZooKeeper server: the longest time without a commit. Redis: from the fault’s end until a task accepted after it is completed. A handler: from the claim until its outcome is known. Where a scheduler has to act, time in which every one of them was under a fault does not count.';

const badges: Record<RunOutcome, string> = {
  passed: '<span class="badge good">Passed</span>',
  broken: '<span class="badge bad">A promise was broken</span>',
  void: '<span class="badge void">Void</span>',
};

const linesShown = 20;

function troubles({ findings, void: reasons }: Verdict): string {
  const violated = findings.filter((finding) => finding.violated.length > 0);
  const list = (lines: readonly string[]): string => {
    const more = lines.length > linesShown ? [`and ${lines.length - linesShown} more, see report.json`] : [];
    return `<ul>${[...lines.slice(0, linesShown), ...more].map((line) => `<li>${escaped(line)}</li>`).join('')}</ul>`;
  };
  return [
    ...violated.map(
      ({ name, violated: lines }) => `<p class="bad"><b>${escaped(name)}</b></p>${list(lines)}`,
    ),
    ...(reasons.length === 0
      ? []
      : [`<p class="void"><b>The run counts for nothing</b></p>${list(reasons)}`]),
  ].join('\n');
}

function tiles({
  tasks,
  throughput: rate,
  recovery,
  uncertain,
  faults,
  healedAt,
  settledAt,
}: Verdict): string {
  const share = (value: number | null): string => (value === null ? '–' : `${(100 * value).toFixed(1)} %`);
  const all: readonly (readonly [string, string, className?: string])[] = [
    [count(tasks.accepted), `tasks accepted, ${count(tasks.acknowledged)} acknowledged`],
    [count(tasks.completed), `completed; ${count(tasks.failed)} failed, ${count(tasks.cancelled)} cancelled`],
    [count(tasks.lost), 'lost', tasks.lost > 0 ? 'bad' : 'good'],
    [count(tasks.doubled), 'with an effect too many', tasks.doubled > 0 ? 'bad' : 'good'],
    [count(tasks.uncertain), 'left uncertain'],
    [share(uncertain.recall), 'of the effects with no recorded end were shown as uncertain (recall)'],
    [share(uncertain.precision), 'of what became uncertain had a fault as its reason (precision)'],
    [
      `${rate.perSecond.toFixed(1)} /s`,
      `completed under load and faults; at least ${rate.perSecondMin.toFixed(1)}`,
    ],
    [count(faults.length), 'faults'],
    [recovery === null ? '–' : seconds(recovery.p50), 'recovery, median'],
    [
      recovery === null ? '–' : seconds(recovery.max),
      `recovery at most; ${seconds(recovery?.p99 ?? 0)} at p99`,
    ],
    [settledAt === null ? 'never' : seconds(settledAt - healedAt), 'until all was over once all was mended'],
  ];
  return `<div class="tiles">${all
    .map(
      ([value, what, className = '']) =>
        `<div class="tile"><b class="${className}">${value}</b><span>${what}</span></div>`,
    )
    .join('')}</div>`;
}

/** A swatch is a patch of a background, or a line of a colour. */
function legend(entries: readonly (readonly [css: string, what: string])[]): string {
  return `<div class="legend">${entries
    .map(
      ([css, what]) =>
        `<span><i class="${css.startsWith('color') ? 'rule' : ''}" style="${css}"></i>${escaped(what)}</span>`,
    )
    .join('')}</div>`;
}

function kindsTable({ kinds }: Verdict): string {
  const cells = (recovery: Quantiles | null): readonly string[] =>
    recovery === null ? ['–', '–', '–'] : [recovery.p50, recovery.p99, recovery.max].map(seconds);
  return table(
    ['kind', 'times', 'met tasks in flight', 'tasks in flight, in all', 'recovery p50', 'p99', 'max'],
    kinds.map(({ kind, times, met, inFlight, recovery }) => [
      escaped(kind),
      count(times),
      met === 0 ? '<span class="void">0</span>' : count(met),
      count(inFlight),
      ...cells(recovery),
    ]),
  );
}

function invariantsTable({ findings }: Verdict): string {
  return table(
    ['invariant', 'checked', 'not checked', 'violated'],
    findings.map(({ name, checked, notChecked, violated }) => [
      escaped(name),
      count(checked),
      notChecked === 0 ? '' : `<span class="void">${count(notChecked)}</span>`,
      `<b class="${violated.length > 0 ? 'bad' : checked > 0 ? 'good' : 'void'}">${checked > 0 ? count(violated.length) : '–'}</b>`,
    ]),
  );
}

function voidRules({ throughput: { perSecondMin } }: Verdict): string {
  const rules = [
    `Fewer than ${perSecondMin.toFixed(1)} tasks per second were completed from the first submit to the last: a third of the load that was set out.`,
    'A kind of fault met no task in flight on what it hit, or there was no fault.',
    'Fewer than 90 % of the accepted tasks were completed, or fewer than half of them had been acknowledged.',
    'The ensemble’s log has a gap, or a check that every run can make was not made once.',
  ];
  return `<ul>${rules.map((rule) => `<li>${rule}</li>`).join('')}</ul>`;
}

/** The first column is words, the others numbers. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell, i) => `<${tag}${i === 0 ? '' : ' class="n"'}>${cell}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${row('th', head)}</thead><tbody>${rows.map((cells) => row('td', cells)).join('')}</tbody></table>`;
}

function count(value: number): string {
  return value.toLocaleString('en').replaceAll(',', '\u202f');
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
