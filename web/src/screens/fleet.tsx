import { useState } from "preact/hooks";
import { clock, n } from "../format";
import { Plot } from "../plot";
import { change, link, type Route } from "../route";
import { Cli, Empty, Failed, GameLink, Head, Panel, Status, useData, useShared } from "../ui";
import { ChangeList, FleetTable, Share, type Change, type FleetLine } from "./overview";

export function Fleets() {
  const { data, error } = useData<{ fleets: FleetLine[] }>("fleets", {}, 5000);
  return (
    <>
      <Head title="Fleets"><Cli command="list-fleets" args={[]} what="all fleets" /></Head>
      <Failed error={error} />
      <section class="panel" aria-label="Fleets"><FleetTable fleets={data?.fleets} /></section>
    </>
  );
}

interface Place {
  location: string; status: string; managed: boolean; desired: number; min: number; max: number; stopped: boolean;
  pending: number; active: number; idle: number; ending: number; computes: number; free: number; hosting: number;
}
interface View extends FleetLine {
  description: string; build: string; instance: string; sdk: string; places: Place[]; events: Change[];
  policies: { name: string; type: string; metric: string; target: number; text: string; status: string }[];
}
interface Cell { id: string; state: string; port: number; sdk: string; why?: string }
interface Rack { name: string; location: string; ip: string; managed: boolean; draining: boolean; free: number; hosting: number; activating: number; unwell: number; cells: Cell[] }

const states: [string, string][] = [
  ["free", "free"], ["activating", "activating"], ["active", "active game session"], ["ending", "told to end"], ["starting", "not ready yet"],
  ["unwell", "unhealthy or not connected"], ["crashed", "crashed in the last 5 min"], ["ended", "ended in the last 5 min"],
];

const perPage = 60;

export function Fleet(p: { route: Route }) {
  const id = p.route.id;
  const page = Number(p.route.query.get("page") ?? 0) || 0;
  const { visit } = useShared();
  const { data, error } = useData<View>("fleet", { id }, 5000);
  const racks = useData<{ racks: Rack[]; total: number }>("racks", { fleet: id, skip: page * perPage, limit: perPage }, 3000);
  const [picked, pick] = useState<{ rack: string; cell: Cell }>();
  if (!data) return <><Head title="Fleet" crumbs={[["Fleets", link("fleets")]]} /><Failed error={error} />{!error && <Empty>Reading…</Empty>}</>;
  const scaling = data.events.filter((e) => e.what === "FLEET_SCALING_EVENT");
  const versions = new Map<string, number>();
  for (const r of racks.data?.racks ?? []) for (const c of r.cells) if (c.state !== "ended" && c.state !== "crashed") versions.set(c.sdk || "unknown", (versions.get(c.sdk || "unknown") ?? 0) + 1);
  const total = racks.data?.total ?? 0;
  return (
    <>
      <Head title={data.name || id} crumbs={[["Fleets", link("fleets")]]}>
        <Status of={data.status} />
        <a href={link("sessions", "", { fleet: id })}>Game sessions</a>
        <a href={link("timeline", "", { fleet: id })}>Timeline</a>
        <Cli command="describe-fleet-attributes" args={[["fleet-ids", id]]} what="the fleet" />
      </Head>
      <Failed error={error} />
      <div class="grid">
        <div class="figures">
          {([["players", data.players, `of ${n(data.seats)} seats`], ["game sessions", data.sessions, data.activating ? `${n(data.activating)} activating` : "active"],
            ["free processes", data.free, `of ${n(data.processes)}`], ["computes", data.computes, data.type]] as [string, number, string][]).map(([l, v, d]) => (
            <div class="figure" key={l}><div class="n">{n(v)}</div><div class="l">{l}</div><div class="d">{d}</div></div>
          ))}
        </div>
        <Panel title={`Hosts and processes (${n(total)})`} size="s8" extra={<Cli command="list-compute" args={[["fleet-id", id]]} what="the computes" />}>
          <Failed error={racks.error} />
          {total === 0 && racks.data && <Empty>No compute yet. <code>aws gamelift register-compute</code> adds one to an Anywhere fleet.</Empty>}
          <div class="heat" role="list" aria-label="Hosts, a cell a process">
            {racks.data?.racks.map((r) => (
              <div role="listitem" style={{ display: "contents" }} key={r.name}>
                <div>
                  <a class="clip" href={link("sessions", "", { fleet: id, compute: r.name })} title={`${r.name}, ${r.location}, ${r.ip}`}><bdi>{r.name}</bdi></a>
                  <span class="sr">{`${r.free} free, ${r.hosting} hosting, ${r.activating} activating, ${r.unwell} unwell`}</span>
                  {r.draining && <span class="warn"> draining</span>}
                </div>
                <div class="cells" aria-hidden="true">
                  {r.cells.length === 0 && <span class="dim">no process</span>}
                  {r.cells.map((c) => <span class={`cell ${c.state}`} key={c.id} title={`${c.id}: ${c.state}${c.why ? " (" + c.why + ")" : ""}, port ${c.port}, SDK ${c.sdk}`} onClick={() => pick({ rack: r.name, cell: c })} />)}
                </div>
              </div>
            ))}
          </div>
          {total > perPage && (
            <div class="row" style={{ marginTop: "10px" }}>
              <button type="button" disabled={page === 0} onClick={() => change(p.route, { page: page - 1 || undefined })}>Earlier hosts</button>
              <span class="dim">{page * perPage + 1}–{Math.min(total, (page + 1) * perPage)} of {n(total)}</span>
              <button type="button" disabled={(page + 1) * perPage >= total} onClick={() => change(p.route, { page: page + 1 })}>Later hosts</button>
            </div>
          )}
          <ul class="legend">{states.map(([s, text]) => <li key={s}><span class={`cell ${s}`} />{text}</li>)}</ul>
          {picked && <p role="status">Process <code>{picked.cell.id}</code> on <bdi>{picked.rack}</bdi>: {picked.cell.state}{picked.cell.why && ` (${picked.cell.why})`}, port {picked.cell.port}, SDK {picked.cell.sdk || "unknown"}</p>}
        </Panel>
        <Panel title="Events" size="s4" extra={<Cli command="describe-fleet-events" args={[["fleet-id", id]]} what="the events" />}><ChangeList changes={data.events} /></Panel>
        <Panel title="Locations and capacity" size="s8" extra={<Cli command="describe-fleet-location-attributes" args={[["fleet-id", id]]} what="the locations" />}>
          <div class="scroll" tabIndex={0} role="region" aria-label="Locations">
            <table>
              <thead><tr><th scope="col">Location</th><th scope="col">Status</th><th scope="col" class="num">Desired</th><th scope="col" class="num">Min–max</th><th scope="col">Instances</th><th scope="col" class="num">Free</th><th scope="col" class="num">Hosting</th><th scope="col">Used</th></tr></thead>
              <tbody>{data.places.map((l) => (
                <tr key={l.location}><td>{l.location}</td><td><Status of={l.status} />{l.stopped && <span class="warn"> scaling stopped</span>}</td>
                  <td class="num">{l.managed ? n(l.desired) : "–"}</td><td class="num">{l.managed ? `${l.min}–${l.max}` : "–"}</td>
                  <td>{l.managed ? `${l.active} active, ${l.idle} idle, ${l.pending} pending, ${l.ending} ending` : `${n(l.computes)} computes`}</td>
                  <td class="num">{n(l.free)}</td><td class="num">{n(l.hosting)}</td><td><Share part={l.hosting} of={l.hosting + l.free} /></td></tr>
              ))}</tbody>
            </table>
          </div>
        </Panel>
        <Panel title="Versions" size="s4">
          <dl class="facts">
            {data.build && <><dt>Build</dt><dd><code>{data.build}</code></dd></>}
            {data.instance && <><dt>Instance type</dt><dd>{data.instance}</dd></>}
            {data.description && <><dt>Description</dt><dd><bdi>{data.description}</bdi></dd></>}
            {[...versions].sort().map(([v, count]) => <><dt>SDK {v}</dt><dd>{n(count)} processes on this page</dd></>)}
            <dt>Created</dt><dd>{clock(data.created, visit.now)}</dd>
          </dl>
        </Panel>
        {data.type === "EC2" && (
          <Panel title="Scaling" extra={<Cli command="describe-scaling-policies" args={[["fleet-id", id]]} what="the scaling policies" />}>
            <Capacity id={id} events={scaling} />
            {data.policies.length === 0 ? <Empty>No scaling policy.</Empty> : (
              <table><thead><tr><th scope="col">Policy</th><th scope="col">Type</th><th scope="col">Metric</th><th scope="col" class="num">Target</th><th scope="col">Rule</th><th scope="col">Status</th></tr></thead>
                <tbody>{data.policies.map((s) => <tr key={s.name}><td><bdi>{s.name}</bdi></td><td>{s.type}</td><td>{s.metric}</td><td class="num">{s.target}</td><td>{s.text}</td><td><Status of={s.status} /></td></tr>)}</tbody></table>
            )}
            <h2 style={{ marginTop: "12px" }}>Decisions</h2>
            <ChangeList changes={scaling} />
          </Panel>
        )}
        <Recent fleet={id} />
      </div>
    </>
  );
}

// Capacity is desired against active since the page was opened, with decisions marked.
function Capacity(p: { id: string; events: Change[] }) {
  const [points, set] = useState<{ at: number; desired: number; active: number; idle: number }[]>([]);
  const { data } = useData<View>("fleet", { id: p.id }, 5000);
  const sum = (f: (l: Place) => number) => (data?.places ?? []).reduce((t, l) => t + f(l), 0);
  const [last, setLast] = useState<View>();
  if (data && data !== last) {
    setLast(data);
    set((l) => [...l.slice(-719), { at: Date.now(), desired: sum((x) => x.desired), active: sum((x) => x.active), idle: sum((x) => x.idle) }]);
  }
  return <Plot label="Instances: desired, active and idle" at={points.map((x) => x.at)} marks={p.events.map((e) => ({ at: e.at, text: e.text }))} lines={[
    { name: "Desired", values: points.map((x) => x.desired), color: "--c4", dash: true },
    { name: "Active", values: points.map((x) => x.active), color: "--c1", fill: true },
    { name: "Idle", values: points.map((x) => x.idle), color: "--c3" },
  ]} />;
}

interface Line { id: string; name: string; status: string; players: number; maximum: number; created: number; compute: string }

function Recent(p: { fleet: string }) {
  const { data, error } = useData<{ sessions: Line[]; total: number }>("sessions", { fleet: p.fleet, limit: 10 }, 5000);
  return (
    <Panel title="Latest game sessions" extra={<a href={link("sessions", "", { fleet: p.fleet })}>all {data ? n(data.total) : ""}</a>}>
      <Failed error={error} />
      {data?.sessions.length === 0 ? <Empty>No game session yet.</Empty> : (
        <table><thead><tr><th scope="col">Game session</th><th scope="col">Name</th><th scope="col">Status</th><th scope="col">Host</th><th scope="col">Players</th><th scope="col">Created</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
          <tbody>{data?.sessions.map((g) => <tr key={g.id}><td><GameLink id={g.id} /></td><td><bdi>{g.name}</bdi></td><td><Status of={g.status} /></td><td><bdi>{g.compute}</bdi></td><td>{g.players} of {g.maximum}</td><td>{clock(g.created)}</td>
            <td><Cli command="describe-game-sessions" args={[["game-session-id", g.id]]} what="the game session" /></td></tr>)}</tbody></table>
      )}
    </Panel>
  );
}

