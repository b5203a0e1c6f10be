import { useRef, useState } from "preact/hooks";
import { get, post } from "../api";
import { clock, n, span } from "../format";
import { LogPanel } from "../log";
import { link, type Route } from "../route";
import { Cli, Empty, Failed, FleetLink, Head, Panel, PlayerLink, Rows, Status, message, useData, useShared, type Column } from "../ui";
import type { SessionLine } from "./sessions";
import { Explained, type Explanation } from "./queue";

interface View extends SessionLine {
  ip: string; dns: string; port: number; creator: string; policy: string; protection: string; data: string; matchmaker: string;
  properties: { key: string; value: string }[]; placement: Explanation | null; log: string; noLog: string; mayEnd: boolean;
}
interface Stay { id: string; player: string; data: string; status: string; reserved: number; joined: number; ended: number; deadline: number }

export function Game(p: { route: Route }) {
  const id = p.route.id;
  const { visit } = useShared();
  const { data, error, again } = useData<View>("game", { id }, 4000);
  const stays = useData<{ stays: Stay[]; total: number }>("stays", { id, limit: 200 }, 4000);
  const crumbs: [string, string][] = [["Game sessions", link("sessions")]];
  if (!data) return <><Head title="Game session" crumbs={crumbs} /><Failed error={error} />{!error && <Empty>Reading…</Empty>}</>;
  const columns: Column<Stay>[] = [
    { name: "Player", width: "minmax(120px, 1.5fr)", cell: (s) => <PlayerLink id={s.player} /> },
    { name: "Status", width: "110px", cell: (s) => <Status of={s.status} /> },
    { name: "Reserved", width: "minmax(90px, 1fr)", cell: (s) => clock(s.reserved) },
    { name: "Joined", width: "minmax(90px, 1fr)", cell: (s) => (s.joined ? `${clock(s.joined)} (+${span(s.joined - s.reserved)})` : s.deadline ? `until ${clock(s.deadline)}` : "–") },
    { name: "Left", width: "minmax(90px, 1fr)", cell: (s) => clock(s.ended) },
    { name: "Data", width: "minmax(80px, 1fr)", cell: (s) => <bdi title={s.data}>{s.data}</bdi> },
    { name: "Player session", width: "minmax(110px, 1fr)", cell: (s) => <code title={s.id}>{s.id}</code> },
    { name: "", width: "44px", cell: (s) => <Cli command="describe-player-sessions" args={[["player-session-id", s.id]]} what="the player session" /> },
  ];
  return (
    <>
      <Head title={data.name || "Game session"} crumbs={[...crumbs, ["Fleet", link("fleet", data.fleet)]]}>
        <Status of={data.status} />
        <Cli command="describe-game-session-details" args={[["game-session-id", id]]} what="the game session" />
        <End data={data} done={again} />
      </Head>
      <Failed error={error} />
      <div class="grid">
        <Panel title="Game session" size="s6">
          <dl class="facts">
            <dt>Id</dt><dd><code>{data.id}</code></dd>
            <dt>Status</dt><dd>{data.status}{data.reason && ` (${data.reason})`}</dd>
            <dt>Players</dt><dd>{data.players} of {data.maximum}, {data.policy}</dd>
            <dt>Fleet</dt><dd><FleetLink id={data.fleet} /> in {data.location}</dd>
            <dt>Host</dt><dd><a href={link("sessions", "", { fleet: data.fleet, compute: data.compute })}><bdi>{data.compute}</bdi></a>, {data.dns || data.ip}:{data.port}</dd>
            <dt>Created</dt><dd>{clock(data.created)}{data.creator && <> by <bdi>{data.creator}</bdi></>}</dd>
            <dt>{data.ended ? "Ended" : "Lasts"}</dt><dd>{data.ended ? `${clock(data.ended)}, after ${span(data.ended - data.created)}` : span(visit.now + performance.now() - data.created)}</dd>
            <dt>Protection</dt><dd>{data.protection}</dd>
            <dt>Log</dt><dd>{data.log && /^https?:\/\//.test(data.log) ? <a href={data.log} rel="noreferrer">download</a> : <span class="dim">{over(data) ? data.noLog : "below, while it is written"}</span>}</dd>
          </dl>
        </Panel>
        <Panel title="Properties" size="s6">
          {data.properties.length === 0 && !data.data && !data.matchmaker && <Empty>No properties.</Empty>}
          <dl class="facts">{data.properties.map((x) => <><dt><bdi>{x.key}</bdi></dt><dd><bdi>{x.value}</bdi></dd></>)}</dl>
          {data.data && <><h2>Data</h2><pre tabIndex={0}>{data.data}</pre></>}
          {data.matchmaker && <><h2>Matchmaker data</h2><pre tabIndex={0}>{pretty(data.matchmaker)}</pre></>}
        </Panel>
        <LogPanel key={id} id={id} running={!over(data)} />
        <Panel title={`Player sessions (${n(stays.data?.total ?? 0)})`} extra={<Cli command="describe-player-sessions" args={[["game-session-id", id]]} what="the player sessions" />}>
          <Failed error={stays.error} />
          {stays.data?.total === 0 && <Empty>Nobody yet.</Empty>}
          {stays.data && stays.data.total > 0 && <Rows<Stay> label="Player sessions" total={stays.data.total} height={Math.min(420, stays.data.total * 30)} columns={columns} first={stays.data.stays} version={JSON.stringify(stays.data.stays.map((s) => [s.id, s.status]))}
            load={(skip, limit, signal) => get<{ stays: Stay[] }>("stays", { id, skip, limit }, signal).then((v) => v.stays)} />}
        </Panel>
        {data.placement && <Panel title="Placement"><Explained e={data.placement} /></Panel>}
      </div>
    </>
  );
}

const over = (g: { ended: number; status: string }) => g.ended > 0 || g.status === "TERMINATED" || g.status === "ERROR";

export function pretty(text: string): string {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function End(p: { data: View; done: () => void }) {
  const { visit, signIn, say } = useShared();
  const box = useRef<HTMLDialogElement>(null);
  const [mode, setMode] = useState("TRIGGER_ON_PROCESS_TERMINATE");
  const [error, setError] = useState("");
  if (over(p.data)) return null;
  if (!p.data.mayEnd) {
    return visit.key ? <button type="button" disabled title="The policy of your key does not allow it">End…</button> : <button type="button" onClick={signIn} title="Sign in to end game sessions">End…</button>;
  }
  const end = (e: Event) => {
    e.preventDefault();
    post("game/end", { id: p.data.id, mode }).then(() => { box.current?.close(); say("The game session is told to end"); p.done(); }, (e: unknown) => setError(message(e)));
  };
  return (
    <>
      <button type="button" class="danger" onClick={() => { setError(""); box.current?.showModal(); }}>End…</button>
      <dialog ref={box} aria-labelledby="end-title">
        <form onSubmit={end}>
          <h2 id="end-title">End this game session?</h2>
          <p style={{ margin: 0 }}><bdi>{p.data.name || p.data.id}</bdi> has {p.data.players} players.</p>
          <label class="stack">How
            <select value={mode} onChange={(e) => setMode(e.currentTarget.value)}>
              <option value="TRIGGER_ON_PROCESS_TERMINATE">Ask the game server to end it</option>
              <option value="FORCE_TERMINATE">End it at once</option>
            </select>
          </label>
          {error && <div class="error" role="alert">{error}</div>}
          <div class="row"><button class="danger" type="submit">End the game session</button><button type="button" onClick={() => box.current?.close()}>Cancel</button></div>
        </form>
      </dialog>
    </>
  );
}
