import { useEffect, useRef } from "preact/hooks";
import { useScheme } from "./plot";

// Chart draws with ECharts, which is loaded when the first one is drawn. Its tooltips are
// drawn on the canvas too: text from outside never becomes HTML.
export type Option = Record<string, unknown>;

export function Chart(p: { label: string; height: number; option: (css: (name: string) => string) => Option; version: string; onPick?: (data: unknown) => void; onZoom?: (from: number, to: number) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<{ setOption: (o: Option, c: unknown) => void; resize: (o?: unknown) => void; dispose: () => void } | undefined>(undefined);
  const pick = useRef(p.onPick);
  pick.current = p.onPick;
  const zoom = useRef(p.onZoom);
  zoom.current = p.onZoom;
  const dark = useScheme();
  const option = () => p.option((name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  const newest = useRef(option);
  newest.current = option;
  useEffect(() => {
    let gone = false;
    let resize: ResizeObserver | undefined;
    import("./echarts").then(({ start }) => {
      if (gone || !box.current) return;
      const c = start(box.current);
      chart.current = c as never;
      c.setOption(newest.current(), { notMerge: true });
      c.on("click", (e) => pick.current?.((e as { data: unknown }).data));
      resize = new ResizeObserver(() => c.resize());
      resize.observe(box.current);
    });
    return () => { gone = true; resize?.disconnect(); chart.current?.dispose(); chart.current = undefined; };
  }, []);
  useEffect(() => { chart.current?.setOption(option(), { notMerge: true }); chart.current?.resize(); }, [p.version, dark, p.height]);
  return <div role="img" aria-label={p.label} ref={box} style={{ width: "100%", height: `${p.height}px` }} />;
}
