import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clock, isUtc, n, tick } from "./format";

export interface Line { name: string; values: (number | null)[]; color: string; fill?: boolean; dash?: boolean; step?: boolean }
export interface Mark { at: number; text: string; color?: string }

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// With fewer points than this, each has a dot: a line of one point would not be seen.
const dotted = 12;

// Plot draws lines over time; marks are instants at which something changed, and what it was
// is told when the pointer is near. The figures are also in words, for those who do not see
// it. Range is the time to show when the lines may not fill it.
export function Plot(p: { label: string; at: number[]; lines: Line[]; height?: number; marks?: Mark[]; format?: (v: number) => string; whole?: boolean; range?: [number, number] }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const marks = useRef(p.marks ?? []);
  marks.current = p.marks ?? [];
  const range = useRef(p.range);
  range.current = p.range;
  const [near, setNear] = useState<Mark>();
  const height = p.height ?? 140;
  const dark = useScheme();
  const shape = p.lines.map((l) => l.name).join() + dark + isUtc();
  useEffect(() => {
    if (!box.current) return;
    const format = p.format ?? ((v: number) => (v >= 1000 ? n(v) : String(Math.round(v * 100) / 100)));
    const axis = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const u = new uPlot({
      width: box.current.clientWidth || 400, height,
      cursor: { y: false, points: { size: 6 } },
      legend: { live: true },
      tzDate: (s) => (isUtc() ? uPlot.tzDate(new Date(s * 1000), "Etc/UTC") : new Date(s * 1000)),
      scales: {
        x: { range: (_u, min, max) => (range.current ? [range.current[0] / 1000, range.current[1] / 1000] : max - min < 10 ? [max - 10, max] : [min, max]) },
        y: { range: (_u, _min, max) => [0, Math.max(1, (max ?? 1) * 1.1)] },
      },
      padding: [8, 18, 0, 0],
      axes: [{ ...axis, size: 26, space: 80, values: (_u, v) => v.map((s) => tick(s * 1000)) }, { ...axis, size: 54, values: (_u, v) => v.map(format), ...(p.whole ? { incrs: whole } : {}) }],
      series: [
        { label: "Time", value: (_u, v) => (v == null ? "–" : clock(v * 1000)) },
        ...p.lines.map((l) => ({
          label: l.name, stroke: css(l.color), width: 1.5, fill: l.fill ? css(l.color) + "22" : undefined, dash: l.dash ? [5, 4] : undefined,
          points: { size: 5, show: (u: uPlot, i: number) => Array.from(u.data[i]).filter((v) => v != null).length < dotted }, spanGaps: true,
          paths: l.step ? uPlot.paths.stepped!({ align: 1 }) : undefined, value: (_u: uPlot, v: number | null) => (v == null ? "–" : format(v)),
        })),
      ],
      hooks: {
        draw: [(u) => {
          const { ctx, bbox } = u;
          ctx.save();
          ctx.globalAlpha = 0.75;
          for (const m of marks.current) {
            const x = Math.round(u.valToPos(m.at / 1000, "x", true));
            if (x < bbox.left || x > bbox.left + bbox.width) continue;
            ctx.strokeStyle = ctx.fillStyle = css(m.color ?? "--c4");
            ctx.setLineDash([3, 3]);
            ctx.beginPath();
            ctx.moveTo(x, bbox.top);
            ctx.lineTo(x, bbox.top + bbox.height);
            ctx.stroke();
            const s = 4 * devicePixelRatio;
            ctx.beginPath();
            ctx.moveTo(x - s, bbox.top);
            ctx.lineTo(x + s, bbox.top);
            ctx.lineTo(x, bbox.top + 1.4 * s);
            ctx.fill();
          }
          ctx.restore();
        }],
        setCursor: [(u) => {
          const left = u.cursor.left ?? -1;
          let best: Mark | undefined;
          let least = 9;
          if (left >= 0) for (const m of marks.current) {
            const d = Math.abs(u.valToPos(m.at / 1000, "x") - left);
            if (d < least) { least = d; best = m; }
          }
          setNear(best);
        }],
      },
    }, data(p.at, p.lines), box.current);
    plot.current = u;
    newest(u);
    const resize = new ResizeObserver(() => box.current && u.setSize({ width: box.current.clientWidth, height }));
    resize.observe(box.current);
    return () => { resize.disconnect(); u.destroy(); plot.current = undefined; };
  }, [shape, height]);
  useEffect(() => {
    plot.current?.setData(data(p.at, p.lines));
    if (plot.current) newest(plot.current);
  }, [p.at, p.lines, p.marks]);
  const words = p.lines.map((l) => {
    const seen = l.values.filter((v): v is number => v != null);
    return seen.length ? `${l.name}: now ${Math.round(seen[seen.length - 1] * 10) / 10}, most ${Math.round(Math.max(...seen) * 10) / 10}` : `${l.name}: nothing yet`;
  }).join("; ");
  const [from, to] = p.range ?? [p.at[0] ?? 0, p.at[p.at.length - 1] ?? 0];
  const marked = p.marks?.some((m) => m.at >= from && m.at <= to);
  return (
    <div class="plotted">
      <div class="plot" role="img" aria-label={`${p.label}. ${words}`} ref={box} />
      {marked && <div class="near" aria-hidden="true">{near ? <><time>{clock(near.at)}</time> <bdi>{near.text}</bdi></> : "▾ changes; point at one to read it"}</div>}
    </div>
  );
}

const whole = [1, 2, 5].flatMap((v) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].map((t) => v * t)).sort((a, b) => a - b);

const data = (at: number[], lines: Line[]) => [at.map((a) => a / 1000), ...lines.map((l) => l.values)] as uPlot.AlignedData;

// newest shows the last figures in the legend while the pointer is elsewhere.
function newest(u: uPlot) {
  if (u.cursor.idx == null && u.data[0].length > 0) u.setLegend({ idx: u.data[0].length - 1 });
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
