import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Line { name: string; values: (number | null)[]; color: string; fill?: boolean; dash?: boolean; scale?: string }

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Plot draws lines over time; marks are instants at which something changed. The figures are
// also in words, for those who do not see it.
export function Plot(p: { label: string; at: number[]; lines: Line[]; height?: number; marks?: { at: number; text: string }[]; format?: (v: number) => string }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const marks = useRef(p.marks ?? []);
  marks.current = p.marks ?? [];
  const height = p.height ?? 140;
  const dark = useScheme();
  const shape = p.lines.map((l) => l.name).join() + dark;
  useEffect(() => {
    if (!box.current) return;
    const format = p.format ?? ((v: number) => String(Math.round(v * 100) / 100));
    const axis = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const u = new uPlot({
      width: box.current.clientWidth || 400, height,
      cursor: { y: false, points: { size: 6 } },
      legend: { live: true },
      scales: { y: { range: (_u, _min, max) => [0, Math.max(1, (max ?? 1) * 1.1)] } },
      padding: [8, 8, 0, 0],
      axes: [{ ...axis, size: 26, space: 80, values: (_u, v) => v.map((s) => time(s)) }, { ...axis, size: 54, values: (_u, v) => v.map(format) }],
      series: [
        { label: "Time", value: (_u, v) => (v == null ? "–" : time(v, true)) },
        ...p.lines.map((l) => ({
          label: l.name, stroke: css(l.color), width: 1.5, fill: l.fill ? css(l.color) + "22" : undefined, dash: l.dash ? [5, 4] : undefined,
          points: { show: false }, spanGaps: true, value: (_u: uPlot, v: number | null) => (v == null ? "–" : format(v)),
        })),
      ],
      hooks: {
        draw: [(u) => {
          const { ctx, bbox } = u;
          ctx.save();
          ctx.strokeStyle = css("--c4");
          ctx.globalAlpha = 0.65;
          ctx.setLineDash([3, 3]);
          for (const m of marks.current) {
            const x = u.valToPos(m.at / 1000, "x", true);
            if (x < bbox.left || x > bbox.left + bbox.width) continue;
            ctx.beginPath();
            ctx.moveTo(x, bbox.top);
            ctx.lineTo(x, bbox.top + bbox.height);
            ctx.stroke();
          }
          ctx.restore();
        }],
      },
    }, [p.at.map((a) => a / 1000), ...p.lines.map((l) => l.values)] as uPlot.AlignedData, box.current);
    plot.current = u;
    newest(u);
    const resize = new ResizeObserver(() => box.current && u.setSize({ width: box.current.clientWidth, height }));
    resize.observe(box.current);
    return () => { resize.disconnect(); u.destroy(); plot.current = undefined; };
  }, [shape, height]);
  useEffect(() => {
    plot.current?.setData([p.at.map((a) => a / 1000), ...p.lines.map((l) => l.values)] as uPlot.AlignedData);
    if (plot.current) newest(plot.current);
  }, [p.at, p.lines, p.marks]);
  const words = p.lines.map((l) => {
    const seen = l.values.filter((v): v is number => v != null);
    return seen.length ? `${l.name}: now ${Math.round(seen[seen.length - 1] * 10) / 10}, most ${Math.round(Math.max(...seen) * 10) / 10}` : `${l.name}: nothing yet`;
  }).join("; ");
  return <div class="plot" role="img" aria-label={`${p.label}. ${words}`} ref={box} />;
}

// newest shows the last figures in the legend while the pointer is elsewhere.
function newest(u: uPlot) {
  if (u.cursor.idx == null && u.data[0].length > 0) u.setLegend({ idx: u.data[0].length - 1 });
}

function time(s: number, exact = false): string {
  const d = new Date(s * 1000);
  const pad = (v: number) => String(v).padStart(2, "0");
  return `${pad(d.getHours())}:${pad(d.getMinutes())}${exact || d.getSeconds() ? ":" + pad(d.getSeconds()) : ""}`;
}


// useScheme tells whether the dark colours are on.
export function useScheme(): boolean {
  const query = matchMedia("(prefers-color-scheme: dark)");
  const [dark, set] = useState(query.matches);
  useEffect(() => {
    const f = () => set(query.matches);
    query.addEventListener("change", f);
    return () => query.removeEventListener("change", f);
  }, []);
  return dark;
}
