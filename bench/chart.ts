// chart.ts: the report's picture: tasks per second of everybody, case by case, as SVG.

import * as echarts from 'echarts';
import type { Results } from './results.js';

const size = { width: 1_080, rowPx: 150, headPx: 90 };

/** Null: no case compared several contestants by tasks per second. */
export function chartOf(results: Results): string | null {
  const compared = Object.values(results).filter(
    ({ metric, entries }) => metric === 'tasks/s' && entries.some(({ name }) => name === 'bullmq-always'),
  );
  if (compared.length === 0) return null;
  const names = [...new Set(compared.flatMap(({ entries }) => entries.map(({ name }) => name)))];
  const chart = echarts.init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: size.width,
    height: size.headPx + size.rowPx * compared.length,
  });
  chart.setOption({
    animation: false,
    backgroundColor: '#fff',
    legend: { top: 10, data: names },
    grid: { left: 10, right: 30, top: 60, bottom: 30, containLabel: true },
    xAxis: { type: 'value', name: 'tasks/s', nameLocation: 'middle', nameGap: 25 },
    yAxis: {
      type: 'category',
      inverse: true,
      data: compared.map(({ title }) => title),
      axisLabel: { width: 200, overflow: 'break' },
    },
    series: names.map((name) => ({
      name,
      type: 'bar',
      data: compared.map(({ entries }) => {
        const found = entries.find((entry) => entry.name === name);
        return Math.round(found?.figures['tasks/s']?.median ?? 0);
      }),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
