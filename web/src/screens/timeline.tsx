import { useState } from "preact/hooks";
import { Chart } from "../chart";
import { clock, isUtc, n, span } from "../format";
import { change, link, type Route } from "../route";
import { Cli, Empty, Failed, GameLink, Head, PlayerLink, Status, When, useData } from "../ui";
import type { FleetLine } from "./overview";

interface Stay { player: string; status: string; from: number; joined: number; to: number }
interface Bar { id: string; status: string; from: number; to: number; players: number; maximum: number; stays?: Stay[] }
interface Lane { host: string; count: number; bars?: Bar[]; load?: number[] }
interface View { from: number; to: number; now: number; total: number; hosts: number; lanes: Lane[]; detailed: boolean; parts: number }

const spans: [number, string][] = [[600, "10 minutes"], [3600, "1 hour"], [6 * 3600, "6 hours"], [86400, "1 day"], [7 * 86400, "7 days"]];

export function Timeline(p: { route: Route }) {
  const fleets = useData<{ fleets: FleetLine[] }>("fleets");
  const q = p.route.query;
  const fleet = q.get("fleet") || fleets.data?.fleets[0]?.id || "";
  const from = Number(q.get("from")) || undefined;
  const to = Number(q.get("to")) || undefined;
  const length = Number(q.get("span")) || 3600;
  return (
    <>
      <Head title="Session timeline" />
      <div class="filters">
        <label>Fleet
          <select value={fleet} onChange={(e) => change(p.route, { fleet: e.currentTarget.value })}>
            {fleets.data?.fleets.map((f) => <option key={f.id} value={f.id}>{f.name || f.id}</option>)}
          </select>
        </label>
        <label>Time
          <select value={from ? "" : length} onChange={(e) => change(p.route, { span: e.currentTarget.value, from: undefined, to: undefined })}>
            {from && <option value="">as zoomed</option>}
            {spans.map(([v, name]) => <option key={v} value={v}>{name}</option>)}
          </select>
        </label>
        <label>Host contains<input value={q.get("host") ?? ""} onChange={(e) => change(p.route, { host: e.currentTarget.value || undefined })} spellcheck={false} /></label>
      </div>
      {fleets.data?.fleets.length === 0 && <Empty>There is no fleet yet.</Empty>}
      <Failed error={fleets.error} />
      {!fleets.data && !fleets.error && <Empty>Reading…</Empty>}
      {fleet && <Lanes route={p.route} fleet={fleet} from={from} to={to} span={length} host={q.get("host") ?? ""} />}
    </>
  );
}

function Lanes(p: { route: Route; fleet: string; from?: number; to?: number; span: number; host: string }) {
  const query = { fleet: p.fleet, host: p.host || undefined, ...(p.from ? { from: p.from, to: p.to } : { span: p.span }) };
  const { data, error, again } = useData<View>("timeline", query);
  const [picked, pick] = useState<Bar>();
  if (error) return <Failed error={error} />;
  if (!data) return <Empty>Reading…</Empty>;
  const lanes = data.lanes;
  const zoom = (factor: number, shift: number) => {
    const middle = (data.from + data.to) / 2 + shift * (data.to - data.from);
    const half = ((data.to - data.from) * factor) / 2;
    change(p.route, { from: Math.round(Math.max(0, middle - half)), to: Math.round(middle + half) });
  };
  const rows = lanes.slice(0, data.detailed ? 60 : 120);
  // So high that players inside a bar are seen, where there are not too many.
  const deep = data.detailed ? Math.max(1, ...rows.map(depth)) : 1;
  const laneHeight = data.detailed ? Math.min(Math.max(22, deep * (data.lanes.some((l) => l.bars?.some((b) => b.stays)) ? 13 : 5)), 2400 / rows.length) : 14;
  const height = Math.max(120, Math.round(rows.length * laneHeight + 70));
  return (
    <div class="grid">
      <section class="panel" aria-label="Timeline">
        <div class="row">
          <span role="status">{n(data.total)} game sessions on {n(data.hosts)} hosts, {clock(data.from)} to {clock(data.to)}{!data.detailed && "; too many for single bars: darker is more at once"}{rows.length < data.hosts && `; these are the first ${n(rows.length)} hosts`}</span>
          <span style={{ flex: 1 }} />
          <button type="button" onClick={() => zoom(1, -0.5)}>◂ Earlier</button>
          <button type="button" onClick={() => zoom(0.5, 0)}>Zoom in</button>
          <button type="button" onClick={() => zoom(2, 0)}>Zoom out</button>
          <button type="button" onClick={() => zoom(1, 0.5)}>Later ▸</button>
          <button type="button" onClick={() => { change(p.route, { from: undefined, to: undefined }); again(); }}>Now</button>
        </div>
        {rows.length === 0 ? <Empty>No game session in this time.</Empty> : (
          <div class="timeline">
            <Chart label={`Game sessions of ${rows.length} hosts over time; the table below has the same`} height={height} version={JSON.stringify([data.from, data.to, data.total, rows.length, p.host])}
              option={(css) => (data.detailed ? bars(data, rows, css) : density(data, rows, css))}
              onPick={(d) => { const bar = (d as { bar?: Bar }).bar; if (bar) pick(bar); }} />
          </div>
        )}
        {data.detailed && <ul class="legend"><li><span class="cell active" />active</li><li><span class="cell ending" />ended</li><li><span class="cell crashed" />error</li><li><span class="cell activating" />activating</li><li>Lines inside are players: thin while reserved, thick once joined{data.total > 300 && "; zoom in to see them, they are shown for up to 300 game sessions"}.</li></ul>}
      </section>
      {picked && (
        <section class="panel" aria-label="Picked game session"><div class="row"><GameLink id={picked.id} /><Status of={picked.status} /><span>{picked.players} of {picked.maximum} players</span><span>{clock(picked.from)} – {picked.to ? clock(picked.to) : "now"}</span></div></section>
      )}
      {data.detailed && rows.length > 0 && (
        <section class="panel" aria-label="Game sessions in the timeline">
          <h2>The same as a table</h2>
          <div class="scroll" tabIndex={0} role="region" aria-label="Game sessions">
            <table><thead><tr><th scope="col">Host</th><th scope="col">Game session</th><th scope="col">Status</th><th scope="col">From</th><th scope="col">To</th><th scope="col" class="num">Lasted</th><th scope="col">Players</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
              <tbody>{rows.flatMap((l) => (l.bars ?? []).slice(0, 20).map((b) => (
                <tr key={b.id}><td class="nowrap"><bdi>{l.host}</bdi></td><td><GameLink id={b.id} /></td><td><Status of={b.status} /></td><td><When at={b.from} /></td><td><When at={b.to} /></td><td class="num nowrap">{span((b.to || data.now) - b.from)}</td>
                  <td>{b.to ? (b.stays ? `${n(b.stays.length)} in all` : "") : `${b.players} of ${b.maximum}`}{b.stays?.slice(0, 3).map((s) => <> <PlayerLink id={s.player} /></>)}{(b.stays?.length ?? 0) > 3 && <span class="dim"> and {n(b.stays!.length - 3)} more</span>}</td>
                  <td><Cli command="describe-game-sessions" args={[["game-session-id", b.id]]} what="the game session" /></td></tr>
              ))).slice(0, 200)}</tbody></table>
          </div>
        </section>
      )}
      {!data.detailed && (
        <section class="panel" aria-label="Hosts in the timeline">
          <h2>The same as a table</h2>
          <div class="scroll" tabIndex={0} role="region" aria-label="Hosts"><table><thead><tr><th scope="col">Host</th><th scope="col" class="num">Game sessions</th><th scope="col" class="num">Most at once</th></tr></thead>
            <tbody>{rows.map((l) => <tr key={l.host}><td><a href={link("sessions", "", { fleet: p.fleet, compute: l.host })}><bdi>{l.host}</bdi></a></td><td class="num">{n(l.count)}</td><td class="num">{n(Math.max(...(l.load ?? [0])))}</td></tr>)}</tbody></table></div>
        </section>
      )}
    </div>
  );
}

// rowsOf lays the bars of a lane that overlap above each other.
function rowsOf(l: Lane): { placed: { b: Bar; row: number }[]; deep: number } {
  const ends: number[] = [];
  const placed = (l.bars ?? []).map((b) => {
    let row = ends.findIndex((e) => e <= b.from);
    if (row < 0) row = ends.length;
    ends[row] = b.to || Infinity;
    return { b, row };
  });
  return { placed, deep: ends.length };
}

const depth = (l: Lane) => rowsOf(l).deep;

const clipName = (s: string) => (s.length > 22 ? s.slice(0, 21) + "…" : s);

function frame(data: View, lanes: Lane[], css: (n: string) => string) {
  return {
    animation: false, useUTC: isUtc(), textStyle: { fontFamily: "system-ui" },
    grid: { left: 150, right: 16, top: 8, bottom: 30 },
    yAxis: { type: "category", data: lanes.map((l) => l.host), inverse: true, axisLabel: { color: css("--text"), formatter: clipName, interval: 0 }, axisTick: { show: false }, axisLine: { lineStyle: { color: css("--line") } }, splitLine: { show: true, lineStyle: { color: css("--line") } } },
    xAxis: { type: "time", min: data.from, max: data.to, axisLabel: { color: css("--dim") }, axisLine: { lineStyle: { color: css("--line") } }, splitLine: { show: true, lineStyle: { color: css("--line") } } },
  };
}

// What bars draw into.
interface Draw { value: (i: number) => number; coord: (v: [number, number]) => [number, number]; size: (v: [number, number]) => [number, number] }

function bars(data: View, lanes: Lane[], css: (n: string) => string) {
  const colors: Record<string, string> = { ACTIVE: css("--active"), ACTIVATING: css("--activating"), ERROR: css("--crashed") };
  const items = lanes.flatMap((l, lane) => {
    const { placed, deep } = rowsOf(l);
    return placed.map(({ b, row }) => ({ value: [lane, b.from, b.to || data.now, row, deep], bar: b }));
  });
  return {
    ...frame(data, lanes, css),
    tooltip: { renderMode: "richText", formatter: (i: { data: { bar: Bar } }) => `${i.data.bar.status}\n${i.data.bar.to ? `${i.data.bar.maximum} seats` : `${i.data.bar.players} of ${i.data.bar.maximum} players`}\n${clock(i.data.bar.from)} – ${i.data.bar.to ? clock(i.data.bar.to) : "now"}` },
    dataZoom: [{ type: "inside", filterMode: "weakFilter", zoomOnMouseWheel: "ctrl" }],
    series: [{
      type: "custom", progressive: 0, encode: { x: [1, 2], y: 0 }, data: items,
      renderItem: (params: { dataIndex: number; coordSys: { x: number; y: number; width: number; height: number } }, api: Draw) => {
        const { bar } = items[params.dataIndex];
        const [x0, y] = api.coord([api.value(1), api.value(0)]);
        const [x1] = api.coord([api.value(2), api.value(0)]);
        const whole = api.size([0, 1])[1] * 0.82;
        const each = whole / Math.max(1, api.value(4));
        const top = y - whole / 2 + each * api.value(3);
        const left = Math.max(x0, params.coordSys.x);
        const right = Math.min(Math.max(x1, x0 + 2), params.coordSys.x + params.coordSys.width);
        const h = Math.max(1, each - 1);
        const children: unknown[] = [{ type: "rect", shape: { x: left, y: top, width: Math.max(1, right - left), height: h, r: 2 }, style: { fill: colors[bar.status] ?? css("--ending"), opacity: bar.stays?.length ? 0.45 : 0.9 } }];
        (bar.stays ?? []).forEach((s, i, all) => {
          const py = top + ((i + 0.5) * h) / all.length;
          const line = (a: number, b: number, width: number) => {
            const xa = Math.max(left, api.coord([a, 0])[0]);
            const xb = Math.min(right, api.coord([b, 0])[0]);
            if (xb > xa) children.push({ type: "line", shape: { x1: xa, y1: py, x2: xb, y2: py }, style: { stroke: css("--text"), lineWidth: width } });
          };
          const over = s.to || data.now;
          line(s.from, s.joined || over, Math.min(1, (0.3 * h) / all.length));
          if (s.joined) line(s.joined, over, Math.max(0.8, Math.min(3, (0.6 * h) / all.length)));
        });
        return { type: "group", children };
      },
    }],
  };
}

function density(data: View, lanes: Lane[], css: (n: string) => string) {
  const step = (data.to - data.from) / data.parts;
  const most = Math.max(1, ...lanes.map((l) => Math.max(...(l.load ?? [0]))));
  // Neighbours of one shade are one rectangle.
  const shades = 12;
  const shade = (v: number) => Math.ceil((shades * v) / most);
  const cells = lanes.flatMap((l, lane) => {
    const load = l.load ?? [];
    const runs: { value: number[] }[] = [];
    for (let i = 0, end = 0; i < load.length; i = end) {
      end = i + 1;
      while (end < load.length && shade(load[end]) === shade(load[i])) end++;
      if (load[i] > 0) runs.push({ value: [lane, data.from + i * step, data.from + end * step, Math.max(...load.slice(i, end))] });
    }
    return runs;
  });
  return {
    ...frame(data, lanes, css),
    tooltip: { renderMode: "richText", formatter: (i: { data: { value: number[] } }) => `up to ${i.data.value[3]} game sessions at once\n${clock(i.data.value[1])}` },
    series: [{
      type: "custom", progressive: 0, encode: { x: [1, 2], y: 0 }, data: cells,
      renderItem: (_p: unknown, api: Draw) => {
        const [x0, y] = api.coord([api.value(1), api.value(0)]);
        const [x1] = api.coord([api.value(2), api.value(0)]);
        const h = api.size([0, 1])[1] * 0.85;
        return { type: "rect", shape: { x: x0, y: y - h / 2, width: x1 - x0 + 0.5, height: h }, style: { fill: css("--active"), opacity: 0.15 + (0.85 * api.value(3)) / most } };
      },
    }],
  };
}
