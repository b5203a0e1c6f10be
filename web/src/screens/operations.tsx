import { useState } from "preact/hooks";
import { get, type Sample } from "../api";
import { bytes, f1, n, span } from "../format";
import { Plot } from "../plot";
import { Empty, Failed, Head, Panel, Status, When, message, useData } from "../ui";
import { HostTable, type HostLine } from "./overview";

interface View {
  version: string; go: string; goroutines: number; heap: number; database: string; bytes: number; read: number; node: string;
  nodes: { id: string; number: number; alive: boolean; this: boolean; leads: boolean }[]; leases: { name: string; holder: string; expires: number }[];
  sockets: Record<string, number>; faults: { client: string; key: string; operation: string; code: string; count: number; latest: number }[];
  sinks: { name: string; pending: number; lag: number; dead: number }[]; hosts: HostLine[]; samples: Sample[]; audited: boolean;
}
interface Dead { sink: string; id: string; type: string; reason: string; at: number; tries: number }
interface Audit { seq: number; at: number; key: string; name: string; from: string; request: string; operation: string; resources: string[]; outcome: string }

const socketsNow: [string, string][] = [["open", "open now"], ["processes", "processes behind them"], ["hosts", "host agents"], ["agents", "Amazon's agents"]];
const socketsSince: [string, string, boolean][] = [
  ["accepted", "accepted since the start", false], ["messages", "messages", false], ["pushes", "pushes to processes", false], ["refused", "refused dials", true], ["dropped", "dropped sockets", true],
  ["failed", "failed messages", true], ["returned", "pushes that came back", true], ["unhealthy", "processes given up as unhealthy", true],
];

export function Operations() {
  const { data, error } = useData<View>("operations", {}, 3000);
  const dead = useData<{ dead: Dead[] }>("dead", {}, 10000);
  const at = data?.samples.map((s) => s.at) ?? [];
  return (
    <>
      <Head title="Operations">{data && <span class="dim">{data.version}</span>}</Head>
      <Failed error={error} />
      {!data && !error && <Empty>Reading…</Empty>}
      {data && (
        <div class="grid">
          <div class="figures">
            {([["database", data.database === "sqlite" ? "SQLite" : "PostgreSQL", bytes(data.bytes)], ["small read", `${f1(data.read)} ms`, "just now"], ["sockets", n(data.sockets.open ?? 0), `${n(data.sockets.processes ?? 0)} processes known`],
              ["heap", bytes(data.heap), `${n(data.goroutines)} goroutines, ${data.go}`], ["events waiting", n(data.sinks.reduce((a, s) => a + s.pending, 0)), `${n(data.sinks.reduce((a, s) => a + s.dead, 0))} given up`]] as [string, string, string][]).map(([l, v, d]) => (
              <div class="figure" key={l}><div class="n">{v}</div><div class="l">{l}</div><div class="d">{d}</div></div>
            ))}
          </div>
          <Panel title="API requests a second" size="s6"><Plot label="API requests and errors a second" at={at} lines={[{ name: "Requests/s", values: data.samples.map((s) => s.requests), color: "--c1", fill: true }, { name: "Errors/s", values: data.samples.map((s) => s.errors), color: "--c5" }]} /></Panel>
          <Panel title="Time of API answers" size="s6"><Plot label="99th percentile of the time of API answers, milliseconds" at={at} lines={[{ name: "p99, ms", values: data.samples.map((s) => s.p99 || null), color: "--c2" }]} /></Panel>
          <Panel title="Nodes" size="s6">
            <div class="scroll" tabIndex={0} role="region" aria-label="Nodes"><table><thead><tr><th scope="col">Node</th><th scope="col" class="num">Number</th><th scope="col">State</th><th scope="col">Role</th></tr></thead>
              <tbody>{data.nodes.map((x) => <tr key={x.id}><td><code>{x.id}</code>{x.this && <span class="dim"> answers you</span>}</td><td class="num">{x.number}</td><td><Status of={x.alive ? "ACTIVE" : "LOST"} /></td><td>{x.leads ? "runs background work" : ""}</td></tr>)}</tbody></table></div>
          </Panel>
          <Panel title="Sockets of game servers" size="s6">
            {Object.keys(data.sockets).length === 0 ? <Empty>This node takes no sockets.</Empty> : (
              <div class="row pairs">
                <dl class="facts">{socketsNow.map(([k, name]) => <><dt>{name}</dt><dd class="num">{n(data.sockets[k] ?? 0)}</dd></>)}</dl>
                <dl class="facts">{socketsSince.map(([k, name, bad]) => <><dt>{name}</dt><dd class={`num ${bad && data.sockets[k] ? "warn" : ""}`}>{n(data.sockets[k] ?? 0)}</dd></>)}</dl>
              </div>
            )}
          </Panel>
          <Panel title="API errors by client and operation">
            {data.faults.length === 0 ? <Empty>No error since this node started.</Empty> : (
              <div class="scroll" tabIndex={0} role="region" aria-label="API errors">
                <table><thead><tr><th scope="col">Client</th><th scope="col">Access key</th><th scope="col">Operation</th><th scope="col">Error</th><th scope="col" class="num">Times</th><th scope="col">Latest</th></tr></thead>
                  <tbody>{data.faults.map((f, i) => <tr key={i}><td><bdi>{f.client}</bdi></td><td><bdi>{f.key}</bdi></td><td>{f.operation || <span class="dim">unknown</span>}</td><td><bdi>{f.code}</bdi></td><td class="num">{n(f.count)}</td><td><When at={f.latest} /></td></tr>)}</tbody></table>
              </div>
            )}
          </Panel>
          <Panel title="Events" size="s6">
            {data.sinks.length === 0 ? <Empty>No event is on its way, and none was given up.</Empty> : (
              <table><thead><tr><th scope="col">Sink</th><th scope="col" class="num">Waiting</th><th scope="col" class="num">Lag</th><th scope="col" class="num">Given up</th></tr></thead>
                <tbody>{data.sinks.map((s) => <tr key={s.name}><td>{s.name}</td><td class="num">{n(s.pending)}</td><td class="num">{span(s.lag)}</td><td class={`num ${s.dead ? "bad" : ""}`}>{n(s.dead)}</td></tr>)}</tbody></table>
            )}
          </Panel>
          <Panel title="Dead letters" size="s6">
            <Failed error={dead.error} />
            {!dead.data?.dead.length ? <Empty>No event was given up.</Empty> : (
              <div class="scroll" tabIndex={0} role="region" aria-label="Dead letters">
                <table><thead><tr><th scope="col">Event</th><th scope="col">Sink</th><th scope="col">Why</th><th scope="col" class="num">Tries</th><th scope="col">When</th></tr></thead>
                  <tbody>{dead.data.dead.map((d) => <tr key={d.sink + d.id}><td>{d.type}<br /><code class="dim">{d.id}</code></td><td>{d.sink}</td><td><bdi>{d.reason}</bdi></td><td class="num">{d.tries}</td><td><When at={d.at} /></td></tr>)}</tbody></table>
              </div>
            )}
          </Panel>
          <Panel title="Hosts"><HostTable hosts={data.hosts} /></Panel>
          <Panel title="Audit log">{data.audited ? <AuditLog /> : <Empty>A development server, which takes any credentials, keeps no audit log.</Empty>}</Panel>
        </div>
      )}
    </>
  );
}

function AuditLog() {
  const first = useData<{ audit: Audit[] }>("audit", {}, 5000);
  const [older, setOlder] = useState<Audit[]>([]);
  const [error, setError] = useState<string>();
  const list = [...(first.data?.audit ?? []), ...older.filter((a) => !first.data?.audit.some((b) => b.seq === a.seq))];
  const more = () => get<{ audit: Audit[] }>("audit", { before: list[list.length - 1].seq }).then((v) => setOlder((o) => [...o, ...v.audit]), (e: unknown) => setError(message(e)));
  if (first.data && list.length === 0) return <Empty>Nothing was changed yet.</Empty>;
  return (
    <>
      <Failed error={first.error ?? error} />
      <div class="scroll" tabIndex={0} role="region" aria-label="Audit log">
        <table><thead><tr><th scope="col" class="num">No.</th><th scope="col">When</th><th scope="col">Who</th><th scope="col">From</th><th scope="col">Operation</th><th scope="col">On</th><th scope="col">Outcome</th></tr></thead>
          <tbody>{list.map((a) => <tr key={a.seq}><td class="num">{a.seq}</td><td class="nowrap"><When at={a.at} /></td><td><bdi>{a.name || a.key || "the server"}</bdi></td><td>{a.from}</td><td>{a.operation}</td><td>{a.resources.map((r) => <div key={r} class="mono"><bdi>{r}</bdi></div>)}</td><td><Status of={a.outcome} /></td></tr>)}</tbody></table>
      </div>
      {list.length > 0 && list[list.length - 1].seq > 1 && <button type="button" onClick={more} style={{ marginTop: "8px" }}>Older</button>}
    </>
  );
}
