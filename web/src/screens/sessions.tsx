import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { clock, n, span } from "../format";
import { change, link, type Route } from "../route";
import { Cli, Empty, Failed, FleetLink, GameLink, Head, Rows, Status, useData, useShared, type Column } from "../ui";
import type { FleetLine } from "./overview";

export interface SessionLine {
  id: string; name: string; fleet: string; location: string; status: string; reason: string; compute: string;
  players: number; maximum: number; created: number; ended: number;
}
interface Page { sessions: SessionLine[]; total: number; before: string }

export function Sessions(p: { route: Route }) {
  const q = Object.fromEntries(p.route.query);
  const filter = { fleet: q.fleet, location: q.location, status: q.status, compute: q.compute };
  const { visit, latest } = useShared();
  const [turn, setTurn] = useState(0);
  const fleets = useData<{ fleets: FleetLine[] }>("fleets");
  const first = useData<Page>("sessions", { ...filter, limit: 200, turn: turn || undefined });
  const [fresh, setFresh] = useState(0);
  const before = first.data?.before ?? "";
  const version = JSON.stringify(filter) + before + turn;
  // The list stands still; how many there are now is asked for each time a sample comes.
  useEffect(() => {
    if (!first.data) return;
    const stop = new AbortController();
    get<Page>("sessions", { ...filter, limit: 1 }, stop.signal).then((v) => setFresh(v.total - first.data!.total), () => undefined);
    return () => stop.abort();
  }, [Math.floor((latest?.at ?? 0) / 5000), version]);
  const set = (name: string) => (e: Event) => change(p.route, { [name]: (e.currentTarget as HTMLInputElement).value || undefined });
  const now = visit.now + (Date.now() - opened);
  const columns: Column<SessionLine>[] = [
    { name: "Game session", width: "minmax(170px, 1.4fr)", cell: (g) => <GameLink id={g.id} /> },
    { name: "Name", width: "minmax(110px, 2fr)", cell: (g) => <bdi title={g.name}>{g.name}</bdi> },
    { name: "Status", width: "110px", cell: (g) => <Status of={g.status} /> },
    { name: "Fleet", width: "minmax(90px, 1fr)", cell: (g) => <FleetLink id={g.fleet} name={fleets.data?.fleets.find((f) => f.id === g.fleet)?.name} /> },
    { name: "Location", width: "minmax(90px, .8fr)", cell: (g) => <span title={g.location}>{g.location}</span> },
    { name: "Host", width: "minmax(80px, .8fr)", cell: (g) => <bdi title={g.compute}>{g.compute}</bdi> },
    { name: "Players", width: "70px", num: true, cell: (g) => `${g.players} / ${g.maximum}` },
    { name: "Created", width: "110px", cell: (g) => clock(g.created) },
    { name: "Lasted", width: "90px", num: true, cell: (g) => span((g.ended || now) - g.created) },
    { name: "", width: "44px", cell: (g) => <Cli command="describe-game-sessions" args={[["game-session-id", g.id]]} what="the game session" /> },
  ];
  return (
    <>
      <Head title="Game sessions">
        {q.fleet && <Cli command="describe-game-sessions" args={[["fleet-id", q.fleet], ...(q.status ? [["status-filter", q.status] as [string, string]] : [])]} what="the list" />}
      </Head>
      <div class="filters">
        <label>Fleet
          <select value={q.fleet ?? ""} onChange={set("fleet")}>
            <option value="">all</option>
            {fleets.data?.fleets.map((f) => <option key={f.id} value={f.id}>{f.name || f.id}</option>)}
          </select>
        </label>
        <label>Status
          <select value={q.status ?? ""} onChange={set("status")}>
            <option value="">all</option>{["ACTIVE", "ACTIVATING", "TERMINATING", "TERMINATED", "ERROR"].map((s) => <option key={s}>{s}</option>)}
          </select>
        </label>
        <label>Location<input value={q.location ?? ""} onChange={set("location")} spellcheck={false} /></label>
        <label>Host<input value={q.compute ?? ""} onChange={set("compute")} spellcheck={false} /></label>
        <span role="status">{first.data && <><b>{n(first.data.total)}</b> game sessions</>}</span>
        <button type="button" onClick={() => { setFresh(0); setTurn((t) => t + 1); }}>{fresh !== 0 ? `Refresh (${fresh > 0 ? "+" : ""}${n(fresh)})` : "Refresh"}</button>
        {q.fleet && <a href={link("timeline", "", { fleet: q.fleet })}>as a timeline</a>}
      </div>
      <Failed error={first.error} />
      {first.data?.total === 0 && <Empty>{q.fleet || q.status || q.location || q.compute ? "No game session is like that." : <>There is no game session yet. <code>aws gamelift create-game-session</code> makes one, and so do <a href={link("queues")}>queues</a> and <a href={link("matchmakers")}>matchmakers</a>.</>}</Empty>}
      {first.data && first.data.total > 0 && (
        <Rows<SessionLine> label="Game sessions" total={first.data.total} height={Math.max(300, innerHeight - 230)} columns={columns} version={version} first={first.data.sessions}
          load={(skip, limit, signal) => get<Page>("sessions", { ...filter, before, skip, limit }, signal).then((v) => v.sessions)} />
      )}
    </>
  );
}

const opened = Date.now();
