import { createContext, type ComponentChildren } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get, type Query, type Sample, type Visit } from "./api";
import { clock, n, quote, short } from "./format";
import { link } from "./route";

export interface Shared {
  visit: Visit;
  latest?: Sample;
  live: boolean;
  say: (text: string) => void;
  signIn: () => void;
}

export const Context = createContext<Shared>(null as unknown as Shared);
export const useShared = () => useContext(Context);

// useData reads a path again each time its query changes, and every few seconds while the
// page is seen. What was read stays until the next answer is there.
export function useData<T>(path: string, query: Query = {}, every = 0): { data?: T; error?: string; again: () => void; loading: boolean } {
  const [state, set] = useState<{ key: string; data?: T; error?: string; loading: boolean }>({ key: "", loading: true });
  const [turn, next] = useState(0);
  const key = path + JSON.stringify(query);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const read = () => {
      get<T>(path, query, stop.signal).then(
        (data) => set({ key, data, loading: false }),
        (e: unknown) => { if (!stop.signal.aborted) set((s) => ({ key, data: s.key === key ? s.data : undefined, error: message(e), loading: false })); },
      ).finally(() => {
        if (every && !stop.signal.aborted) timer = window.setTimeout(() => (document.hidden ? later() : read()), every);
      });
    };
    const later = () => { timer = window.setTimeout(() => (document.hidden ? later() : read()), every); };
    read();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [key, turn, every]);
  const same = state.key === key;
  return { data: same ? state.data : undefined, error: same ? state.error : undefined, again: () => next((t) => t + 1), loading: !same || state.loading };
}

export function message(e: unknown): string {
  return e instanceof ApiError || e instanceof Error ? e.message : String(e);
}

export function Panel(p: { title: string; size?: string; extra?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class={`panel ${p.size ?? ""}`} aria-label={p.title}>
      <div class="row"><h2 style={{ flex: 1 }}>{p.title}</h2>{p.extra}</div>
      {p.children}
    </section>
  );
}

export function Head(p: { title: string; crumbs?: [string, string][]; children?: ComponentChildren }) {
  useEffect(() => { document.title = p.title + " · Matchyard"; }, [p.title]);
  return (
    <div class="head">
      {p.crumbs && <nav class="crumbs" aria-label="Breadcrumbs">{p.crumbs.map(([name, to], i) => <>{i > 0 && " › "}<a href={to}>{name}</a></>)}</nav>}
      <h1>{p.title}</h1>
      <span class="grow" />
      {p.children}
      <CopyLink />
    </div>
  );
}

function CopyLink() {
  return <Copy text={() => location.href} label="Copy link" done="Link copied" />;
}

export function Copy(p: { text: string | (() => string); label: string; done?: string; hint?: string; small?: boolean }) {
  const { say } = useShared();
  const copy = () => {
    const text = typeof p.text === "function" ? p.text() : p.text;
    toClipboard(text).then(() => say(p.done ?? "Copied: " + text), () => say("The browser does not let the page copy: " + text));
  };
  return <button type="button" class={p.small ? "link" : ""} title={p.hint ?? (typeof p.text === "string" ? p.text : undefined)} onClick={copy}>{p.label}</button>;
}

async function toClipboard(text: string) {
  if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const ok = document.execCommand("copy");
  area.remove();
  if (!ok) throw new Error("not copied");
}

// Cli copies the command that shows the same thing.
export function Cli(p: { command: string; args: [string, string | number][]; what: string }) {
  const { visit } = useShared();
  const words = ["aws", "gamelift", p.command];
  for (const [k, v] of p.args) words.push("--" + k, quote(String(v)));
  words.push("--endpoint-url", quote(visit.endpoint), "--region", visit.region);
  const text = words.join(" ");
  return <Copy small text={text} label="CLI" hint={`Copy as AWS CLI: ${p.what}`} done="Copied the AWS CLI command" />;
}

export function Status(p: { of: string }) {
  const tone = /^(ACTIVE|FULFILLED|COMPLETED|READY|OK|RUNNING)$/.test(p.of) ? "good"
    : /ERROR|FAILED|TIMED|CRASH|LOST|DENIED/.test(p.of) ? "bad"
    : /PEND|ACTIVATING|RESERVED|SEARCH|QUEUED|REQUIRES|PLACING|DELETING|TERMINATING|NEW|BUILD|DOWNLOAD|VALID/.test(p.of) ? "warn" : "dim";
  return <span class={`badge ${tone}`}>{p.of}</span>;
}

export function Failed(p: { error?: string }) {
  return p.error ? <div class="error" role="alert">{p.error}</div> : null;
}

export function Empty(p: { children: ComponentChildren }) { return <p class="empty">{p.children}</p>; }

export function FleetLink(p: { id: string; name?: string }) {
  return <a href={link("fleet", p.id)} title={p.id}>{p.name || short(p.id)}</a>;
}
export function GameLink(p: { id: string; text?: string }) {
  return <a href={link("game", p.id)} title={p.id}>{p.text || short(p.id)}</a>;
}
export function PlayerLink(p: { id: string }) {
  return <a href={link("player", p.id)} title={p.id}><bdi>{p.id}</bdi></a>;
}

// When is an instant: the time of day, and the exact one for who points at it.
export function When(p: { at: number; title?: string }) {
  if (!p.at) return <span class="dim">–</span>;
  const exact = new Date(p.at).toISOString();
  return <time dateTime={exact} title={p.title ?? exact}>{clock(p.at)}</time>;
}

// Figures are a row of numbers, each with what it is and what it is to be seen against.
export function Figures(p: { list: { n: string; label: string; note?: string; to?: string; tone?: string }[] }) {
  return (
    <div class="figures">
      {p.list.map((f) => (
        <div class="figure" key={f.label}><div class={`n ${f.tone ?? ""}`}>{f.to ? <a href={f.to}>{f.n}</a> : f.n}</div><div class="l">{f.label}</div><div class="d">{f.note || "\u00a0"}</div></div>
      ))}
    </div>
  );
}

export interface Column<T> { name: string; width: string; num?: boolean; cell: (row: T) => ComponentChildren }

const rowHeight = 30;
const pageSize = 200;

// Rows is a list of any length: rows are fetched by pages and only those seen are drawn. Keys
// move it as they move a table: arrows, page up and down, home and end.
export function Rows<T>(p: {
  label: string; total: number; height: number; columns: Column<T>[];
  first?: T[]; load: (skip: number, limit: number, signal: AbortSignal) => Promise<T[]>; version: string;
}) {
  const [top, setTop] = useState(0);
  const [pages, setPages] = useState<Map<number, T[]>>(new Map());
  const [error, setError] = useState<string>();
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    setPages(p.first ? new Map([[0, p.first]]) : new Map());
    setError(undefined);
    if (body.current) body.current.scrollTop = 0;
    setTop(0);
  }, [p.version]);
  // Browsers draw nothing taller than some ten million pixels.
  const tall = Math.min(p.total * rowHeight, 8_000_000);
  const scale = p.total * rowHeight > tall ? (p.total * rowHeight - p.height) / (tall - p.height) : 1;
  const offset = top * scale;
  const firstRow = Math.max(0, Math.floor(offset / rowHeight) - 4);
  const lastRow = Math.min(p.total, Math.ceil((offset + p.height) / rowHeight) + 4);
  const wanted = [...new Set([Math.floor(firstRow / pageSize), Math.floor(Math.max(firstRow, lastRow - 1) / pageSize)])];
  const missing = wanted.filter((w) => !pages.has(w) && p.total > 0).join();
  useEffect(() => {
    if (!missing) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      for (const page of missing.split(",").map(Number)) {
        p.load(page * pageSize, pageSize, stop.signal).then(
          (rows) => setPages((m) => { const c = new Map(m); c.set(page, rows); while (c.size > 20) c.delete(c.keys().next().value!); return c; }),
          (e: unknown) => { if (!stop.signal.aborted) setError(message(e)); },
        );
      }
    }, 40);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [missing, p.version]);
  const grid = p.columns.map((c) => c.width).join(" ");
  const rows = [];
  for (let i = firstRow; i < lastRow; i++) {
    const row = pages.get(Math.floor(i / pageSize))?.[i % pageSize];
    rows.push(
      <div class="vrow" role="row" aria-rowindex={i + 2} key={i} style={{ gridTemplateColumns: grid, top: `${i * rowHeight - offset + top}px` }}>
        {p.columns.map((c) => <div role="cell" class={c.num ? "num" : ""} key={c.name}>{row ? c.cell(row) : "…"}</div>)}
      </div>,
    );
  }
  return (
    <>
      <Failed error={error} />
      <div class="vlist" role="table" aria-label={p.label} aria-rowcount={p.total + 1}>
        <div role="rowgroup"><div class="vhead" role="row" aria-rowindex={1} style={{ gridTemplateColumns: grid }}>
          {p.columns.map((c) => <div role="columnheader" class={c.num ? "num" : ""} key={c.name}>{c.name}</div>)}
        </div></div>
        <div class="vbody" role="rowgroup" tabIndex={0} aria-label={`${p.label}, rows`} ref={body} style={{ height: `${Math.max(rowHeight, Math.min(p.height, p.total * rowHeight))}px` }}
          onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
          <div style={{ height: `${tall}px` }} role="presentation" />
          {rows}
        </div>
      </div>
    </>
  );
}

// Bars is a histogram that a screen reader can read too.
export function Bars(p: { bars: { name: string; count: number; tone?: string }[]; share?: boolean; all?: boolean; empty?: string }) {
  const sum = p.bars.reduce((s, b) => s + b.count, 0);
  const most = Math.max(1, ...p.bars.map((b) => b.count));
  if (!p.bars.some((b) => b.count > 0)) return <Empty>{p.empty ?? "Nothing yet."}</Empty>;
  const first = p.bars.findIndex((b) => b.count > 0);
  const last = p.bars.findLastIndex((b) => b.count > 0);
  return (
    <div class="bars" role="list">
      {(p.all ? p.bars : p.bars.slice(Math.max(0, first - 1), last + 2)).map((b) => (
        <div role="listitem" key={b.name} style={{ display: "contents" }}>
          <span class="dim">{b.name}</span>
          <span>{b.count > 0 && <span class="bar" style={{ display: "block", width: `${(100 * b.count) / most}%`, background: b.tone }} />}</span>
          <span class={`num ${b.count ? "" : "dim"}`}>{n(b.count)}{p.share && <span class="dim"> {Math.round((100 * b.count) / sum)} %</span>}</span>
        </div>
      ))}
    </div>
  );
}

export function binName(from: number, to: number, unit: string): string {
  const v = (x: number) => (x >= 10000 ? n(x) : String(Math.round(x * 1000) / 1000));
  return `${to ? `${v(from)}–${v(to)}` : `from ${v(from)}`}${unit && " " + unit}`;
}

export function SpanPicker(p: { value: number; set: (v: number) => void }) {
  return (
    <label class="row dim">Time
      <select value={p.value} onChange={(e) => p.set(Number(e.currentTarget.value))}>
        <option value={600}>10 minutes</option><option value={3600}>1 hour</option><option value={6 * 3600}>6 hours</option>
        <option value={86400}>1 day</option><option value={7 * 86400}>7 days</option>
      </select>
    </label>
  );
}
