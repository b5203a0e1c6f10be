import { useEffect, useState } from "preact/hooks";
import { get, type Sample } from "../api";
import { ago, bytes, f1, n, span } from "../format";
import { change, link, type Route } from "../route";
import { Plot } from "../plot";
import { Cli, Copy, Empty, Failed, Figures, FleetLink, Head, Panel, Status, When, useData, useShared } from "../ui";

export interface FleetLine {
  id: string; arn: string; name: string; status: string; type: string; created: number; computes: number; processes: number;
  free: number; hosting: number; sessions: number; activating: number; players: number; seats: number;
}
export interface HostLine {
  name: string; location: string; address: string; os: string; version: string; capacity: number; used: number; cpu: number;
  memory: number; memoryOf: number; connected: boolean; draining: boolean; lost: boolean; seen: number;
}
export interface Change { at: number; kind: string; what: string; on: string; who: string; text: string; times: number }
interface View { samples: Sample[]; fleets: FleetLine[]; changes: Change[]; hosts: HostLine[]; problems: { text: string; link: string }[] }

// useSamples are the last ten minutes, one a second, or a day, one a minute.
function useSamples(day: boolean): Sample[] {
  const { latest } = useShared();
  const [list, set] = useState<Sample[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    const read = () => get<{ samples: Sample[] }>("series", { span: day ? "day" : "" }, stop.signal).then((v) => set(v.samples), () => undefined);
    void read();
    const timer = day ? setInterval(read, 30000) : 0;
    return () => { stop.abort(); clearInterval(timer); };
  }, [day]);
  useEffect(() => {
    if (latest && !day) set((l) => (l.length && l[l.length - 1].at >= latest.at ? l : [...l.slice(-599), latest]));
  }, [latest]);
  return list;
}

export function Overview(p: { route: Route }) {
  const { latest } = useShared();
  const { data, error } = useData<View>("overview", {}, 5000);
  const day = p.route.query.get("span") === "day";
  const samples = useSamples(day);
  const now = latest ?? samples[samples.length - 1];
  const at = samples.map((s) => s.at);
  const names = new Map((data?.fleets ?? []).map((f) => [f.id, f.name]));
  const marks = (data?.changes ?? []).map((c) => ({ at: c.at, text: `${names.get(c.on) || c.who || c.on}: ${c.what}, ${plain(c.text, c.on)}` }));
  const hosts = data?.hosts ?? [];
  return (
    <>
      <Head title="Overview">
        <label class="row dim">Time
          <select value={day ? "day" : "now"} onChange={(e) => change(p.route, { span: e.currentTarget.value === "day" ? "day" : undefined })}>
            <option value="now">10 minutes</option><option value="day">1 day</option>
          </select>
        </label>
      </Head>
      <Failed error={error} />
      <div class="grid">
        <Figures list={[
          { n: count(now?.players), label: "players", note: now && `${n(now.seats)} seats free` },
          { n: count(now?.sessions), label: "game sessions", note: now && (now.activating ? `${n(now.activating)} activating` : "active"), to: link("sessions", "", { status: "ACTIVE" }) },
          { n: count(now?.free), label: "free processes", note: now && `of ${n(now.processes)}`, tone: now && now.processes > 0 && now.free === 0 ? "bad" : "" },
          { n: count(hosts.length || now?.computes), label: hosts.length ? "hosts" : "computes", note: hosts.length ? `${hosts.filter((h) => h.connected).length} connected, ${n(now?.computes ?? 0)} computes` : "registered" },
          { n: count(now?.requests), label: "API requests/s", note: now && (now.errors ? `${f1(now.errors)} errors/s` : "no errors") },
          { n: now?.p99 ? span(now.p99) : "–", label: "p99", note: "time of API answers" },
        ]} />
        {data?.fleets.length === 0 && <Begin />}
        {data && data.problems.length > 0 && (
          <Panel title="To look at"><ul class="problems">{data.problems.map((p) => <li key={p.text}><a href={p.link}><bdi>{p.text}</bdi></a></li>)}</ul></Panel>
        )}
        <Panel title="Players and free seats" size="s6"><Plot label="Players and free seats" at={at} marks={marks} lines={[
          { name: "Players", values: samples.map((s) => s.players), color: "--c1", fill: true },
          { name: "Free seats", values: samples.map((s) => s.seats), color: "--c3", dash: true },
        ]} /></Panel>
        <Panel title="Game sessions and free processes" size="s6"><Plot label="Game sessions and free processes" at={at} marks={marks} lines={[
          { name: "Sessions", values: samples.map((s) => s.sessions), color: "--c1", fill: true },
          { name: "Free processes", values: samples.map((s) => s.free), color: "--c3", dash: true },
        ]} /></Panel>
        <Panel title="API requests a second" size="s6"><Plot label="API requests a second" at={at} marks={marks} lines={[
          { name: "Requests/s", values: samples.map((s) => s.requests), color: "--c1", fill: true },
          { name: "Errors/s", values: samples.map((s) => s.errors), color: "--c5" },
        ]} /></Panel>
        <Panel title="Time of API answers" size="s6"><Plot label="99th percentile of the time of API answers, milliseconds" at={at} marks={marks} lines={[
          { name: "p99, ms", values: samples.map((s) => s.p99 || null), color: "--c2" },
        ]} /></Panel>
        <div class="s8 column">
          <Panel title={`Fleets${data?.fleets.length ? ` (${n(data.fleets.length)})` : ""}`}><FleetTable fleets={data?.fleets} /></Panel>
          {hosts.length > 0 && <Panel title="Hosts"><HostTable hosts={hosts} /></Panel>}
        </div>
        <Panel title="What changed in the last hour" size="s4">{data && <ChangeList changes={data.changes} names={names} />}</Panel>
      </div>
    </>
  );
}

const count = (v?: number) => (v === undefined ? "–" : v < 10 && v % 1 ? f1(v) : n(v));

// Begin says what to do on a server that has nothing yet.
function Begin() {
  const { visit } = useShared();
  const aws = (text: string) => `aws gamelift ${text} --endpoint-url ${visit.endpoint} --region ${visit.region}`;
  const steps: [string, string][] = [
    ["Name the place where your game servers run", aws("create-location --location-name custom-home")],
    ["Make a fleet for computers of your own", aws("create-fleet --name arena --compute-type ANYWHERE --locations Location=custom-home")],
    ["Register one, then start a game server on it", aws("register-compute --fleet-id FLEET --compute-name this-machine --ip-address 127.0.0.1 --location custom-home")],
  ];
  return (
    <Panel title="Nothing runs yet">
      <ol class="steps">{steps.map(([what, text]) => <li key={what}>{what} <Copy small text={text} label="Copy" done="Copied the AWS CLI command" /><pre tabIndex={0}>{text}</pre></li>)}</ol>
      <p class="dim" style={{ margin: "8px 0 0" }}>Or see one run: <code>matchyard demo --keep</code> starts a server, a game server and players. Managed fleets begin with <code>aws gamelift upload-build</code>.</p>
    </Panel>
  );
}

export function FleetTable(p: { fleets?: FleetLine[] }) {
  if (!p.fleets) return <Empty>Reading…</Empty>;
  if (!p.fleets.length) return <Empty>There is no fleet yet. <code>aws gamelift create-fleet</code> makes one.</Empty>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Fleets">
      <table>
        <thead><tr><th scope="col">Fleet</th><th scope="col">Status</th><th scope="col">Type</th><th scope="col" class="num">Computes</th><th scope="col" class="num">Processes</th>
          <th scope="col" class="num">Free</th><th scope="col" class="num">Sessions</th><th scope="col" class="num">Players</th><th scope="col">Full</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
        <tbody>
          {p.fleets.map((f) => (
            <tr key={f.id}>
              <td><FleetLink id={f.id} name={f.name} /></td><td><Status of={f.status} /></td><td>{f.type}</td><td class="num">{n(f.computes)}</td><td class="num">{n(f.processes)}</td>
              <td class={`num ${f.processes > 0 && f.free === 0 ? "bad" : ""}`}>{n(f.free)}</td><td class="num">{n(f.sessions)}{f.activating > 0 && <span class="warn" title="activating"> +{n(f.activating)}</span>}</td>
              <td class="num">{n(f.players)}</td><td><Share part={f.players} of={f.seats} /></td>
              <td><Cli command="describe-fleet-attributes" args={[["fleet-ids", f.id]]} what="the fleet" /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Share(p: { part: number; of: number }) {
  if (!p.of) return <span class="dim">–</span>;
  return <span class="row nowrap"><meter min={0} max={p.of} value={p.part} aria-label={`${p.part} of ${p.of}`} style={{ width: "36px" }} />{Math.round((100 * p.part) / p.of)} %</span>;
}

// plain is the text of an event without what is known where it is shown.
export function plain(text: string, fleet: string): string {
  const short = text.replaceAll(`Fleet ${fleet} `, "").replaceAll(` of fleet ${fleet}`, "").replaceAll(`fleet ${fleet}`, "the fleet");
  return short.charAt(0).toUpperCase() + short.slice(1);
}

export function ChangeList(p: { changes: Change[]; names: Map<string, string> }) {
  if (!p.changes.length) return <Empty>Nothing changed.</Empty>;
  const sorted = [...p.changes].sort((a, b) => b.at - a.at);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Changes">
      <ul class="feed">{sorted.map((c, i) => (
        <li key={i}><When at={c.at} /><div><b>{c.what}</b>{c.times > 1 && <span class="dim"> ×{c.times}</span>} {c.kind === "fleet" ? <FleetLink id={c.on} name={p.names.get(c.on)} /> : <span class="dim"><bdi>{c.who}</bdi> <bdi>{c.on}</bdi></span>}
          <div class="dim"><bdi>{plain(c.text, c.on)}</bdi></div></div></li>
      ))}</ul>
    </div>
  );
}

export function HostTable(p: { hosts: HostLine[] }) {
  const { visit } = useShared();
  if (!p.hosts.length) return <Empty>No host agent has joined.</Empty>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Hosts">
      <table>
        <thead><tr><th scope="col">Host</th><th scope="col">State</th><th scope="col">Location</th><th scope="col">Instances</th><th scope="col" class="num">CPU</th><th scope="col">Memory</th><th scope="col">Agent</th><th scope="col">Seen</th></tr></thead>
        <tbody>{p.hosts.map((h) => (
          <tr key={h.name}><td><bdi>{h.name}</bdi><br /><span class="dim">{h.address}</span></td><td><Status of={h.lost ? "LOST" : h.draining ? "DRAINING" : h.connected ? "ACTIVE" : "AWAY"} /></td><td>{h.location}</td>
            <td class="nowrap">{n(h.used)} of {n(h.capacity)}</td><td class="num">{Math.round(h.cpu * 100)} %</td><td class="nowrap">{bytes(h.memory)} of {bytes(h.memoryOf)}</td><td>{h.version} {h.os}</td><td class="nowrap" title={new Date(h.seen).toISOString()}>{ago(h.seen, visit.now + performance.now())}</td></tr>
        ))}</tbody>
      </table>
    </div>
  );
}
