import { useState } from "preact/hooks";
import { get } from "../api";
import { clock, n, span } from "../format";
import { link, type Route } from "../route";
import { Cli, Empty, Failed, FleetLink, GameLink, Head, Status, message, useData, useShared } from "../ui";

interface Line { id: string; game: string; fleet: string; status: string; data: string; address: string; port: number; created: number; ended: number }
interface Page { stays: Line[]; next: string }

export function Player(p: { route: Route }) {
  const { visit } = useShared();
  const id = p.route.id;
  const find = (e: Event) => {
    e.preventDefault();
    location.hash = link("player", String(new FormData(e.currentTarget as HTMLFormElement).get("id")));
  };
  return (
    <>
      <Head title="Player look-up">{id && <Cli command="describe-player-sessions" args={[["player-id", id]]} what="all player sessions of the player" />}</Head>
      <form class="filters" onSubmit={find} role="search" key={id}>
        <label>Player id<input name="id" defaultValue={id} required size={40} spellcheck={false} autocomplete="off" /></label>
        <button class="primary" type="submit">Look up</button>
      </form>
      {id ? <Stays key={id} id={id} now={visit.now} /> : <Empty>Every session of a player, in all fleets, as long as they are kept.</Empty>}
    </>
  );
}

function Stays(p: { id: string; now: number }) {
  const first = useData<Page>("player", { id: p.id });
  const [more, setMore] = useState<Page[]>([]);
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  if (!first.data) return <><Failed error={first.error} />{!first.error && <Empty>Reading…</Empty>}</>;
  const pages = [first.data, ...more];
  const list = pages.flatMap((x) => x.stays);
  const next = pages[pages.length - 1].next;
  const load = (all: boolean) => {
    setBusy(true);
    const step = (token: string, got: Page[]): Promise<Page[]> => get<Page>("player", { id: p.id, next: token }).then((v) => (all && v.next && got.length < 100 ? step(v.next, [...got, v]) : [...got, v]));
    step(next, []).then((got) => setMore((m) => [...m, ...got]), (e: unknown) => setError(message(e))).finally(() => setBusy(false));
  };
  return (
    <section class="panel" aria-label="Player sessions">
      <p role="status" style={{ margin: "0 0 8px" }}>{n(list.length)}{next ? " or more" : ""} player session{list.length === 1 && !next ? "" : "s"} of <bdi><b>{p.id}</b></bdi>, oldest first</p>
      {list.length === 0 ? <Empty>Nobody of that id was in a game session, or it is too long ago.</Empty> : (
        <div class="scroll wide" tabIndex={0} role="region" aria-label="Player sessions, table">
          <table><thead><tr><th scope="col">Game session</th><th scope="col">Fleet</th><th scope="col">Status</th><th scope="col">Reserved</th><th scope="col">Left</th><th scope="col">Lasted</th><th scope="col">Address</th><th scope="col">Data</th><th scope="col"><span class="sr">Command</span></th></tr></thead>
            <tbody>{list.map((s) => (
              <tr key={s.id}><td><GameLink id={s.game} /></td><td><FleetLink id={s.fleet} /></td><td><Status of={s.status} /></td><td class="nowrap">{clock(s.created)}</td><td class="nowrap">{clock(s.ended)}</td>
                <td class="nowrap">{span((s.ended || p.now + performance.now()) - s.created)}</td><td>{s.address}:{s.port}</td><td><bdi>{s.data}</bdi></td><td><Cli command="describe-player-sessions" args={[["player-session-id", s.id]]} what="the player session" /></td></tr>
            ))}</tbody></table>
        </div>
      )}
      <Failed error={error} />
      {next && <div class="row" style={{ marginTop: "10px" }}><button type="button" disabled={busy} onClick={() => load(false)}>Next page</button><button type="button" disabled={busy} onClick={() => load(true)}>All pages</button></div>}
    </section>
  );
}
