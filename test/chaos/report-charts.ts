// report-charts.ts: the pictures of a chaos run's report, as SVG text: what was broken when, what was done meanwhile, how long
// recovery took. Pure. Colours are the page's (report.ts), so that they follow its light or dark scheme.

import type { FaultFigures } from './figures.js';
import type { Verdict } from './verdict.js';

const widthPx = 1_080;
const labelPx = 156;
const rightPx = 26;
const plotPx = widthPx - labelPx - rightPx;
const axisPx = 34;

export function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (sign) => names[sign] ?? sign);
}

type Scale = { readonly max: number; readonly step: number; x(value: number): number };

/** From 0 to the first round number that holds `max`, at most `ticksMax` ticks apart by 1, 2 or 5 times a power of ten. */
function scaleTo(max: number, ticksMax: number): Scale {
  const rough = Math.max(max, 1e-9) / ticksMax;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10) * power;
  const end = Math.ceil(max / step) * step || step;
  return { max: end, step, x: (value) => labelPx + (value / end) * plotPx };
}

function ticks({ max, step }: Scale): number[] {
  return Array.from({ length: Math.round(max / step) + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

function svg(heightPx: number, title: string, parts: readonly string[]): string {
  return [
    `<svg viewBox="0 0 ${widthPx} ${Math.ceil(heightPx)}" role="img" aria-label="${escaped(title)}">`,
    ...parts,
    '</svg>',
  ].join('\n');
}

function xAxis(scale: Scale, topPx: number, bottomPx: number, unit: string): string[] {
  return [
    ...ticks(scale).map((value) => {
      const x = scale.x(value).toFixed(1);
      return `<line class="grid" x1="${x}" x2="${x}" y1="${topPx}" y2="${bottomPx}"/><text class="tick" x="${x}" y="${bottomPx + 14}" text-anchor="middle">${value}</text>`;
    }),
    `<text class="unit" x="${labelPx + plotPx}" y="${bottomPx + 29}" text-anchor="end">${unit}</text>`,
  ];
}

/** What a fault was laid on, for its colour. */
export const groups = {
  process: 'process killed, frozen, restarted, its clock set',
  network: 'network of a process',
  zookeeper: 'ZooKeeper server',
  redis: 'Redis',
  task: 'handler or submit',
} as const;

const ofNetwork = /black-hole|half-open|cut-|latency|lost-|^no-/;

export function groupOf({ kind, on }: Pick<FaultFigures, 'kind' | 'on'>): keyof typeof groups {
  if (on.startsWith('zookeeper')) return 'zookeeper';
  if (on.startsWith('redis')) return 'redis';
  if (rowOf(on) === taskRow || kind.startsWith('event-loop')) return 'task';
  return ofNetwork.test(kind) ? 'network' : 'process';
}

const taskRow = 'tasks';

function rowOf(on: string): string {
  return /^(worker|scheduler|api|zookeeper)-\d+$|^redis/.test(on) ? on : taskRow;
}

const rowPx = 22;

/** One row for each process and server: when it lived, and its faults. Seconds since the run's begin. */
export function timeline({ from, to, healedAt, processes, faults }: Verdict): string {
  const seconds = (at: number): number => (Math.min(Math.max(at, from), to) - from) / 1_000;
  const scale = scaleTo(seconds(to), 16);
  const names = new Set([
    ...processes.map(({ name }) => name),
    ...faults.map(({ on }) => rowOf(on)).sort((a, b) => (rank(a) < rank(b) ? -1 : 1)),
  ]);
  const rows = [...names];
  const bottom = rows.length * rowPx + 4;
  const y = (name: string): number => rows.indexOf(name) * rowPx + 4;
  const bar = (
    className: string,
    name: string,
    begin: number,
    end: number,
    [topPx, heightPx]: readonly [number, number],
    title = '',
  ): string => {
    const x = scale.x(seconds(begin));
    // What is at once, is drawn as wide as can be seen.
    const width = Math.max(2.5, scale.x(seconds(end)) - x);
    return `<rect class="${className}" x="${x.toFixed(1)}" y="${y(name) + topPx}" width="${width.toFixed(1)}" height="${heightPx}" rx="1.5">${title === '' ? '' : `<title>${escaped(title)}</title>`}</rect>`;
  };
  const healed = scale.x(seconds(healedAt)).toFixed(1);
  return svg(bottom + axisPx, 'faults by process over time', [
    ...xAxis(scale, 0, bottom, 'seconds since the run began'),
    ...rows.map(
      (name) =>
        `<text class="label" x="${labelPx - 10}" y="${y(name) + 13}" text-anchor="end">${escaped(name)}</text>`,
    ),
    ...processes.map((life) => bar('life', life.name, life.from, life.to ?? to, [7, 4])),
    ...faults.map((fault) => {
      const { kind, on, from: begin, to: end, inFlight } = fault;
      const title = `${kind} on ${on}, ${((end - begin) / 1_000).toFixed(1)} s, ${inFlight} tasks in flight`;
      return bar(`fault ${groupOf(fault)}`, rowOf(on), begin, end, [2, 14], title);
    }),
    `<line class="healed" x1="${healed}" x2="${healed}" y1="0" y2="${bottom}"/>`,
  ]);
}

/** Processes come as they are; servers and tasks after them. */
function rank(name: string): string {
  const order = ['worker', 'scheduler', 'api', 'zookeeper', 'redis', taskRow];
  return `${order.findIndex((prefix) => name.startsWith(prefix))}${name}`;
}

const throughputPx = 190;

/** Tasks accepted and completed in each second; shaded where faults lay, the darker the more of them. */
export function throughput({
  from,
  to,
  healedAt,
  seconds,
  faults,
  throughput: { perSecondMin },
}: Verdict): string {
  const scale = scaleTo((to - from) / 1_000, 16);
  const most = Math.max(
    perSecondMin,
    ...seconds.map(({ accepted, completed }) => Math.max(accepted, completed)),
  );
  const rate = scaleTo(most, 5);
  const top = 8;
  const y = (value: number): number => top + throughputPx * (1 - value / rate.max);
  const x = (at: number): number => scale.x((Math.min(Math.max(at, from), to) - from) / 1_000);
  const bottom = top + throughputPx;
  /** A second's value stands for the whole of it. */
  const line = (rateOf: (second: (typeof seconds)[number]) => number): string =>
    seconds
      .map((second, i) => {
        const [height, end] = [y(rateOf(second)).toFixed(1), x(second.at + 1_000).toFixed(1)];
        return `${i === 0 ? 'M' : 'L'}${x(second.at).toFixed(1)} ${height}H${end}`;
      })
      .join('');
  const healed = x(healedAt).toFixed(1);
  const least = y(perSecondMin).toFixed(1);
  return svg(bottom + axisPx, 'tasks accepted and completed per second', [
    ...faults.map(({ from: begin, to: end }) => {
      const width = Math.max(1, x(end) - x(begin));
      return `<rect class="shade" x="${x(begin).toFixed(1)}" y="${top}" width="${width.toFixed(1)}" height="${throughputPx}"/>`;
    }),
    ...xAxis(scale, top, bottom, 'seconds since the run began'),
    ...ticks(rate).map((value) => {
      const at = y(value).toFixed(1);
      return `<line class="grid" x1="${labelPx}" x2="${labelPx + plotPx}" y1="${at}" y2="${at}"/><text class="tick" x="${labelPx - 8}" y="${Number(at) + 4}" text-anchor="end">${value}</text>`;
    }),
    `<text class="unit" x="${labelPx - 8}" y="${bottom + 29}" text-anchor="end">tasks per second</text>`,
    `<path class="accepted" d="${line(({ accepted }) => accepted)}"/>`,
    `<path class="completed" d="${line(({ completed }) => completed)}"/>`,
    `<line class="least" x1="${labelPx}" x2="${labelPx + plotPx}" y1="${least}" y2="${least}"/>`,
    `<line class="healed" x1="${healed}" x2="${healed}" y1="${top}" y2="${bottom}"/>`,
  ]);
}

const recoveryRowPx = 19;
/** What took less is drawn here. */
const recoveryMsMin = 1;

function logScale(max: number): (ms: number) => number {
  const decades = Math.max(1, Math.ceil(Math.log10(max / recoveryMsMin)));
  return (ms) => labelPx + (Math.log10(Math.max(ms, recoveryMsMin) / recoveryMsMin) / decades) * plotPx;
}

/** One dot for each fault there was something to recover from. */
export function recoveries({ faults, kinds }: Verdict): string {
  const shown = kinds.filter(({ recovery }) => recovery !== null);
  const most = Math.max(1_000, ...shown.map(({ recovery }) => recovery?.max ?? 0));
  const x = logScale(most);
  const bottom = shown.length * recoveryRowPx + 4;
  const decades = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
  return svg(bottom + axisPx, 'recovery time by kind of fault, on a logarithmic axis', [
    ...decades
      .filter((ms) => x(ms) <= labelPx + plotPx + 1)
      .map((ms) => {
        const at = x(ms).toFixed(1);
        const name = ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`;
        return `<line class="grid" x1="${at}" x2="${at}" y1="0" y2="${bottom}"/><text class="tick" x="${at}" y="${bottom + 14}" text-anchor="middle">${name}</text>`;
      }),
    `<text class="unit" x="${labelPx + plotPx}" y="${bottom + 29}" text-anchor="end">until recovered, logarithmic; what took less than 1 ms is shown at 1 ms</text>`,
    ...shown.flatMap(({ kind }, i) => {
      const y = i * recoveryRowPx + 12;
      const dots = faults.flatMap((fault) =>
        fault.kind === kind && fault.recoveryMs !== null
          ? [
              `<circle class="fault ${groupOf(fault)}" cx="${x(fault.recoveryMs).toFixed(1)}" cy="${y}" r="4"><title>${escaped(`${kind} on ${fault.on}: ${fault.recoveryMs} ms`)}</title></circle>`,
            ]
          : [],
      );
      return [
        `<text class="label" x="${labelPx - 10}" y="${y + 4}" text-anchor="end">${escaped(kind)}</text>`,
        ...dots,
      ];
    }),
  ]);
}
