import { useState } from "preact/hooks";
import { get } from "../api";
import { bytes, clock, iso, n } from "../format";
import { Plot } from "../plot";
import { change, link, type Route } from "../route";
import { Cli, Empty, Failed, Figures, GameLink, Head, Panel, SpanPicker, Status, When, message, useData, useShared } from "../ui";
import { FleetTable, Share, plain, type FleetLine } from "./overview";

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
  description: string; instance: string; script: string; places: Place[];
  build?: { id: string; name: string; version: string; os: string; sdk: string; size: number };
  launches: { path: string; parameters: string; count: number }[]; versions: { sdk: string; count: number }[];
  policies: { name: string; type: string; metric: string; text: string; status: string }[];
}
interface Cell { id: string; state: string; port: number; sdk: string; why?: string }
interface Rack { name: string; location: string; ip: string; managed: boolean; draining: boolean; created: number; free: number; hosting: number; activating: number; unwell: number; cells: Cell[] }

const states: [string, string][] = [
  ["free", "free"], ["activating", "activating"], ["active", "active game session"], ["ending", "told to end"], ["starting", "not ready yet"],
  ["unwell", "unhealthy or not connected"], ["crashed", "crashed in the last 5 min"], ["ended", "ended in the last 5 min"],
];

const perPage = 60;

// cells are a host's processes, and of those that ended in peace the first few.
const cells = (r: Rack) => { let ended = 0; return r.cells.filter((c) => c.state !== "ended" || ++ended <= 4); };

export function Fleet(p: { route: Route }) {
  const id = p.route.id;
  const { data, error } = useData<View>("fleet", { id }, 5000);
  if (!data) return <><Head title="Fleet" crumbs={[["Fleets", link("fleets")]]} /><Failed error={error} />{!error && <Empty>Reading…</Empty>}</>;
  const sum = (f: (l: Place) => number) => data.places.reduce((t, l) => t + f(l), 0);
  const managed = data.type === "EC2";
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
        <Figures list={[
          { n: n(data.players), label: "players", note: `of ${n(data.seats)} seats in game sessions` },
          { n: n(data.sessions), label: "game sessions", note: data.activating ? `${n(data.activating)} activating` : "active", to: link("sessions", "", { fleet: id, status: "ACTIVE" }) },
          { n: n(data.free), label: "free processes", note: `of ${n(data.processes)}`, tone: data.processes > 0 && data.free === 0 ? "bad" : "" },
          managed
            ? { n: n(sum((l) => l.active)), label: "active instances", note: `${n(sum((l) => l.desired))} desired, ${n(sum((l) => l.min))}–${n(sum((l) => l.max))} allowed` }
            : { n: n(data.computes), label: "computes", note: "registered" },
        ]} />
        <div class="s8 column">
        <Heat route={p.route} fleet={data} />
        <Panel title="Locations and capacity">
          <div class="scroll" tabIndex={0} role="region" aria-label="Locations">
            <table>
              <thead><tr><th scope="col">Location</th><th scope="col">Status</th>{managed && <><th scope="col" class="num">Desired</th><th scope="col" class="num">Min–max</th></>}<th scope="col">{managed ? "Instances" : "Computes"}</th>
                <th scope="col" class="num">Free</th><th scope="col" class="num">Hosting</th><th scope="col">Used</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
              <tbody>{data.places.map((l) => (
                <tr key={l.location}><td class="nowrap">{l.location}</td><td><Status of={l.status} />{l.stopped && <span class="warn"> scaling stopped</span>}</td>
                  {managed && <><td class="num">{n(l.desired)}</td><td class="num nowrap">{l.min}–{l.max}</td></>}
                  <td>{managed ? instances(l) : n(l.computes)}</td>
                  <td class="num">{n(l.free)}</td><td class="num">{n(l.hosting)}</td><td><Share part={l.hosting} of={l.hosting + l.free} /></td>
                  <td>{managed
                    ? <Cli command="describe-fleet-location-capacity" args={[["fleet-id", id], ["location", l.location]]} what="the location's capacity" />
                    : <Cli command="describe-fleet-location-attributes" args={[["fleet-id", id], ["locations", l.location]]} what="the location" />}</td></tr>
              ))}</tbody>
            </table>
          </div>
        </Panel>
        <Recent fleet={id} />
        </div>
        <div class="s4 column"><Events id={id} /><Runs id={id} fleet={data} /></div>
        {managed && <Scaling route={p.route} fleet={data} />}
      </div>
    </>
  );
}

function instances(l: Place): string {
  const parts: [number, string][] = [[l.active, "active"], [l.idle, "idle"], [l.pending, "pending"], [l.ending, "ending"]];
  return parts.filter(([v], i) => v > 0 || i === 0).map(([v, name], i) => (i === 1 ? `of them ${n(v)} idle` : `${n(v)} ${name}`)).join(", ");
}

// Heat is the hosts, a cell a process; of one, its processes in words too.
function Heat(p: { route: Route; fleet: View }) {
  const id = p.fleet.id;
  const managed = p.fleet.type === "EC2";
  const page = Number(p.route.query.get("page") ?? 0) || 0;
  const open = p.route.query.get("host") ?? "";
  const wrong = p.route.query.get("bad") === "1";
  const { data, error } = useData<{ racks: Rack[]; total: number; bad: number }>("racks", { fleet: id, skip: page * perPage, limit: perPage, bad: wrong ? 1 : undefined }, 3000);
  const [picked, pick] = useState("");
  const total = data?.total ?? 0;
  const shown = data?.racks.find((r) => r.name === open);
  const show = (name: string, process = "") => { change(p.route, { host: name === open && !process ? undefined : name }); pick(process); };
  return (
    <Panel title={`${managed ? "Instances" : "Computes"} and their processes (${n(total)}${wrong ? " bad ones" : ""})`}
      extra={managed ? <Cli command="describe-instances" args={[["fleet-id", id]]} what="the instances" /> : <Cli command="list-compute" args={[["fleet-id", id]]} what="the computes" />}>
      <Failed error={error} />
      {data && (data.bad > 0 || wrong) && (
        <label class="row" style={{ marginBottom: "8px" }}><input type="checkbox" checked={wrong} onChange={(e) => change(p.route, { bad: e.currentTarget.checked ? 1 : undefined, page: undefined, host: undefined })} />
          <span>only the <b class={data.bad ? "bad" : ""}>{n(data.bad)}</b> where processes are unhealthy, not connected or crashed in the last 5 minutes</span></label>
      )}
      {total === 0 && data && (wrong ? <Empty>None now.</Empty> : managed
        ? <Empty>No instance. {p.fleet.places.every((l) => l.desired === 0) ? <>None is desired: raise the capacity with <code>aws gamelift update-fleet-capacity</code>.</> : "The events tell how far the fleet is; a host agent has to be there (Operations, Hosts)."}</Empty>
        : <Empty>No compute yet. <code>aws gamelift register-compute</code> adds one to an Anywhere fleet.</Empty>)}
      <div class="heat" role="list" aria-label="Hosts, a cell a process">
        {data?.racks.map((r) => (
          <div role="listitem" style={{ display: "contents" }} key={r.name}>
            <div class="row nowrap tight">
              <button type="button" class="link" aria-expanded={r.name === open} aria-label={`Processes of ${r.name}`} onClick={() => show(r.name)}>{r.name === open ? "▾" : "▸"}</button>
              <a class="clip" href={link("sessions", "", { fleet: id, compute: r.name })} title={`Game sessions of ${r.name}, ${r.location}, ${r.ip}`}><bdi>{r.name}</bdi></a>
              <span class="sr">{`${r.free} free, ${r.hosting} hosting, ${r.activating} activating, ${r.unwell} unwell`}</span>
              {r.draining && <span class="warn">draining</span>}
            </div>
            <div class="cells" aria-hidden="true">
              {r.cells.length === 0 && <span class="dim">no process</span>}
              {cells(r).map((c) => <span class={`cell ${c.state} ${c.id === picked ? "picked" : ""}`} key={c.id} title={`${c.id}: ${c.state}${c.why ? " (" + c.why + ")" : ""}, port ${c.port}, SDK ${c.sdk}`} onClick={() => show(r.name, c.id)} />)}
              {r.cells.length > cells(r).length && <span class="dim more">+{r.cells.length - cells(r).length} ended</span>}
            </div>
          </div>
        ))}
      </div>
      {total > perPage && (
        <div class="row" style={{ marginTop: "10px" }}>
          <button type="button" disabled={page === 0} onClick={() => change(p.route, { page: page - 1 || undefined, host: undefined })}>Earlier hosts</button>
          <span class="dim">{page * perPage + 1}–{Math.min(total, (page + 1) * perPage)} of {n(total)}</span>
          <button type="button" disabled={(page + 1) * perPage >= total} onClick={() => change(p.route, { page: page + 1, host: undefined })}>Later hosts</button>
        </div>
      )}
      {total > 0 && <ul class="legend">{states.map(([s, text]) => <li key={s}><span class={`cell ${s}`} />{text}</li>)}</ul>}
      {shown && (
        <section aria-label={`Processes of ${shown.name}`} style={{ marginTop: "10px" }}>
          <div class="row"><h2 style={{ flex: 1, margin: 0 }}>Processes of <bdi>{shown.name}</bdi></h2><span class="dim">{shown.location}, {shown.ip}, since {clock(shown.created)}</span>
            <Cli command="describe-compute" args={[["fleet-id", id], ["compute-name", shown.name]]} what="the compute" /></div>
          {shown.cells.length === 0 ? <Empty>No process.</Empty> : (
            <div class="scroll" tabIndex={0} role="region" aria-label="Processes"><table>
              <thead><tr><th scope="col">Process</th><th scope="col">State</th><th scope="col" class="num">Port</th><th scope="col">Server SDK</th></tr></thead>
              <tbody>{shown.cells.map((c) => <tr key={c.id} class={c.id === picked ? "picked" : ""}><td><code>{c.id}</code></td><td><span class={`cell ${c.state} in`} aria-hidden="true" /> {c.state}{c.why && <span class="dim"> {c.why}</span>}</td><td class="num">{c.port || "–"}</td><td>{c.sdk || "–"}</td></tr>)}</tbody>
            </table></div>
          )}
        </section>
      )}
    </Panel>
  );
}

interface Event { id: string; at: number; code: string; text: string; times: number; logged: boolean }

// Events are what happened to a fleet, newest first, with the logs of its creation.
function Events(p: { id: string }) {
  const first = useData<{ events: Event[]; next: string }>("fleet/events", { fleet: p.id }, 5000);
  const [older, setOlder] = useState<{ events: Event[]; next: string }[]>([]);
  const [error, setError] = useState<string>();
  const pages = [...(first.data ? [first.data] : []), ...older];
  const list = pages.flatMap((x) => x.events);
  const next = pages[pages.length - 1]?.next;
  const more = () => get<{ events: Event[]; next: string }>("fleet/events", { fleet: p.id, next }).then((v) => setOlder((o) => [...o, v]), (e: unknown) => setError(message(e)));
  return (
    <Panel title="Events" extra={<Cli command="describe-fleet-events" args={[["fleet-id", p.id]]} what="the events" />}>
      <Failed error={first.error ?? error} />
      {first.data && list.length === 0 && <Empty>Nothing happened to it.</Empty>}
      <div class="scroll" tabIndex={0} role="region" aria-label="Fleet events">
        <ul class="feed">{list.map((e) => (
          <li key={e.id}><When at={e.at} /><div><b class={/FAIL|ERROR|CRASH|TIMED_OUT|TIMEOUT|INVALID|UNHEALTHY|INTERRUPTED/.test(e.code) ? "bad" : ""}>{e.code}</b>{e.times > 1 && <span class="dim"> ×{e.times}</span>}
            <div class="dim"><bdi>{plain(e.text, p.id)}</bdi></div>{e.logged && <Log fleet={p.id} event={e} />}</div></li>
        ))}</ul>
        {next && <button type="button" onClick={more}>Older</button>}
      </div>
    </Panel>
  );
}

// Log is what a step of the creation said, read when somebody opens it.
function Log(p: { fleet: string; event: Event }) {
  const [text, set] = useState<string>();
  const read = (e: { currentTarget: HTMLDetailsElement }) => {
    if (!e.currentTarget.open || text !== undefined) return;
    get<{ text: string }>("fleet/log", { fleet: p.fleet, event: p.event.id, code: p.event.code }).then((v) => set(v.text || "It said nothing."), (e: unknown) => set(message(e)));
  };
  return <details onToggle={read}><summary>log</summary><pre tabIndex={0}>{text ?? "…"}</pre></details>;
}

// Runs is what a fleet's processes are.
function Runs(p: { id: string; fleet: View }) {
  const f = p.fleet;
  const { visit } = useShared();
  return (
    <Panel title="What it runs" extra={f.type === "EC2" && <Cli command="describe-runtime-configuration" args={[["fleet-id", p.id]]} what="the runtime configuration" />}>
      <dl class="facts">
        {f.build && <><dt>Build</dt><dd><b><bdi>{f.build.name || "deleted"}</bdi></b>{f.build.version && <> version <b><bdi>{f.build.version}</bdi></b></>} <Cli command="describe-build" args={[["build-id", f.build.id]]} what="the build" />
          <br /><code class="dim">{f.build.id}</code><br /><span class="dim">{[f.build.os, f.build.size > 0 && bytes(f.build.size), f.build.sdk && `made for SDK ${f.build.sdk}`].filter(Boolean).join(", ")}</span></dd></>}
        {f.script && <><dt>Script</dt><dd><code>{f.script}</code> <Cli command="describe-script" args={[["script-id", f.script]]} what="the script" /></dd></>}
        {f.instance && <><dt>Instance type</dt><dd>{f.instance}</dd></>}
        {f.launches.map((l) => <><dt>On each</dt><dd>{l.count} × <code>{l.path}</code>{l.parameters && <><br /><code class="dim"><bdi>{l.parameters}</bdi></code></>}</dd></>)}
        {f.versions.map((v) => <><dt>{v.sdk ? `SDK ${v.sdk}` : "SDK unknown"}</dt><dd>{n(v.count)} processes</dd></>)}
        {f.versions.length === 0 && <><dt>SDK</dt><dd class="dim">no process runs</dd></>}
        {f.description && <><dt>Description</dt><dd><bdi>{f.description}</bdi></dd></>}
        <dt>Created</dt><dd>{clock(f.created, visit.now)}</dd>
        <dt>Fleet id</dt><dd><code>{f.id}</code></dd>
      </dl>
    </Panel>
  );
}

interface Point { at: number; desired: number; min: number; max: number; pending: number; active: number; idle: number; free: number; sessions: number; players: number; waiting: number }
interface Decision { at: number; location: string; from: number; to: number; min: number; max: number; why: string }
interface Capacity { since: number; now: number; points: Point[]; decisions: Decision[] }

const moved = (d: Decision) => (d.from === d.to ? `limits ${d.min}–${d.max}` : `${d.from} → ${d.to}`);

// Scaling is the history of the capacity that the server keeps, with what changed it.
function Scaling(p: { route: Route; fleet: View }) {
  const id = p.fleet.id;
  const span = Number(p.route.query.get("span")) || 3600;
  const location = p.route.query.get("location") ?? "";
  const { data, error } = useData<Capacity>("capacity", { fleet: id, span, location }, 10000);
  const at = data?.points.map((x) => x.at) ?? [];
  const range = data && ([data.since, data.now] as [number, number]);
  const marks = (data?.decisions ?? []).map((d) => ({ at: d.at, text: `${d.location}: ${moved(d)}, ${d.why}`, color: d.to > d.from ? "--c3" : d.to < d.from ? "--c2" : "--c4" }));
  const line = (name: string, of: (x: Point) => number, color: string, more: object = {}) => ({ name, values: data!.points.map(of), color, ...more });
  return (
    <Panel title="Capacity and scaling" extra={<>
      {p.fleet.places.length > 1 && (
        <label class="row dim">Location<select value={location} onChange={(e) => change(p.route, { location: e.currentTarget.value || undefined })}>
          <option value="">all</option>{p.fleet.places.map((l) => <option key={l.location}>{l.location}</option>)}</select></label>
      )}
      <SpanPicker value={span} set={(v) => change(p.route, { span: v })} />
      <Cli command="describe-fleet-capacity" args={[["fleet-ids", id]]} what="the capacity" />
    </>}>
      <Failed error={error} />
      {data && data.points.length === 0 && <Empty>No history in this time yet: a point is written every 10 seconds.</Empty>}
      {data && data.points.length > 0 && (
        <div class="grid">
          <div class="s6"><h3>Instances</h3><Plot label="Instances: desired, active, idle and pending" whole height={170} at={at} range={range} marks={marks} lines={[
            line("Desired", (x) => x.desired, "--c4", { dash: true, step: true }), line("Active", (x) => x.active, "--c1", { fill: true, step: true }),
            line("Idle", (x) => x.idle, "--c3", { step: true }), line("Most allowed", (x) => x.max, "--ending", { dash: true, step: true }),
          ]} /></div>
          <div class="s6"><h3>Load</h3><Plot label="Game sessions, free processes and waiting placements" whole height={170} at={at} range={range} marks={marks} lines={[
            line("Game sessions", (x) => x.sessions, "--c1", { fill: true }), line("Free processes", (x) => x.free, "--c3"), line("Waiting placements", (x) => x.waiting, "--c5"),
          ]} /></div>
        </div>
      )}
      <h3>Decisions</h3>
      {data && data.decisions.length === 0 ? <Empty>The capacity was not changed in this time.</Empty> : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Scaling decisions"><table>
          <thead><tr><th scope="col">When</th><th scope="col">Location</th><th scope="col">Instances</th><th scope="col">By</th><th scope="col">Why</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
          <tbody>{data?.decisions.map((d, i) => {
            const [by, why] = author(d.why);
            return <tr key={i}><td><When at={d.at} /></td><td class="nowrap">{d.location}</td><td class={`nowrap ${d.to > d.from ? "good" : d.to < d.from ? "warn" : ""}`}>{d.to > d.from ? "▲ " : d.to < d.from ? "▼ " : ""}{moved(d)}</td><td><bdi>{by}</bdi></td><td><bdi class="whole">{why}</bdi></td>
              <td><Cli command="describe-fleet-events" args={[["fleet-id", id], ["start-time", iso(d.at)], ["end-time", iso(d.at + 1)]]} what="the event" /></td></tr>;
          })}</tbody></table></div>
      )}
      <h3>Policies</h3>
      {p.fleet.policies.length === 0 ? <Empty>No scaling policy: the capacity changes only when somebody changes it. <code>aws gamelift put-scaling-policy</code> makes one.</Empty> : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Scaling policies"><table><thead><tr><th scope="col">Policy</th><th scope="col">Metric</th><th scope="col">Rule</th><th scope="col">Status</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
          <tbody>{p.fleet.policies.map((s) => <tr key={s.name}><td><bdi>{s.name}</bdi></td><td>{s.metric}</td><td>{s.text}</td><td><Status of={s.status} /></td><td><Cli command="describe-scaling-policies" args={[["fleet-id", id]]} what="the scaling policies" /></td></tr>)}</tbody></table></div>
      )}
    </Panel>
  );
}

// author parts "policy buffer: 5 of 6 …" into who and why.
function author(why: string): [string, string] {
  const m = /^policy (.*?): (\S.*)$/s.exec(why);
  return m ? [`policy ${m[1]}`, m[2]] : [why, ""];
}

interface Line { id: string; name: string; status: string; players: number; maximum: number; created: number; compute: string }

function Recent(p: { fleet: string }) {
  const { data, error } = useData<{ sessions: Line[]; total: number }>("sessions", { fleet: p.fleet, limit: 10 }, 5000);
  return (
    <Panel title="Latest game sessions" extra={<a href={link("sessions", "", { fleet: p.fleet })}>all {data ? n(data.total) : ""}</a>}>
      <Failed error={error} />
      {data?.sessions.length === 0 ? <Empty>No game session yet.</Empty> : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Latest game sessions, table"><table><thead><tr><th scope="col">Game session</th><th scope="col">Name</th><th scope="col">Status</th><th scope="col">Host</th><th scope="col">Players</th><th scope="col">Created</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
          <tbody>{data?.sessions.map((g) => <tr key={g.id}><td><GameLink id={g.id} /></td><td><bdi>{g.name}</bdi></td><td><Status of={g.status} /></td><td class="nowrap"><bdi>{g.compute}</bdi></td><td class="nowrap">{g.players} of {g.maximum}</td><td><When at={g.created} /></td>
            <td><Cli command="describe-game-sessions" args={[["game-session-id", g.id]]} what="the game session" /></td></tr>)}</tbody></table></div>
      )}
    </Panel>
  );
}
